"""The three-page site in a real browser: what is stored is what its visitor lived."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.chromium import set_window
from tests.support.page_client import page_server
from tests.support.three_pages import Json, Site, Watch, active, served, shown, visibility, visiting

IDLE_AFTER_S = 2
A: tuple[str, Json, str] = ("/page_a", {}, "Page A")
B: tuple[str, Json, str] = ("/page_b", {}, "Page B")
TAB_1 = ("/page_c", {"tab": "tab_1"}, "Page C, Tab 1")
TAB_2 = ("/page_c", {"tab": "tab_2"}, "Page C, Tab 2")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("three_pages")
    settings = {"IDLE_AFTER_SECONDS": str(IDLE_AFTER_S)}
    with (
        page_server(directory, **settings) as (focusup, views, _),
        served(directory / "site.log", "--focusup", focusup.url) as (_, _, url),
    ):
        yield Site(url, focusup, views)


def named(view: Json) -> tuple[str, Json, str]:
    return view["page"], view["params"], view["title"]


def about(seconds: float) -> Any:
    """The whole seconds of a stretch, give or take one."""
    return pytest.approx(int(seconds), abs=1)


def assert_seconds(view: Json, *, visible: float, engaged: float) -> None:
    assert view["visibleSeconds"] == about(visible), named(view)
    assert view["engagedSeconds"] == about(engaged), named(view)


def assert_one_after_the_other(views: list[Json]) -> None:
    """A chain within one browser session."""
    assert [view["previousViewId"] for view in views] == [None, *(v["_id"] for v in views[:-1])]
    assert len({view["browserSessionId"] for view in views}) == 1
    assert {view["status"] for view in views} == {"ended"}


async def test_a_walk_through_the_pages(site: Site, tmp_path: Path) -> None:
    lived: list[float] = []
    async with visiting(site, tmp_path) as visit:
        page = await visit.goto("/page_a")
        watch = Watch()
        await active(page, 2.2)
        for link, path in (("Page B", "/page_b"), ("Page C, Tab 2", "/page_c/tab_2")):
            await page.get_by_role("link", name=link).click()
            await page.wait_for_url(f"**{path}", wait_until="commit")
            lived.append(watch.lap())
            await visit.viewed(len(lived) + 1)
            watch.lap()  # loading
            await active(page, 1.5)
        await page.evaluate("window.loadedOnce = true")
        for tab, path in (("Tab 1", "/page_c/tab_1"), ("Tab 2", "/page_c/tab_2")):
            await page.get_by_role("tab", name=tab).click()
            lived.append(watch.lap())
            assert page.url.endswith(path)
            assert await shown(page) == f"Page C, {tab}"
            await active(page, 1.5)
        await page.go_back()
        lived.append(watch.lap())
        assert page.url.endswith("/page_c/tab_1")
        assert await shown(page) == "Page C, Tab 1"
        assert await page.evaluate("window.loadedOnce")
        await active(page, 1.5)
        await page.get_by_role("link", name="Page B").click()
        lived.append(watch.lap())
        await visit.viewed(7)
        watch.lap()
        await page.go_back(wait_until="commit")
        lived.append(watch.lap())
        assert await page.evaluate("window.loadedOnce")  # out of the back-forward cache
        assert page.url.endswith("/page_c/tab_1")
        assert await shown(page) == "Page C, Tab 1"
        await active(page, 1.5)
        lived.append(watch.lap())
        views = await visit.close(8)
    assert [named(view) for view in views] == [A, B, TAB_2, TAB_1, TAB_2, TAB_1, B, TAB_1]
    assert_one_after_the_other(views)
    for view, seconds in zip(views, lived, strict=True):
        assert_seconds(view, visible=seconds, engaged=seconds)
    told = {(message["type"], *sorted(set(message) - {"type"})) for message in visit.sent}
    shows = ("view", "page", "params", "title", "updates", "visible")
    assert told <= {shows, ("activity",), ("visible",), ("hidden",), ("leave",)}
    session = site.views.one("browser_sessions", views[0]["browserSessionId"])
    assert "Chrome" in session["userAgent"]
    # The cookie carries the visitor from the second page on.
    assert [bool(message["visitor"]) for message in visit.viewing] == [True] + [False] * 6


async def test_hidden_behind_another_tab_and_minimised(site: Site, tmp_path: Path) -> None:
    async with visiting(site, tmp_path) as visit:
        page = await visit.goto("/page_a")
        watch = Watch()
        await active(page, 1.5)
        other = await visit.context.new_page()
        in_front = watch.lap()
        await other.goto(f"{site.url}/page_b")
        watch.lap()  # loading
        assert await visibility(page) == "hidden"
        await active(other, 2.5)
        await page.bring_to_front()
        behind = watch.lap()
        assert await visibility(other) == "hidden"
        await active(page, 1.5)
        await set_window(page, "minimized")
        in_front += watch.lap()
        await asyncio.sleep(1.5)
        assert await visibility(page) == "hidden"
        await set_window(page, "normal")
        minimised = watch.lap()
        await active(page, 1)
        in_front += watch.lap()
        first, second = await visit.close(2)
    assert (named(first), named(second)) == (A, B)
    assert_seconds(first, visible=in_front, engaged=in_front)
    assert_seconds(second, visible=behind, engaged=behind)
    open_s = (first["endedAt"] - first["startedAt"]).total_seconds()
    assert open_s == pytest.approx(in_front + behind + minimised, abs=2)


async def test_silence_beyond_the_threshold(site: Site, tmp_path: Path) -> None:
    async with visiting(site, tmp_path) as visit:
        page = await visit.goto("/page_a")
        watch = Watch()
        await asyncio.sleep(IDLE_AFTER_S + 3)
        told = [await page.locator(at).inner_text() for at in ("#visible", "#engaged", "#state")]
        silent = watch.lap()
        assert told[2] == "No sign of you"
        assert int(told[0]) == about(silent)
        assert int(told[1]) == about(IDLE_AFTER_S)
        await page.keyboard.press("Shift")
        await asyncio.sleep(1.2)
        assert await page.locator("#state").inner_text() == "Active"
        again = watch.lap()
        (view,) = await visit.close(1)
    assert_seconds(view, visible=silent + again, engaged=IDLE_AFTER_S + again)


async def test_reload(site: Site, tmp_path: Path) -> None:
    async with visiting(site, tmp_path) as visit:
        page = await visit.goto("/page_c/tab_b")
        watch = Watch()
        await active(page, 1.5)
        lived = [watch.lap()]
        await page.reload()
        watch.lap()  # loading
        await active(page, 2)
        lived.append(watch.lap())
        views = await visit.close(2)
    assert [named(view) for view in views] == [TAB_2, TAB_2]
    assert_one_after_the_other(views)
    for view, seconds in zip(views, lived, strict=True):
        assert_seconds(view, visible=seconds, engaged=seconds)


async def test_another_site_has_no_cookie_and_keeps_the_key(site: Site, tmp_path: Path) -> None:
    """`localhost` and `127.0.0.1` are two sites, so SameSite=Lax keeps the cookie back."""
    async with visiting(site, tmp_path) as visit:
        page = await visit.goto("/page_a", host="localhost")
        await visit.viewed(1)
        await page.reload()
        await visit.viewed(2)
        assert await visit.context.cookies(site.focusup.url) == []
        views = await visit.close(2)
    assert_one_after_the_other(views)
    first, second = visit.viewing
    assert first["visitor"] == second["visitor"] is not None
    assert ["visitor=" in address for address in visit.addresses] == [False, True]


async def test_blocked_cookies(site: Site, tmp_path: Path) -> None:
    """The browser refuses FocusUp's cookies, though it is of the same site."""
    rule = {f"{site.focusup.url.removeprefix('http://')},*": {"setting": 2}}
    preferences = {"profile": {"content_settings": {"exceptions": {"cookies": rule}}}}
    async with visiting(site, tmp_path, preferences) as visit:
        page = await visit.goto("/page_a")
        await visit.viewed(1)
        await page.get_by_role("link", name="Page B").click()
        await visit.viewed(2)
        assert await visit.context.cookies(site.focusup.url) == []
        views = await visit.close(2)
    assert [named(view) for view in views] == [A, B]
    assert_one_after_the_other(views)
    assert all(message["visitor"] for message in visit.viewing)


