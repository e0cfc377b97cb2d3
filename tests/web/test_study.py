"""The study page, used as a person uses it: real mouse, real socket, real database."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import CDPSession, Page, WebSocketRoute, expect

from models.sessions.session import score_of
from tests.support.commands import focusup
from tests.support.live_server import LiveServer, running_server
from tests.support.web.axe import violations
from tests.support.web.browser import (
    NO_NUMBER,
    PASSWORD,
    at,
    begin,
    counted,
    moving,
    result,
    shown_seconds,
    sign_in,
    sign_up,
    stop,
    window,
)
from tests.support.web.elsewhere import copied
from tests.support.web.network import network

Json = dict[str, Any]

CHAPTER = {"Title": "Chapter 3", "Subject or material": "algebra", "Tags": "exam, hard"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("study")) as server:
        yield server


@contextmanager
def signed_in(server: LiveServer, email: str) -> Iterator[httpx.Client]:
    """The REST interface, for the same person."""
    with server.rest(None) as client:
        login = client.post("/api/auth/login", json={"email": email, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {login.json()['token']}"
        yield client


@contextmanager
def signed_up(server: LiveServer, email: str) -> Iterator[httpx.Client]:
    with server.rest(None) as client:
        client.post("/api/auth/signup", json={"email": email, "password": PASSWORD})
    with signed_in(server, email) as client:
        yield client


def latest(client: httpx.Client) -> Json:
    session: Json = client.get("/api/sessions?limit=1").json()["sessions"][0]
    return session


async def offline(session: CDPSession, is_offline: bool) -> None:
    """What a browser tells its pages when the machine's network goes and comes back."""
    nothing = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await session.send("Network.emulateNetworkConditions", {"offline": is_offline, **nothing})


async def shown_is_stored(page: Page, client: httpx.Client) -> Json:
    """What the page shows in the end is what is stored, and its score that of the formula."""
    session, shown = latest(client), await result(page)
    stored = {name: session[f"{name}Seconds"] for name in ("active", "idle", "paused", "away")}
    assert shown == {**stored, "switches": session["tabSwitches"], "score": session["focusScore"]}
    assert session["focusScore"] == score_of(session).focus_score
    return session


async def test_a_minute_after_the_start_somebody_has_a_score(
    server: LiveServer, email: str
) -> None:
    async with at(server.url) as context:
        page = await context.new_page()
        await sign_up(page, server.url, email)
        await begin(page, 0.1, **CHAPTER)
        await moving(page, 2)
        await stop(page)
        with signed_in(server, email) as client:
            session = await shown_is_stored(page, client)
        assert (session["title"], session["contentId"]) == ("Chapter 3", "algebra")
        assert session["tags"] == ["exam", "hard"]
        assert await page.locator("#recent strong").all_inner_texts() == ["Chapter 3"]


async def test_what_is_wrong_is_said_where_it_is(server: LiveServer, email: str) -> None:
    async with at(server.url) as context:
        page = await context.new_page()
        await page.goto(server.url)
        await page.get_by_label("E-mail").fill("nobody")
        await page.get_by_label("Password").fill("short")
        await page.get_by_role("button", name="Sign up").click()
        assert await page.locator("#email-wrong").inner_text() == "Enter a valid e-mail address."
        assert "8 characters" in await page.locator("#password-wrong").inner_text()
        assert await page.evaluate("document.activeElement.id") == "email"


RECORD = """globalThis.told = [];
globalThis.Notification = class { static permission = "granted";
  static requestPermission = async () => "granted";
  constructor(title, { body }) { told.push([title, body]); } }"""


async def test_the_desktop_is_told_that_time_is_up(server: LiveServer, email: str) -> None:
    async with at(server.url) as context:
        page = await context.new_page()
        await page.add_init_script(RECORD)
        await sign_up(page, server.url, email)
        await begin(page, 0.05)
        await counted(page, 4)
        assert await page.locator("#left").inner_text() >= "+0:01"
        (told,) = await page.evaluate("told")
        assert told[0] == "FocusUp"
        assert "Time's up" in told[1]
        await stop(page)


async def test_space_pauses_and_escape_stops(server: LiveServer, email: str) -> None:
    async with at(server.url) as context:
        page = await context.new_page()
        await sign_up(page, server.url, email)
        await begin(page, 1)
        await page.locator("#running-title").click()
        began_s = time.monotonic()
        await page.keyboard.press("Space")
        # The button shows what is wished; the state what the server has done.
        await expect(page.get_by_role("button", name="Resume")).to_be_visible()
        await expect(page.locator("#now")).to_have_text("Paused")
        before = await shown_seconds(page, "#active-time")
        await asyncio.sleep(2.2)
        assert await shown_seconds(page, "#active-time") == before
        await page.keyboard.press("Space")
        await expect(page.get_by_role("button", name="Pause")).to_be_visible()
        await expect(page.locator("#now")).to_have_text("Active")
        at_most_s = time.monotonic() - began_s
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Keep going").click()
        await counted(page, before + 1)
        await stop(page)
        with signed_in(server, email) as client:
            session = await shown_is_stored(page, client)
        assert 2 <= session["pausedSeconds"] <= at_most_s + 1


