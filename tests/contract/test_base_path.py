"""A server below a path of its host, behind proxies that keep the path or take it off."""

import re
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect

from tests.support.app_server import AppServer, running_app
from tests.support.embedded import shared_uri
from tests.support.socket_client import SocketClient

BASE = "/focus"
KINDS_OF_PROXY = pytest.mark.parametrize("before", [BASE, ""], ids=["kept", "taken-off"])
LINK = re.compile(r'(?:href|src)="([^"#]*)"')


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    with running_app(tmp_path_factory.mktemp("below"), shared_uri(), base_path=BASE) as server:
        yield server


@KINDS_OF_PROXY
@pytest.mark.parametrize("path", ["/", "/me", "/admin", "/nothing-at-all"])
def test_pages_link_below_the_path(below: AppServer, before: str, path: str) -> None:
    with below.rest(None) as rest:
        page = rest.get(before + path, headers={"Accept": "text/html"})
        links = LINK.findall(page.text)
        assert links
        assert all(link.startswith(f"{BASE}/") for link in links), links
        for link in {link.partition("#")[0] for link in links}:
            found = rest.get(link.removeprefix(BASE) if not before else link)
            assert found.status_code == 200, link


def test_the_path_needs_no_slash_and_is_a_whole_name(below: AppServer) -> None:
    with below.rest(None) as rest:
        assert "data-base" in rest.get(BASE).text
        assert rest.get(f"{BASE}me").status_code == 404
        assert rest.get(f"{BASE}/focusup.js").headers["content-type"].startswith("text/javascript")


@KINDS_OF_PROXY
def test_a_slash_too_many_leads_below_the_path(below: AppServer, before: str) -> None:
    with below.rest(None) as rest:
        moved = rest.get(f"{before}/me/")
    assert (moved.status_code, moved.headers["location"]) == (308, "../me")


@KINDS_OF_PROXY
def test_a_new_session_is_found_where_its_location_says(below: AppServer, before: str) -> None:
    with below.rest() as rest:
        made = rest.post(f"{before}/api/sessions", json={})
        assert made.status_code == 201
        assert made.headers["location"] == f"{BASE}/api/sessions/{made.json()['session']['_id']}"
        assert rest.get(made.headers["location"]).status_code == 200


@KINDS_OF_PROXY
def test_documents_say_where_the_calls_and_sockets_are(below: AppServer, before: str) -> None:
    with below.rest(None) as rest:
        assert rest.get(f"{before}/openapi.json").json()["servers"] == [{"url": BASE}]
        channels = rest.get(f"{before}/asyncapi.json").json()["channels"]
        assert channels["sessions"]["address"] == f"{BASE}/ws/sessions"
        for path in ("/docs", "/docs/init.js", "/docs/socket"):
            assert rest.get(before + path).status_code == 200


@KINDS_OF_PROXY
async def test_sockets_are_served_and_the_cookie_is_the_paths(
    below: AppServer, before: str
) -> None:
    url = below.url.replace("http", "ws", 1) + before
    async with connect(f"{url}/ws/sessions?token={below.token()}") as connection:
        assert (await SocketClient(connection).ask("ping", "pong"))["serverTime"]
    async with connect(f"{url}/ws/pageviews") as connection:
        assert connection.response is not None
        cookie = connection.response.headers["set-cookie"]
    assert cookie.startswith("focusup_visitor=")
    assert f"Path={BASE};" in f"{cookie};"


def test_the_cookie_of_a_path_has_a_name_that_browsers_take_over_tls(below: AppServer) -> None:
    # `__Host-` is for `Path=/` alone (RFC 6265bis, section 4.1.3.2).
    body = {"view": "v", "sequence": 1, "page": "/a", "visibleSeconds": 1, "engagedSeconds": 1}
    with below.rest(None) as rest:
        over_tls = {"X-Forwarded-Proto": "https"}
        answer = rest.post(f"{BASE}/api/track-engagement", json=body, headers=over_tls)
    assert answer.headers["set-cookie"].startswith("__Secure-focusup_visitor="), answer.text


def test_at_the_root_nothing_has_a_prefix(live_server: AppServer) -> None:
    with live_server.rest(None) as rest:
        assert 'href="/docs"' in rest.get("/").text
        assert "servers" not in rest.get("/openapi.json").json()
        assert rest.get(f"{BASE}/me").status_code == 404
