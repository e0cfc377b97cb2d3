"""When a request may run."""

from focusup.asgi.admission import (
    ALL_PER_S,
    ASKED_AT_ONCE,
    ASKED_WAITS_S,
    AT_ONCE,
    HANDSHAKE_WAITS_S,
    HANDSHAKES_AT_ONCE,
    HANDSHAKES_FREE,
    HANDSHAKES_PER_S,
    IN_A_CROWD,
    MAX_ADDRESSES,
    OPENED_AT_ONCE,
    PER_S,
    Admission,
)
from realtime.sockets.token_bucket import TokenBucket
from routes.http.client_address import TrustedProxies

PEER, PROXY = "203.0.113.7", "10.0.0.1"


def admission(*, per_minute: float = 600) -> Admission:
    return Admission(TrustedProxies(["10.0.0.0/8"]).client, handshakes_per_minute=per_minute)


def wait_s(
    of: Admission,
    own: TokenBucket | None,
    now_s: float,
    *,
    peer: str = PEER,
    forwarded: bytes = b"",
    is_handshake: bool = False,
) -> float | None:
    headers = [(b"x-forwarded-for", forwarded)] if forwarded else []
    return of.wait_s(peer, headers, own, now_s, is_handshake=is_handshake)


def test_who_asks_now_and_then_waits_for_nobody() -> None:
    gate = admission()
    floods = [gate.opened(PEER, 0.0) for _ in range(100)]
    other = "198.51.100.1"
    quiet, beside = gate.opened(other, 0.0), gate.opened(PEER, 0.0)
    for second in range(10):
        for flood in floods:
            for _ in range(AT_ONCE):
                wait_s(gate, flood, float(second))
        for _ in range(PER_S):
            assert wait_s(gate, quiet, float(second), peer=other) == 0
        assert wait_s(gate, beside, float(second)) == 0, "from the same address"


def test_many_connections_of_an_address_do_not_have_a_burst_each() -> None:
    gate = admission()
    crowd = [gate.opened(PEER, 0.0) for _ in range(100)]
    at_once = sum(wait_s(gate, one, 0.0) == 0 for one in crowd for _ in range(AT_ONCE))
    most = ASKED_AT_ONCE + len(crowd) * AT_ONCE / IN_A_CROWD + ALL_PER_S / 10
    assert at_once <= most + 1


def test_what_is_asked_beyond_that_runs_at_one_pace() -> None:
    gate = admission()
    flood = gate.opened(PEER, 0.0)
    found = [wait_s(gate, flood, 0.0) for _ in range(AT_ONCE + 10 * ALL_PER_S)]
    assert found[:AT_ONCE] == [0] * AT_ONCE
    waits = [wait for wait in found[AT_ONCE:] if wait is not None]
    assert waits == sorted(waits)
    assert abs(len(waits) - ALL_PER_S * ASKED_WAITS_S) < ALL_PER_S / 5
    assert found[-1] is None, "one that waits for so long is refused"
    assert wait_s(gate, flood, ASKED_WAITS_S) is not None


def test_opening_a_connection_for_each_request_gains_nothing() -> None:
    gate = admission()
    waits = [wait_s(gate, gate.opened(PEER, 0.0), 0.0) for _ in range(OPENED_AT_ONCE + 1_000)]
    assert waits[:OPENED_AT_ONCE] == [0] * OPENED_AT_ONCE
    assert (waits[-1] or 0) > 2
    assert wait_s(gate, gate.opened("198.51.100.1", 0.0), 0.0) == 0


def test_handshakes_wait_their_turn_and_are_refused_when_that_is_too_long() -> None:
    gate = admission(per_minute=600)
    found = [wait_s(gate, None, 0.0, is_handshake=True) for _ in range(HANDSHAKES_AT_ONCE + 200)]
    paced_s = HANDSHAKES_AT_ONCE / HANDSHAKES_PER_S
    assert all(wait is not None and wait <= paced_s for wait in found[:HANDSHAKES_AT_ONCE])
    waiting = [wait for wait in found[HANDSHAKES_AT_ONCE:] if wait is not None]
    assert waiting == sorted(waiting)
    assert waiting[-1] <= HANDSHAKE_WAITS_S
    assert found[-1] is None
    assert wait_s(gate, None, 0.0, peer="198.51.100.1", is_handshake=True) == 0
    assert wait_s(gate, None, HANDSHAKE_WAITS_S, is_handshake=True) is not None


def test_handshakes_of_a_crowd_are_spread_and_those_of_others_wait_for_none() -> None:
    gate = admission(per_minute=6_000)
    crowd = [wait_s(gate, None, 0.0, is_handshake=True) for _ in range(300)]
    assert crowd[:HANDSHAKES_FREE] == [0] * HANDSHAKES_FREE
    for second in (0.2, 0.5, 0.9):
        runs = sum(1 for wait in crowd if wait is not None and wait <= second)
        assert runs <= 2 * HANDSHAKES_FREE + second * HANDSHAKES_PER_S + 1
    assert wait_s(gate, None, 0.0, peer="198.51.100.1", is_handshake=True) == 0


def test_behind_a_proxy_it_is_the_client_who_is_counted() -> None:
    gate = admission()
    for _ in range(5_000):
        wait_s(gate, None, 0.0, peer=PROXY, forwarded=b"203.0.113.7", is_handshake=True)
        wait_s(gate, None, 0.0, peer=PROXY, forwarded=b"203.0.113.7")
    for is_handshake in (True, False):
        flood = wait_s(
            gate, None, 0.0, peer=PROXY, forwarded=b"203.0.113.7", is_handshake=is_handshake
        )
        other = wait_s(
            gate, None, 0.0, peer=PROXY, forwarded=b"203.0.113.8", is_handshake=is_handshake
        )
        assert flood != 0
        assert other == 0
    # What a client claims for itself is not believed.
    claimed = wait_s(gate, None, 0.0, forwarded=b"203.0.113.9", is_handshake=True)
    assert claimed is None


def test_memory_is_bounded() -> None:
    gate = admission()
    for number in range(MAX_ADDRESSES + 10):
        gate.opened(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(gate._addresses) == MAX_ADDRESSES
