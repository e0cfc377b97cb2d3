"""The client's address: forwarded headers count only from trusted proxies."""

import pytest

from routes.http.client_address import TrustedProxies

NOBODY = TrustedProxies()
PROXIES = TrustedProxies(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])


def test_without_trusted_proxies_the_header_is_nothing() -> None:
    assert NOBODY.client("127.0.0.1", "203.0.113.7") == "127.0.0.1"


def test_a_stranger_cannot_choose_an_address() -> None:
    assert PROXIES.client("198.51.100.1", "203.0.113.7") == "198.51.100.1"


@pytest.mark.parametrize(
    "forwarded",
    [
        "203.0.113.7",
        "1.1.1.1, 203.0.113.7",  # the client has made up what stands left of it
        "10.1.1.1, 203.0.113.7",
        "203.0.113.7, 10.0.0.2",  # two hops
        "127.0.0.1, 203.0.113.7, 10.0.0.3,10.0.0.2",
        "garbage, 203.0.113.7",
        " 203.0.113.7 ",
        "203.0.113.7:51234",
        "::ffff:203.0.113.7",
    ],
)
def test_the_client_is_what_the_last_trusted_hop_saw(forwarded: str) -> None:
    assert PROXIES.client("127.0.0.1", forwarded) == "203.0.113.7"


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:51234", "2001:db8::1"),
        ("2001:db8::1, fd00::2", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_addresses_of_version_6_have_one_spelling(forwarded: str, client: str) -> None:
    assert PROXIES.client("::ffff:127.0.0.1", forwarded) == client


@pytest.mark.parametrize(
    "forwarded", ["", ",", "unknown", "203.0.113.7, _hidden", "203.0.113.7, 999.1.1.1", "x" * 9999]
)
def test_garbage_of_a_trusted_hop_leaves_the_hop_itself(forwarded: str) -> None:
    assert PROXIES.client("10.0.0.1", forwarded) == "10.0.0.1"


def test_where_all_are_trusted_the_first_is_the_client() -> None:
    assert PROXIES.client("127.0.0.1", "10.0.0.9, 10.0.0.1") == "10.0.0.9"


@pytest.mark.parametrize("peer", [None, "", "<local>", "/run/focusup.sock"])
def test_a_peer_without_an_address_has_none(peer: str | None) -> None:
    assert PROXIES.client(peer, "203.0.113.7") == ""


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        TrustedProxies(["nonsense"])