async def test_a_session_that_ended_elsewhere_shows_its_score(
    server: LiveServer, email: str
) -> None:
    async with at(server.url) as context:
        page = await context.new_page()
        await sign_up(page, server.url, email)
        await begin(page, 1)
        with signed_in(server, email) as client:
            client.put(f"/api/sessions/{latest(client)['_id']}/end", json={})
            await page.locator("#result").wait_for()
            await shown_is_stored(page, client)
            await page.get_by_role("button", name="Another session").click()
            await begin(page, 1)
            await page.goto("about:blank")
            client.put(f"/api/sessions/{latest(client)['_id']}/end", json={"status": "abandoned"})
            await page.goto(server.url)
            await page.get_by_role("heading", name="Abandoned").wait_for()
            await shown_is_stored(page, client)


async def test_reload_second_tab_and_a_lost_network(
    server: LiveServer, email: str, tmp_path: Path
) -> None:
    """Twenty seconds with the mouse, then all that happens to a session."""
    async with network(server.url) as wire, window(tmp_path, wire.url) as context:
        page = context.pages[0]
        await sign_up(page, wire.url, email)
        with signed_in(server, email) as client:
            client.put("/api/goals", json={"sessionsPerDay": 1})
            await begin(page, 1, Title="All that happens")
            began_at = time.monotonic()

            await moving(page, 8)
            assert latest(client)["idleSeconds"] == 0

            await page.reload()
            await page.get_by_role("heading", name="All that happens").wait_for()
            await moving(page, 4)
            await counted(page, 11)

            other = await context.new_page()  # the first tab is hidden by it
            await other.goto(wire.url)
            await other.get_by_role("heading", name="All that happens").wait_for()
            await moving(other, 3)
            await expect(other.locator("#tab-switches")).to_have_text("1")
            first, second, again = [
                await shown_seconds(each, "#active-time") for each in (page, other, page)
            ]
            assert first - 1 <= second <= again + 1
            assert second <= time.monotonic() - began_at + 2, "a second is booked once for both"
            await other.close()
            await page.bring_to_front()

            devtools = await context.new_cdp_session(page)
            cut_s = time.monotonic()
            await offline(devtools, True)
            await wire.cut()
            await page.locator("#connection", has_text="Connection lost").wait_for()
            lost = await shown_seconds(page, "#active-time")
            await asyncio.sleep(10)
            assert await shown_seconds(page, "#active-time") == lost, "a page counts nothing itself"
            wire.mend()
            await offline(devtools, False)
            await page.locator("#connection", has_text="away not counted").wait_for()
            away = latest(client)["awaySeconds"]
            assert 9 <= away <= time.monotonic() - cut_s + 1

            await moving(page, 2)
            await page.locator("#warning", has_text="Still there?").wait_for(timeout=20_000)
            await page.locator("#warning", has_text="Move, type or scroll").wait_for(timeout=20_000)
            await asyncio.sleep(3)
            await stop(page)
            session = await shown_is_stored(page, client)
            assert session["idleSeconds"] >= 3
            assert session["tabSwitches"] >= 1
            assert away <= session["awaySeconds"] <= away + 1
            assert "1-day streak." in await page.locator("#result-stats").inner_text()

            await page.get_by_role("link", name="See your progress").click()
            reached = page.locator(".dial", has_text="Sessions today")
            await expect(reached).to_contain_text("1 of 1")
            calendar = page.locator("#calendar")
            await calendar.get_by_text("Show numbers").click()
            today = calendar.locator("tbody tr", has_text=f"{datetime.now(UTC):%b} ")
            await expect(today).to_have_count(1)
            await expect(today).to_contain_text(f"{session['activeSeconds']} s")

            focusup(server, "admin", "add", email, "--yes")
            await page.goto(f"{wire.url}/admin")
            await page.get_by_role("button", name="Check again").click()
            ended = page.get_by_role("heading", name="Sessions that ended").locator("..")
            day = server.rest(role="admin").get("/api/admin/metrics/sessions").json()["byDay"][-1]
            await expect(ended).to_contain_text(f"{day['ended']} ended")


