"""Screen time against truth: a script, the screen and the database agree within a second."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page
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
    """How long each thing was the case, by the clock of the script."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self.seconds = {"visible": 0.0, "counted": 0.0}

    def begins(self, what: str) -> None:
        self._since[what] = time.monotonic()

    def ends(self, what: str) -> None:
        self.seconds[what] += time.monotonic() - self._since.pop(what)

    def whole(self, what: str) -> int:
        """As seconds are counted: those that are over."""
        return int(self.seconds[what])


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
                shown = await _visit(page, context, server, script, truth)
                await page.goto(AWAY)
                truth.ends("visible")
                await _ended(views)
                view = max(views.find(), key=lambda each: each["startedAt"])
                stored = _latest(mongo[server.database]["sessions"])
                told = f"{script}: {truth.seconds}, {shown}, {view['visibleSeconds']}"
                assert shown["active"] == stored["activeSeconds"], told
                assert shown["idle"] == stored["idleSeconds"], told
                assert abs(stored["elapsedSeconds"] - truth.whole("counted")) <= 1, told
                assert abs(view["visibleSeconds"] - truth.whole("visible")) <= 1, told


async def _visit(
    page: Page, context: BrowserContext, server: LiveServer, script: str, truth: Truth
) -> dict[str, int]:
    await page.goto(server.url)
    truth.begins("visible")
    await page.get_by_role("button", name="Start").click()
    truth.begins("counted")
    await page.locator("#running").wait_for()
    await page.locator("#running-title").click()
    for step in script.split(", "):
        act, for_s = step.split()
        await _STEPS[act](page, context, float(for_s), truth)
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Stop and score").click()
    truth.ends("counted")
    await page.locator("#result").wait_for()
    return await result(page)


async def _move(page: Page, _context: BrowserContext, for_s: float, _truth: Truth) -> None:
    await moving(page, for_s)


async def _rest(_page: Page, _context: BrowserContext, for_s: float, _truth: Truth) -> None:
    await asyncio.sleep(for_s)


async def _pause(page: Page, _context: BrowserContext, for_s: float, truth: Truth) -> None:
    await page.keyboard.press("Space")
    truth.ends("counted")
    await page.get_by_role("button", name="Resume").wait_for()
    await asyncio.sleep(for_s)
    await page.keyboard.press("Space")
    truth.begins("counted")
    await page.get_by_role("button", name="Pause").wait_for()


async def _hide(page: Page, context: BrowserContext, for_s: float, truth: Truth) -> None:
    other = await context.new_page()
    truth.ends("visible")
    await asyncio.sleep(for_s)
    await other.close()
    await page.bring_to_front()
    truth.begins("visible")


_STEPS: dict[str, Callable[..., Any]] = {
    "move": _move,
    "rest": _rest,
    "pause": _pause,
    "hide": _hide,
}


async def _ended(views: Collection[Json]) -> None:
    """Until no page is viewed any more."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if not views.count_documents({"endedAt": None}):
                return
            await asyncio.sleep(0.1)


def _latest(sessions: Collection[Json]) -> Json:
    return max(sessions.find(), key=lambda each: each["createdAt"])
