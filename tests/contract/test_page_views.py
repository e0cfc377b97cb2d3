"""Page views over a real socket, as docs/tracking.md says, and what is stored of them."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.page_client import PageClient, Views, page_server, viewing
from tests.support.server import Server

Site = tuple[Server, Views]
IDLE_AFTER_S = 1


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = {"IDLE_AFTER_SECONDS": str(IDLE_AFTER_S)}
    with page_server(tmp_path_factory.mktemp("pages"), **settings) as (server, views, _):
        yield server, views


async def busy(client: PageClient, seconds: float) -> None:
    """The visitor is active for so long."""
    for _ in range(round(seconds / 0.2)):
        await client.send("activity")
        await asyncio.sleep(0.2)


async def test_a_view_is_stored_when_it_begins_and_kept_current(site: Site) -> None:
    server, views = site
    async with viewing(server) as client:
        answer = await client.view("/a", params={"id": 7, "q": "x"}, title="Page A")
        assert 999 - 1000 * client.took_s <= answer["nextSecondInMs"] <= 1000
        assert (answer["page"], answer["idleThresholdSeconds"]) == ("/a", IDLE_AFTER_S)
        await asyncio.sleep(0.5)
        begun = views.view(answer["viewId"])
        assert (begun["status"], begun["endedAt"], begun["visibleSeconds"]) == ("visible", None, 0)
        assert (begun["page"], begun["title"]) == ("/a", "Page A")
        assert (begun["params"], begun["source"]) == ({"id": 7, "q": "x"}, "socket")
        await busy(client, 2)
        assert views.view(answer["viewId"])["visibleSeconds"] == 2
        left = await client.ask("leave", "left")
    ended = views.view(answer["viewId"])
    assert (left["visibleSeconds"], left["engagedSeconds"]) == (2, 2)
    assert (ended["status"], ended["visibleSeconds"], ended["engagedSeconds"]) == ("ended", 2, 2)
    assert ended["owner"] is None
    assert 2.4 < (ended["endedAt"] - ended["startedAt"]).total_seconds() < 3


async def test_hidden_seconds_are_not_visible_and_the_remainder_is_kept(site: Site) -> None:
    server, views = site
    async with viewing(server) as client:
        answer = await client.view("/a")
        for _ in range(2):
            await asyncio.sleep(1.3)
            await client.send("hidden")
            await asyncio.sleep(1.2)
            await client.send("visible")
        left = await client.ask("leave", "left")
    assert left["visibleSeconds"] == 2
    assert views.view(answer["viewId"])["visibleSeconds"] == 2


async def test_silence_ends_engagement_but_not_visibility(site: Site) -> None:
    server, _ = site
    async with viewing(server) as client:
        await client.view("/a")
        await asyncio.sleep(3.4)
        left = await client.ask("leave", "left")
    assert (left["visibleSeconds"], left["engagedSeconds"]) == (3, 1)


async def test_one_that_never_becomes_visible_has_no_seconds(site: Site) -> None:
    server, views = site
    async with viewing(server) as client:
        answer = await client.view("/a", visible=False)
        assert answer["nextSecondInMs"] is None
        await asyncio.sleep(1.5)
        assert views.view(answer["viewId"])["status"] == "hidden"
    await asyncio.sleep(0.5)
    ended = views.view(answer["viewId"])
    assert (ended["status"], ended["visibleSeconds"], ended["engagedSeconds"]) == ("ended", 0, 0)


async def test_ticks_for_who_wants_them(site: Site) -> None:
    server, _ = site
    async with viewing(server) as client:
        answer = await client.view("/a", updates="tick")
        told = [await client.next("tick") for _ in range(3)]
    assert {tick["viewId"] for tick in told} == {answer["viewId"]}
    assert [tick["visibleSeconds"] for tick in told] == [1, 2, 3]
    assert [tick["engaged"] for tick in told] == [True, False, False]


async def test_the_next_view_ends_the_one_before(site: Site) -> None:
    server, views = site
    async with viewing(server) as client:
        first = await client.view("/c/tab_1")
        await asyncio.sleep(1.2)
        second = await client.view("/c/tab_2")
        await client.ask("leave", "left")
    one, two = views.view(first["viewId"]), views.view(second["viewId"])
    assert (one["status"], one["visibleSeconds"], one["previousViewId"]) == ("ended", 1, None)
    assert two["previousViewId"] == one["_id"]
    assert one["browserSessionId"] == two["browserSessionId"]
    assert two["startedAt"] == one["endedAt"]


async def test_a_visitor_is_known_again_by_its_key(site: Site) -> None:
    server, views = site
    async with viewing(server) as client:
        first = await client.view("/a")
    async with viewing(server, visitor=first["visitor"]) as client:
        second = await client.view("/b")
    for name in ("visitorId", "browserSessionId"):
        assert second[name] == first[name]
    await asyncio.sleep(0.5)
    assert str(views.view(second["viewId"])["previousViewId"]) == first["viewId"]
    assert str(views.one("visitors", first["visitorId"])["lastViewId"]) == second["viewId"]


async def test_the_cookie_of_the_handshake(site: Site) -> None:
    server, _ = site
    async with viewing(server) as client:
        assert client.connection.response is not None
        cookie = client.connection.response.headers["Set-Cookie"]
        first = await client.view("/a")
    for part in ("HttpOnly", "SameSite=Lax", "Max-Age=34560000", "Path=/"):
        assert part in cookie
    assert "Secure" not in cookie
    headers = {"Cookie": cookie.partition(";")[0]}
    async with viewing(server, additional_headers=headers) as client:
        assert client.connection.response is not None
        assert "Set-Cookie" not in client.connection.response.headers
        second = await client.view("/a")
    assert (second["visitorId"], second["visitor"]) == (first["visitorId"], None)
    async with viewing(server, additional_headers={"X-Forwarded-Proto": "https"}) as client:
        assert client.connection.response is not None
        assert "Secure" in client.connection.response.headers["Set-Cookie"]


async def test_a_forged_key_is_a_new_visitor(site: Site) -> None:
    server, _ = site
    async with viewing(server) as client:
        known = await client.view("/a")
    forged = known["visitorId"] + "." + "0" * 32
    headers = {"Cookie": f"focusup_visitor={forged}"}
    async with viewing(server, visitor=forged, additional_headers=headers) as client:
        answer = await client.view("/a")
    assert answer["visitorId"] != known["visitorId"]
    assert answer["visitor"].startswith(answer["visitorId"])


async def test_a_token_joins_the_visitor_to_its_user(site: Site) -> None:
    server, views = site
    async with viewing(server, token=server.token("ada")) as client:
        first = await client.view("/a")
    async with viewing(server, visitor=first["visitor"], token="bad") as client:
        second = await client.view("/a")
        await client.ask("auth", "authenticated", token=server.token("eve"))
        assert await client.error("auth", token="bad") == "token_invalid"
        third = await client.view("/b")
        await client.ask("leave", "left")
    users = [views.view(each["viewId"])["userId"] for each in (first, second, third)]
    assert users == ["ada", "eve", "eve"]
    assert views.one("visitors", first["visitorId"])["userId"] == "eve"


async def test_what_needs_a_view_says_so(site: Site) -> None:
    server, _ = site
    async with viewing(server) as client:
        for type_ in ("visible", "hidden", "leave"):
            assert await client.error(type_) == "not_started"
        await client.send("activity")
        assert await client.silence(0.2) == []
        assert (await client.ask("ping", "pong"))["serverTime"].endswith("Z")


@pytest.mark.parametrize(
    "fields",
    [
        {"page": ""},
        {"page": "x" * 201},
        {"page": "/a", "title": "x" * 201},
        {"page": "/a", "params": {str(n): n for n in range(21)}},
        {"page": "/a", "params": {"x": "y" * 201}},
        {"page": "/a", "params": {"x" * 51: 1}},
        {"page": "/a", "params": {"$where": 1}},
        {"page": "/a", "params": {"a.b": 1}},
        {"page": "/a", "params": {"x": {"$gt": 0}}},
        {"page": "/a", "params": {"x": 1e400}},
        {"page": "/a", "visible": "yes"},
        {},
    ],
    ids=str,
)  # fmt: skip
async def test_bad_views_are_refused(site: Site, fields: dict[str, object]) -> None:
    server, _ = site
    async with viewing(server) as client:
        assert await client.error("view", **fields) == "invalid_message"
        assert (await client.view("/a"))["page"] == "/a"


async def test_a_foreign_origin_is_turned_away(site: Site) -> None:
    server, _ = site
    async with viewing(server, additional_headers={"Origin": "https://evil.example"}) as client:
        assert await client.closed() == 4403


async def test_a_plain_request_is_told_what_is_there(site: Site) -> None:
    with site[0].rest(None) as rest:
        assert rest.get("/ws/pageviews").status_code == 426
