"""Screen time against truth: a script, the screen and the database agree within a second."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, expect
from pymongo import MongoClient
from pymongo.collection import Collection

from tests.support.live_server import LiveServer, running_server
from tests.support.web.browser import PATIENCE_S, moving, result, sign_up, window

VISITS = (
    "move 5",
    "move 2, hide 3, move 2",
    "move 2, pause 2.5, move 2",
    "hide 4",
    "pause 3, move 1.5",
    "move 0.5, hide 0.5, move 0.5, hide 0.5, move 0.5, hide 0.5",
    "rest 6",
    "move 1.2, pause 0.4, move 1.2, pause 0.4, move 1.2",
    "move 3, hide 2, pause 2, move 1",
    "move 0.3",
)
AWAY = "data:text/html,<title>Elsewhere</title>"
Json = dict[str, Any]


class Truth:
    """How long each thing was the case, at least and at most, by the clock of the script.

    What the script does takes effect between the moment before and the moment after which
    it shows, however slow the machine is.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, float]] = {}
        self.least = {"visible": 0.0, "counted": 0.0}
        self.most = {"visible": 0.0, "counted": 0.0}

    @asynccontextmanager
    async def begins(self, what: str) -> AsyncIterator[None]:
        before_s = time.monotonic()
        yield
        self._since[what] = (before_s, time.monotonic())

    @asynccontextmanager
    async def ends(self, what: str) -> AsyncIterator[None]:
        earliest_s, latest_s = self._since.pop(what)
        before_s = time.monotonic()
        yield
        self.least[what] += max(0.0, before_s - latest_s)
        self.most[what] += time.monotonic() - earliest_s

    def agrees(self, what: str, seconds: int) -> bool:
        """Whole seconds are counted: those that are over."""
        return int(self.least[what]) - 1 <= seconds <= int(self.most[what]) + 1


@pytest.mark.timeout(300)
async def test_ten_visits(tmp_path: Path, email: str) -> None:
    with running_server(tmp_path) as server, MongoClient[Json](server.mongodb_uri) as mongo:
        views = mongo[server.database]["page_views"]
        async with window(tmp_path / "profile", server.url, "data:") as context:
            page = context.pages[0]
            await sign_up(page, server.url, email)
            for script in VISITS:
                await page.goto(AWAY)
                await _ended(views)
                truth = Truth()
                shown = await _visit(page, context, server, views, script, truth)
                async with truth.ends("visible"):
                    await page.goto(AWAY)
                    await _ended(views)
                view = max(views.find(), key=lambda each: each["startedAt"])
                stored = _latest(mongo[server.database]["sessions"])
                told = f"{script}: {truth.least} to {truth.most}, {shown}, {view['visibleSeconds']}"
                assert shown["active"] == stored["activeSeconds"], told
                assert shown["idle"] == stored["idleSeconds"], told
                assert truth.agrees("counted", stored["elapsedSeconds"]), told
                assert truth.agrees("visible", view["visibleSeconds"]), told


async def _visit(
    page: Page,
    context: BrowserContext,
    server: LiveServer,
    views: Collection[Json],
    script: str,
    truth: Truth,
) -> dict[str, int]:
    async with truth.begins("visible"):
        await page.goto(server.url)
        await _begun(views)
    async with truth.begins("counted"):
        await page.get_by_role("button", name="Start").click()
        await expect(page.locator("#now")).to_have_text("Active")
    await page.locator("#running-title").click()
    for step in script.split(", "):
        act, for_s = step.split()
        await _STEPS[act](page, context, float(for_s), truth)
    await page.keyboard.press("Escape")
    async with truth.ends("counted"):
        await page.get_by_role("button", name="Finish").click()
        await page.locator("#result").wait_for()
    return await result(page)


async def _move(page: Page, _context: BrowserContext, for_s: float, _truth: Truth) -> None:
    await moving(page, for_s)


async def _rest(_page: Page, _context: BrowserContext, for_s: float, _truth: Truth) -> None:
    await asyncio.sleep(for_s)


async def _pause(page: Page, _context: BrowserContext, for_s: float, truth: Truth) -> None:
    async with truth.ends("counted"):
        await page.keyboard.press("Space")
        await expect(page.locator("#now")).to_have_text("Paused")
    await asyncio.sleep(for_s)
    async with truth.begins("counted"):
        await page.keyboard.press("Space")
        await expect(page.locator("#now")).to_have_text("Active")


async def _hide(page: Page, context: BrowserContext, for_s: float, truth: Truth) -> None:
    async with truth.ends("visible"):
        other = await context.new_page()
        await _shows(page, "hidden")
    await asyncio.sleep(for_s)
    async with truth.begins("visible"):
        await other.close()
        await page.bring_to_front()
        await _shows(page, "visible")


async def _shows(page: Page, state: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await page.evaluate("document.visibilityState") == state:
                return
            await asyncio.sleep(0.05)


_STEPS: dict[str, Callable[..., Any]] = {
    "move": _move,
    "rest": _rest,
    "pause": _pause,
    "hide": _hide,
}


async def _ended(views: Collection[Json]) -> None:
    """Until no page is viewed any more."""
    await _open(views, 0)


async def _begun(views: Collection[Json]) -> None:
    """Until the server counts the page that was opened."""
    await _open(views, 1)


async def _open(views: Collection[Json], count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if views.count_documents({"endedAt": None}) == count:
                return
            await asyncio.sleep(0.1)


def _latest(sessions: Collection[Json]) -> Json:
    return max(sessions.find(), key=lambda each: each["createdAt"])
