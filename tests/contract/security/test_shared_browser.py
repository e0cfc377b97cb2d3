"""One browser, many users, as in a school: nobody reads what another one viewed there."""

import asyncio
import json
from typing import Any

import httpx

from routes.access.visitor_cookie import COOKIE
from tests.support.belongings import PASSWORD, Person, somebody
from tests.support.page_client import viewing
from tests.support.server import Server


def stats(
    server: Server,
    visitor_id: str,
    *,
    token: str | None = None,
    key: str | None = None,
    cookie: str | None = None,
) -> httpx.Response:
    """Ask as the user of the token, with the visitor's key, or with its cookie."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    if cookie is not None:
        headers["Cookie"] = f"{COOKIE}={cookie}"
    query = {} if key is None else {"visitor": key}
    with server.rest(None) as client:
        return client.get(f"/api/stats/visitors/{visitor_id}", headers=headers, params=query)


async def look(server: Server, person: Person | None, key: str, page: str) -> str:
    """This person views a page in the browser of this visitor; gives the id of the view."""
    async with viewing(server, visitor=key, token=person.token if person else None) as client:
        seen = await client.view(page, title=page, params={"q": page})
        await client.ask("leave", "left")
    return str(seen["viewId"])


async def test_a_later_user_of_the_browser_sees_nothing_of_the_former(
    live_server: Server,
) -> None:
    ada, bob = await somebody(live_server), await somebody(live_server)
    key, visitor_id = ada.visitor, ada.visitor_id
    await look(live_server, bob, key, "/of-bob")
    of_bob = stats(live_server, visitor_id, token=bob.token)
    assert [view["page"] for view in of_bob.json()["visitor"]["views"]] == ["/of-bob"]
    for answer in (
        of_bob,
        stats(live_server, visitor_id, token=bob.token, key=key),
        stats(live_server, visitor_id, key=key),
        stats(live_server, visitor_id, cookie=key),
    ):
        assert answer.status_code == 200
        assert ada.mark not in answer.text
        assert ada.user_id not in answer.text
    of_cookie = stats(live_server, visitor_id, key=key).json()["visitor"]
    assert (of_cookie["userId"], of_cookie["views"], of_cookie["totals"]["views"]) == (None, [], 0)

    of_ada = stats(live_server, visitor_id, token=ada.token)
    assert [view["page"] for view in of_ada.json()["visitor"]["views"]] == [f"/{ada.mark}"]
    assert bob.user_id not in of_ada.text

    with bob.rest() as rest:
        export = rest.get("/api/me/export").text
    assert "/of-bob" in export
    assert ada.mark not in export


async def test_a_token_that_comes_during_a_view_takes_no_view_of_another_user(
    live_server: Server,
) -> None:
    ada, bob = await somebody(live_server), await somebody(live_server)
    async with viewing(live_server, visitor=ada.visitor, token=ada.token) as client:
        await client.view("/secret-of-ada", title=ada.mark)
        for _ in range(2):
            await client.ask("auth", "authenticated", token=bob.token)
        await client.view("/of-bob")
        await client.ask("leave", "left")
    for token, pages in (
        (bob.token, ["/of-bob"]),
        (ada.token, ["/secret-of-ada", f"/{ada.mark}"]),
    ):
        found = stats(live_server, ada.visitor_id, token=token).json()["visitor"]
        assert [view["page"] for view in found["views"]] == pages
        assert len(found["browserSessions"]) == 1


async def test_a_token_that_comes_while_the_visitor_arrives_is_that_of_the_view(
    live_server: Server,
) -> None:
    ada, bob = await somebody(live_server), await somebody(live_server)
    async with viewing(live_server, visitor=ada.visitor) as client:
        await asyncio.gather(
            client.send("view", page="/of-bob"), client.send("auth", token=bob.token)
        )
        await client.next("viewing")
        await client.ask("leave", "left")
    found = stats(live_server, ada.visitor_id, token=bob.token).json()["visitor"]
    assert [view["page"] for view in found["views"]] == ["/of-bob"]


async def test_signing_out_begins_a_new_visitor(live_server: Server) -> None:
    ada = await somebody(live_server)
    with live_server.rest(None) as browser:

        def beacon(view: str) -> str:
            body = {"view": view, "sequence": 1, "page": "/a", "visibleSeconds": 0}
            answer = browser.post("/api/track-engagement", json=body | {"engagedSeconds": 0})
            answer.raise_for_status()
            return browser.cookies[COOKIE]

        first = beacon("1")
        for path in ("/api/auth/logout", "/api/auth/logout-everywhere"):
            assert beacon("2") == first
            account = {"email": f"{ada.mark}@example.com", "password": PASSWORD}
            token = browser.post("/api/auth/login", json=account).json()["token"]
            headers = {"Authorization": f"Bearer {token}"}
            assert browser.post(path, headers=headers, json={}).status_code == 204
            assert COOKIE not in browser.cookies
            second = beacon("3")
            assert second != first
            first = second


async def test_nobody_who_was_elsewhere_learns_that_there_is_such_a_visitor(
    live_server: Server,
) -> None:
    ada, eve = await somebody(live_server), await somebody(live_server)
    refused = stats(live_server, ada.visitor_id, token=eve.token)
    unknown = stats(live_server, "0" * 32, token=eve.token)
    assert _problem(refused) == _problem(unknown)
    by_cookie = stats(live_server, ada.visitor_id, key=eve.visitor)
    assert by_cookie.status_code == 401 or ada.mark not in by_cookie.text


def _problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 404
    return {k: v for k, v in json.loads(answer.text).items() if k not in ("instance", "requestId")}