async def test_the_same_page_on_another_origin(server: LiveServer, email: str) -> None:
    with copied(server) as elsewhere, signed_up(server, email) as client:
        async with at(elsewhere, server.url) as context:
            page = await context.new_page()
            await sign_in(page, elsewhere, email)
            await begin(page, 1)
            await counted(page, 2)
            await stop(page)
            await shown_is_stored(page, client)


async def test_nobody_notices_that_a_token_ends(tmp_path: Path, email: str) -> None:
    """Tokens of 45 seconds, which are about to end after 15."""
    with running_server(tmp_path, ACCESS_TOKEN_MINUTES="0.75") as server:
        async with at(server.url) as context:
            page = await context.new_page()
            sockets: list[str] = []
            page.on("websocket", lambda socket: sockets.append(socket.url))
            answers: list[int] = []
            page.on("response", lambda response: answers.append(response.status))
            await sign_up(page, server.url, email)
            await begin(page, 2)
            noticed = page.locator("#connection, [data-notice]").filter(visible=True)
            for _ in range(50):
                await moving(page, 1)
                assert await noticed.count() == 0
            await stop(page)
            sessions = [url for url in sockets if "/ws/sessions" in url]
            assert len(sessions) == 1, "it never had to be made again"
            assert not [status for status in answers if status >= 400]
            with signed_in(server, email) as client:
                session = await shown_is_stored(page, client)
            assert session["activeSeconds"] >= 49
            assert session["awaySeconds"] == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(server: LiveServer, email: str, scheme: str) -> None:
    async with at(server.url, color_scheme=scheme, reduced_motion="reduce") as context:
        page = await context.new_page()
        await page.goto(server.url)
        await page.locator("#welcome").wait_for()
        assert await violations(page) == []
        await page.get_by_role("button", name="Sign up").click()
        assert await violations(page) == []
        await sign_up(page, server.url, email)
        assert await violations(page) == []
        await begin(page, 0.1, Title="Chapter 3")
        assert await violations(page) == []
        await page.keyboard.press("Escape")
        assert await violations(page) == []
        await page.keyboard.press("Escape")
        await stop(page)
        await page.locator("#recent li").first.wait_for()
        assert await violations(page) == []


async def test_a_session_that_is_deleted_elsewhere_is_left(server: LiveServer, email: str) -> None:
    async with at(server.url, expected="status of 404") as context:
        page = await context.new_page()
        await sign_up(page, server.url, email)
        await begin(page, 1)
        with signed_in(server, email) as client:
            client.delete(f"/api/sessions/{latest(client)['_id']}")
        await page.get_by_role("heading", name="What will you study?").wait_for()
        await begin(page, 1)
        await stop(page)


NUMBERS = ("#score", "#left", "#active-time", "#idle-time", "#tab-switches")


async def test_a_session_that_begins_shows_no_number_of_the_one_before(
    server: LiveServer, email: str
) -> None:
    async with at(server.url) as context:
        page = await context.new_page()
        sockets: list[WebSocketRoute] = []

        def connect(socket: WebSocketRoute) -> None:
            """The second session's socket opens, and answers nothing."""
            sockets.append(socket)
            if len(sockets) == 1:
                socket.connect_to_server()

        await page.route_web_socket(re.compile("/ws/sessions"), connect)
        await sign_up(page, server.url, email)
        await begin(page, 1, Title="The first")
        await stop(page)
        await page.get_by_role("button", name="Another session").click()
        await page.get_by_role("button", name="Start").click()
        await page.locator("#running").wait_for()
        assert [await page.locator(each).inner_text() for each in NUMBERS] == [NO_NUMBER] * 5
        await expect(page.locator("#running-title")).to_have_text("Focus session")
        await expect(page.locator("#ring .active")).to_have_attribute("stroke-dasharray", "0 1000")


async def test_a_page_without_ticks_does_not_say_active(server: LiveServer, email: str) -> None:
    async with at(server.url) as context:
        page = await context.new_page()
        silent = False

        def connect(socket: WebSocketRoute) -> None:
            behind = socket.connect_to_server()
            behind.on_message(lambda text: None if silent else socket.send(text))

        await page.route_web_socket(re.compile("/ws/sessions"), connect)
        await sign_up(page, server.url, email)
        await begin(page, 5)
        await expect(page.locator("#now")).to_have_text("Active")
        silent = True
        await expect(page.locator("#now")).to_have_text("Reconnecting …")
        await expect(page.locator("#connection")).to_contain_text("Connection lost")
        silent = False
        await expect(page.locator("#now")).to_have_text("Active")
        await expect(page.locator("#connection")).to_be_hidden()
        await page.keyboard.press("Space")
        await expect(page.locator("#now")).to_have_text("Paused")
        await context.set_offline(True)
        await expect(page.locator("#now")).to_have_text("Reconnecting …")
        await context.set_offline(False)
        await expect(page.locator("#now")).to_have_text("Paused")


