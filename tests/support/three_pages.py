"""The three-page site and a browser that visits it.

Visibility is never faked: tabs come to the front and windows are minimised.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.async_api import BrowserContext, Page, WebSocket

from tests.support.chromium import browsing
from tests.support.live_server import LiveServer
from tests.support.page_client import Views
from tests.support.paths import ROOT
from tests.support.requirements import require

STARTED = re.compile(r"FocusUp: +(http://\S+)\nOpen: +(http://[^/]+)/page_a")

Json = dict[str, Any]


class Site(NamedTuple):
    url: str
    focusup: LiveServer
    views: Views


@contextmanager
def served(log: Path, *options: str) -> Iterator[tuple["subprocess.Popen[bytes]", str, str]]:
    """The example as its command starts it: the process, its FocusUp and its own address."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "examples.three_pages", "--port", "0", *options],
            cwd=ROOT,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 20
        while not (started := STARTED.search(log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield process, started[1], started[2]
    finally:
        process.terminate()
        process.wait(20)
    assert "Traceback" not in log.read_text(), log.read_text()


class Visit:
    """A browser at the site, and what its pages and FocusUp said to each other."""

    def __init__(self, site: Site, context: BrowserContext) -> None:
        self.context = context
        self.addresses: list[str] = []
        self.sent: list[Json] = []
        self.viewing: list[Json] = []
        self._site = site
        self._answered = asyncio.Condition()
        context.on("page", self._listen)
        for page in context.pages:
            self._listen(page)

    def _listen(self, page: Page) -> None:
        page.on("websocket", self._connected)

    def _connected(self, socket: WebSocket) -> None:
        self.addresses.append(socket.url)
        socket.on("framesent", lambda text: self.sent.append(json.loads(text)))
        socket.on("framereceived", self._heard)

    async def _heard(self, text: str | bytes) -> None:
        message = json.loads(text)
        if message["type"] == "viewing":
            async with self._answered:
                self.viewing.append(message)
                self._answered.notify_all()

    @property
    def visitors(self) -> set[str]:
        return {message["visitorId"] for message in self.viewing}

    async def goto(self, path: str, *, host: str = "127.0.0.1") -> Page:
        page = self.context.pages[0]
        await page.goto(self._site.url.replace("127.0.0.1", host) + path)
        return page

    async def viewed(self, count: int) -> None:
        """Until FocusUp has answered so many views."""
        async with asyncio.timeout(8), self._answered:
            await self._answered.wait_for(lambda: len(self.viewing) >= count)

    async def close(self, count: int) -> list[Json]:
        """Close every tab; the so many views that are stored of the visitor then."""
        (visitor,) = self.visitors
        for page in self.context.pages[1:]:
            await page.close()
        await self.context.pages[0].goto("about:blank")
        async with asyncio.timeout(5):
            while True:
                views = self._site.views.of(visitor)
                if len(views) >= count and all(view["endedAt"] for view in views):
                    return views
                await asyncio.sleep(0.1)


@asynccontextmanager
async def visiting(
    site: Site, profile: Path, preferences: Json | None = None
) -> AsyncIterator[Visit]:
    chromium = require("chromium", "the three pages are shown in it")
    async with browsing(chromium, profile, preferences) as context:
        yield Visit(site, context)


async def active(page: Page, seconds: float) -> None:
    """The pointer moves for so long."""
    until = time.monotonic() + seconds
    step = 0
    while (left := until - time.monotonic()) > 0:
        step += 1
        await page.mouse.move(40 + step % 20, 400)
        await asyncio.sleep(min(left, 0.25))


class Watch:
    """How long the visitor was somewhere, by a clock of ours."""

    def __init__(self) -> None:
        self._since_s = time.monotonic()

    def lap(self) -> float:
        since_s, self._since_s = self._since_s, time.monotonic()
        return self._since_s - since_s


async def shown(page: Page) -> str:
    """The title, which stands above the content as well."""
    title = await page.title()
    assert await page.get_by_role("heading").all_inner_texts() == [title]
    return title


async def visibility(page: Page) -> str:
    return str(await page.evaluate("document.visibilityState"))