async def test_blocked_cookies_and_storage(site: Site, tmp_path: Path) -> None:
    """Nobody can be known again then, but what is viewed is counted."""
    preferences = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    async with visiting(site, tmp_path, preferences) as visit:
        page = await visit.goto("/page_a")
        await visit.viewed(1)
        with pytest.raises(Exception, match="denied"):
            await page.evaluate("localStorage.length")
        await page.reload()
        await visit.viewed(2)
        assert len(visit.visitors) == 2


async def test_focusup_is_away_for_a_while(site: Site, tmp_path: Path) -> None:
    """The page lives on, and the same visitor views it again when FocusUp is back."""
    async with visiting(site, tmp_path) as visit:
        page = await visit.goto("/page_a")
        await active(page, 1.2)
        assert await asyncio.to_thread(site.focusup.stop) == 0
        page_alone = await asyncio.to_thread(httpx.get, f"{site.url}/page_a")
        assert page_alone.status_code == 200
        assert await page.locator("#state").inner_text() == "Not connected"
        await asyncio.to_thread(site.focusup.start)
        await visit.viewed(2)
        views = await visit.close(2)
    assert [named(view) for view in views] == [A, A]
    assert_one_after_the_other(views)


def test_the_pages_as_they_are_asked_for(site: Site) -> None:
    """Titles and links; and a page's own request writes nothing."""
    before = [site.views.count(name) for name in ("page_views", "visitors", "browser_sessions")]
    with httpx.Client(base_url=site.url) as client:
        for path, title, links in (
            ("/page_a", "Page A", {"/page_b", "/page_c/tab_1"}),
            ("/page_b", "Page B", {"/page_a", "/page_c/tab_2"}),
            ("/page_c/tab_1", "Page C, Tab 1", {"/page_b"}),
            ("/page_c/tab_2", "Page C, Tab 2", {"/page_a"}),
            ("/page_c/tab_b", "Page C, Tab 2", {"/page_a"}),
        ):
            answer = client.get(path)
            assert (answer.status_code, f"<title>{title}</title>" in answer.text) == (200, True)
            assert "Set-Cookie" not in answer.headers
            (shown,) = re.findall(r"<section[^>]*\"\s*>(.*?)</section>", answer.text, re.DOTALL)
            assert set(re.findall(r'href="(.*?)"', shown)) == links
        forwards = {client.get("/page_c").headers["Location"] for _ in range(40)}
        assert forwards == {"/page_c/tab_1", "/page_c/tab_2"}
        assert client.get("/page_c/tab_3").status_code == 404
    after = [site.views.count(name) for name in ("page_views", "visitors", "browser_sessions")]
    assert after == before


def test_one_command_starts_both_and_ctrl_c_stops_both(tmp_path: Path) -> None:
    options = ("--focusup-port", "0", "--data-dir", str(tmp_path / "data"))
    with served(tmp_path / "log", *options) as (process, focusup, url):
        assert httpx.get(f"{focusup}/api/health").json()["status"] == "ok"
        assert f'content="{focusup}"' in httpx.get(f"{url}/page_a").text
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 0, (tmp_path / "log").read_text()
    for address in (focusup, url):
        with pytest.raises(httpx.ConnectError):
            httpx.get(address)
