"""Whose pages may connect and write; the spelling of origins."""

from types import SimpleNamespace
from typing import Any

import pytest
from quart import Quart
from werkzeug.datastructures import Headers

from focusup.settings import Settings
from routes.http.client_address import TrustedProxies
from routes.http.cors import Origins
from routes.http.origin_names import normalised_origin
from routes.http.problems import install_problems

PROXY, CLIENT = "10.0.0.1", "203.0.113.7"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("https://App.Example.com", "https://app.example.com"),
        ("HTTPS://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("https://app.example.com:80", "https://app.example.com:80"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
        ("https://B\u00dcCHER.example:8443", "https://xn--bcher-kva.example:8443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://vm:5000", "http://vm:5000"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("moz-extension://*", "moz-extension://*"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
    ],
)
def test_an_origin_is_spelt_as_browsers_send_it(given: str, sent: str) -> None:
    assert normalised_origin(given) == sent
    assert normalised_origin(sent) == sent
    assert Settings(allowed_origins=given, _env_file=None).allowed_origins == (sent,)


@pytest.mark.parametrize(
    "text",
    [
        *("", "*", "null", "app.example.com", "https://", "https://*", "https://*.example.com"),
        *("https://a.example/x", "https://a@b.example", "https://a.example:port", "//a.example"),
        *("https://a.example:99999", "https://a.example:", "https://a b", "moz-extension://a*"),
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        normalised_origin(text)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("moz-extension://0b7f-1", True),
        ("moz-extension://*", False),
        ("moz-extension://", False),
        ("moz-extension://a/b", False),
        ("chrome-extension://a", False),
        ("https://app.example.com", True),
        ("http://localhost:3000", False),
        (None, True),
    ],
)
def test_extensions_have_an_id_in_each_profile(origin: str | None, allowed: bool) -> None:
    origins = Origins(("moz-extension://*", "https://APP.example.com:443"))
    assert origins.allows(origin) is allowed


def asked(scheme: str = "http", peer: str = CLIENT, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(scheme=scheme, remote_addr=peer, headers=Headers(named))


OWN = [
    (asked(Host="vm:5000", Origin="http://vm:5000"), True),
    (asked("ws", Host="192.0.2.7:5000", Origin="http://192.0.2.7:5000"), True),
    (asked("wss", Host="App.Example.com", Origin="https://app.example.com"), True),
    (asked(Host="app.example.com:80", Origin="http://app.example.com"), True),
    (asked(Host="vm:5000", Origin="http://vm:5001"), False),
    (asked(Host="vm:5000", Origin="https://vm:5000"), False),
    (asked(Host="vm:5000", Origin="http://evil.example"), False),
    (asked(Host="vm:5000", Origin="null"), False),
    (asked(Origin="http://vm:5000"), False),
    (asked(Host="a b", Origin="http://a b"), False),
    # What is in front of us tells more, if it is trusted.
    (
        asked(
            peer=PROXY,
            Host="inside:5000",
            Origin="https://app.example.com",
            X_Forwarded_Proto="https",
            X_Forwarded_Host="evil.example, app.example.com",
        ),
        True,
    ),
    (
        asked(
            peer=PROXY,
            Host="app.example.com",
            Origin="https://app.example.com:8443",
            X_Forwarded_Proto="https",
            X_Forwarded_Port="8443",
        ),
        True,
    ),
    (
        asked(
            peer=PROXY,
            Host="app.example.com",
            Origin="https://app.example.com",
            X_Forwarded_Proto="https",
            X_Forwarded_Port="80",  # of a hop between the browser's and ours
        ),
        True,
    ),
    (
        asked(
            Host="app.example.com", Origin="http://app.example.com:8443", X_Forwarded_Port="8443"
        ),
        False,
    ),
    (
        asked(
            Host="inside:5000",
            Origin="https://evil.example",
            X_Forwarded_Proto="https",
            X_Forwarded_Host="evil.example",
        ),
        False,
    ),
    (asked(Host="app", Origin="https://app", X_Forwarded_Proto="https"), False),
    # A browser says itself that the page is of the address that it asks.
    (asked(Host="app", Origin="https://app", Sec_Fetch_Site="same-origin"), True),
    (asked(Host="app", Sec_Fetch_Site="same-origin"), True),
    (asked(Host="app", Sec_Fetch_Site="none"), True),
    (asked(Host="app", Sec_Fetch_Site="cross-site"), False),
    (asked(Host="app", Origin="https://b.app", Sec_Fetch_Site="same-site"), False),
    (asked(Host="app", Origin="https://allowed.example", Sec_Fetch_Site="cross-site"), True),
    (asked(Host="app"), True),
]


@pytest.mark.parametrize(("request_", "admitted"), OWN)
def test_a_page_that_the_server_served_may_always_connect(request_: Any, admitted: bool) -> None:
    origins = Origins(("https://allowed.example",), TrustedProxies((PROXY,)))
    assert origins.admits(request_) is admitted


@pytest.fixture
def app() -> Quart:
    app = Quart("focusup", static_folder=None)
    install_problems(app)
    Origins(("https://allowed.example",)).install(app)

    @app.route("/thing", methods=["GET", "POST", "PUT", "DELETE"])
    async def thing() -> str:
        return "done"

    return app


@pytest.mark.parametrize("method", ["post", "put", "delete"])
@pytest.mark.parametrize("path", ["/thing", "/nothing"])
async def test_what_a_foreign_page_writes_is_refused(app: Quart, method: str, path: str) -> None:
    client = app.test_client()
    for headers in (
        {"Origin": "https://evil.example", "Content-Type": "text/plain"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        answer = await getattr(client, method)(path, headers=headers)
        assert answer.status_code == 403
        assert (await answer.get_json())["code"] == "origin_not_allowed"
    answer = await getattr(client, method)(path, headers={"Origin": "https://allowed.example"})
    assert answer.status_code == (200 if path == "/thing" else 404)


async def test_reading_is_left_to_the_browser(app: Quart) -> None:
    answer = await app.test_client().get("/thing", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_front_end_that_is_traced_may_send_its_headers(app: Quart) -> None:
    wanted = (
        *("authorization", "content-type", "x-request-id", "traceparent", "tracestate"),
        *("baggage", "sentry-trace", "idempotency-key", "if-match", "if-none-match"),
        *("b3", "x-b3-traceid", "x-datadog-trace-id", "newrelic", "x-requested-with"),
    )
    headers = {
        "Origin": "https://allowed.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": ", ".join(wanted),
    }
    answer = await app.test_client().options("/thing", headers=headers)
    told = answer.headers["Access-Control-Allow-Headers"].lower()
    assert {each.strip() for each in told.split(",")} == set(wanted)
