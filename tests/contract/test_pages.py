"""Addresses as people type them: a slash at the end, and pages that there are not."""

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.support.app_server import AppServer
from tests.support.socket_client import SocketClient

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize("path", ["/me", "/admin", "/docs", "/docs/socket"])
def test_a_page_is_found_with_a_slash_too(live_server: AppServer, path: str) -> None:
    with live_server.rest(None, follow_redirects=True) as rest:
        found = rest.get(f"{path}/?a=1%20b")
        assert found.status_code == 200
        assert found.url == httpx.URL(f"{live_server.url}{path}?a=1%20b")
        assert found.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("name", ["sessions", "pageviews"])
async def test_a_socket_is_found_with_a_slash_too(live_server: AppServer, name: str) -> None:
    url = f"{live_server.ws_url.rpartition('/')[0]}/{name}/?token={live_server.token()}"
    async with connect(url) as connection:
        pong = await SocketClient(connection).ask("ping", "pong")
    assert pong["serverTime"]


@pytest.mark.parametrize("path", ["/nothing", "/me/nothing", "/assets/1/nothing.js", "/me//"])
def test_an_unknown_page_answers_people_in_their_way(live_server: AppServer, path: str) -> None:
    with live_server.rest(None) as rest:
        page = rest.get(path, headers={"Accept": BROWSER})
        assert page.status_code == 404
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "Page not found" in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
        for accept in ("*/*", "application/json", "application/problem+json", ""):
            told = rest.get(path, headers={"Accept": accept})
            assert (told.status_code, told.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/api/nothing", "/ws/nothing", "/api/sessions/"])
def test_addresses_of_programs_answer_programs(live_server: AppServer, path: str) -> None:
    with live_server.rest() as rest:
        assert rest.get(path, headers={"Accept": BROWSER}).json()["code"] == "not_found"
