"""A browser at our pages, which notices whatever it should not have to."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, async_playwright

from tests.support.chromium import browsing
from tests.support.requirements import require
from tests.support.web.coverage import covered

FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update")
PATIENCE_S = 20
NO_NUMBER = "\u2013"  # a dash
PASSWORD = "correct horse"
LOST = re.compile(r"ERR_(CONNECTION|INTERNET|NETWORK|EMPTY|SOCKET)|closed before the connection")


class Watch:
    """What went wrong in the pages of a context: errors of scripts, what the console warns of
    (a breach of the content security policy too), requests that left the server's origin."""

    def __init__(self, *origins: str, expected: str | None = None) -> None:
        self.wrong: list[str] = []
        self._origins = origins
        self._expected = LOST if expected is None else re.compile(f"{LOST.pattern}|{expected}")

    def page(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", self._request)
        page.on("websocket", lambda socket: self._address(socket.url.replace("ws", "http", 1)))

    def _console(self, message: ConsoleMessage) -> None:
        # A browser itself tells of each connection that fails, which no page can help.
        if message.type in ("error", "warning") and not self._expected.search(message.text):
            self.wrong.append(f"console: {message.text} ({message.location['url']})")

    def _request(self, request: Request) -> None:
        self._address(request.url)

    def _address(self, url: str) -> None:
        if not url.startswith((*self._origins, "data:", "blob:", "about:")):
            self.wrong.append(f"foreign request: {url}")


@asynccontextmanager
async def at(
    *origins: str, expected: str | None = None, **options: Any
) -> AsyncIterator[BrowserContext]:
    """A browser context that may speak to these origins alone; nothing may go wrong in it, but
    what the console is `expected` to tell (a regular expression)."""
    executable = require("chromium", "our pages are shown in it")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        context = await browser.new_context(**options)
        watch = watched(context, *origins, expected=expected)
        async with covered(context):
            yield context
        await browser.close()
    assert not watch.wrong, watch.wrong


@asynccontextmanager
async def window(profile: Path, *origins: str) -> AsyncIterator[BrowserContext]:
    """A real window, in which a page is visible only while its tab is in front."""
    executable = require("chromium", "our pages are shown in it")
    async with browsing(executable, profile) as context:
        watch = watched(context, *origins)
        async with covered(context):
            yield context
    assert not watch.wrong, watch.wrong


def watched(context: BrowserContext, *origins: str, expected: str | None = None) -> Watch:
    watch = Watch(*origins, expected=expected)
    context.on("page", watch.page)
    for page in context.pages:
        watch.page(page)
    return watch


async def sign_up(page: Page, url: str, email: str) -> None:
    """On the first page, until one can choose a session."""
    await page.goto(f"{url}/")
    await _enter(page, email, "Sign up")


async def sign_in(page: Page, url: str, email: str, password: str = PASSWORD) -> None:
    await page.goto(f"{url}/")
    await page.get_by_role("tab", name="Sign in").click()
    await _enter(page, email, "Sign in", password)


async def _enter(page: Page, email: str, button: str, password: str = PASSWORD) -> None:
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name=button).click()
    await page.get_by_role("heading", name="What will you study?").wait_for()


async def begin(page: Page, minutes: float, **fields: str) -> None:
    """Choose and start a session, until its first second is shown. Fields go by their label."""
    await page.get_by_label("Other", exact=True).check()
    await page.get_by_label("How many minutes").fill(str(minutes))
    for label, value in fields.items():
        await page.get_by_label(label, exact=True).fill(value)
    await page.get_by_role("button", name="Start").click()
    await page.locator("#running").wait_for()  # hidden, it may hold the former session's numbers
    await counted(page, 1)


async def counted(page: Page, active: int) -> None:
    """Until so many active seconds are shown. (A policy without `eval` also keeps Playwright
    from waiting inside the page.)"""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await shown_seconds(page, "#active-time") >= active:
                return
            await asyncio.sleep(0.05)


async def moving(page: Page, for_s: float) -> None:
    """The pointer moves for so long."""
    until, step = time.monotonic() + for_s, 0
    while (left := until - time.monotonic()) > 0:
        step += 1
        await page.mouse.move(300 + step % 40, 300)
        await asyncio.sleep(min(left, 0.25))


async def stop(page: Page) -> None:
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Finish").click()
    await page.locator("#result").wait_for()


def seconds(clock: str) -> int:
    """Return the seconds of a time as it is shown, such as 1:05; none are shown as a dash."""
    if clock == NO_NUMBER:
        return 0
    total = 0
    for part in clock.lstrip("+").split(":"):
        total = total * 60 + int(part)
    return total


async def shown_seconds(page: Page, selector: str) -> int:
    return seconds(await page.locator(selector).inner_text())


async def result(page: Page) -> dict[str, int]:
    """What the page shows of a session that has ended."""
    facts = await page.locator("#result-facts > div").all_inner_texts()
    told = dict(fact.split("\n", 1) for fact in facts)
    counters = {name.lower(): seconds(told[name]) for name in ("Active", "Idle", "Paused", "Away")}
    score = await page.locator("#final-score").inner_text()
    return {
        **counters,
        "switches": int(told["Tab switches"]),
        "score": int(score),
    }