async def test_too_many_tabs_are_named(server: LiveServer, email: str) -> None:
    async with at(server.url) as context:
        page = await context.new_page()
        await page.route_web_socket(
            re.compile("/ws/sessions"),
            lambda socket: socket.on_message(lambda _: socket.close(code=4429)),
        )
        await sign_up(page, server.url, email)
        await page.get_by_role("button", name="Start").click()
        await expect(page.locator("#connection")).to_contain_text("too many tabs")


async def test_the_tab_that_is_hidden_longest_gives_way(tmp_path: Path, email: str) -> None:
    with running_server(tmp_path, MAX_SOCKETS_PER_USER="2") as server:
        async with window(tmp_path / "profile", server.url) as context:
            page = context.pages[0]
            await sign_up(page, server.url, email)
            await begin(page, 5, Title="Many tabs")
            for _ in range(2):
                newest = await context.new_page()
                await newest.goto(server.url)
                await newest.get_by_role("heading", name="Many tabs").wait_for()
                before = await shown_seconds(newest, "#active-time")
                await counted(newest, before + 1)
            await expect(page.locator("#ring")).to_have_class("ring resting")
            await newest.close()
            await page.bring_to_front()
            before = await shown_seconds(page, "#active-time")
            await counted(page, before + 1)
            await expect(page.locator("#connection")).to_be_hidden()


async def test_what_can_not_be_a_session_is_said_at_the_field(
    server: LiveServer, email: str
) -> None:
    async with at(server.url, expected="status of 422") as context:
        page = await context.new_page()
        await sign_up(page, server.url, email)
        await page.get_by_label("Other", exact=True).check()
        await page.get_by_role("button", name="Start").click()
        await expect(page.locator("#minutes-wrong")).to_contain_text("Enter a number of minutes")
        await expect(page.locator("#minutes")).to_be_focused()
        await page.get_by_label("How many minutes").fill("5")
        await page.get_by_label("Tags", exact=True).fill(",".join(f"t{each}" for each in range(60)))
        await page.get_by_role("button", name="Start").click()
        await expect(page.locator("#tags-wrong")).to_contain_text("Use up to 20 tags")
        await expect(page.locator("#minutes-wrong")).to_be_empty()
        await expect(page.locator("#new-wrong")).to_be_empty()


async def test_what_one_tab_begins_the_others_show(server: LiveServer, email: str) -> None:
    async with at(server.url) as context:
        page, other = await context.new_page(), await context.new_page()
        await sign_up(page, server.url, email)
        await other.goto(server.url)
        await other.get_by_role("heading", name="What will you study?").wait_for()
        await begin(page, 1, Title="Shared")
        await other.get_by_role("heading", name="Shared").wait_for()
        await counted(other, 2)
        with signed_in(server, email) as client:
            assert len(client.get("/api/sessions").json()["sessions"]) == 1
            await stop(other)
            await page.locator("#result").wait_for()
            assert await result(page) == await result(other)
            await shown_is_stored(page, client)


async def test_a_stop_without_a_connection_is_done_when_there_is_one(
    server: LiveServer, email: str
) -> None:
    async with network(server.url) as wire, at(wire.url) as context:
        page = await context.new_page()
        await sign_up(page, wire.url, email)
        await begin(page, 1)
        await wire.cut()
        await page.locator("#connection", has_text="Connection lost").wait_for()
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Finish").click()
        await page.locator("#connection", has_text="Saving your session").wait_for()
        wire.mend()
        await page.locator("#result").wait_for(timeout=40_000)
        with signed_in(server, email) as client:
            session = await shown_is_stored(page, client)
        assert session["status"] == "completed"


async def test_who_signs_out_is_signed_out_in_all_tabs_and_behind_back(
    server: LiveServer, email: str, tmp_path: Path
) -> None:
    async with window(tmp_path, server.url) as context:
        page = context.pages[0]
        await sign_up(page, server.url, email)
        await page.goto(f"{server.url}/me")
        await page.get_by_role("heading", name="Start your first session").wait_for()
        other = await context.new_page()
        await other.goto(server.url)
        await other.get_by_role("heading", name="What will you study?").wait_for()
        await other.get_by_role("button", name="Sign out").click()
        await other.get_by_role("tab", name="Sign up").wait_for()
        await page.bring_to_front()
        await page.get_by_role("tab", name="Sign in").wait_for()
        await page.go_back()
        await page.get_by_role("tab", name="Sign in").wait_for()
        assert email not in await page.content()
        assert await page.evaluate("localStorage.getItem('focusup.account')") is None
