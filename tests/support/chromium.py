"""A Chromium as its user has it, driven by Playwright: nothing is emulated.

What must always hold: a page is visible only while its tab is in front and its window is
not minimised (Playwright's own launch makes every page believe it has the focus), and
pages that were left may come back from the back-forward cache.
"""

import asyncio
import json
import os
import signal
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Page, async_playwright

START_WITHIN_S = STOP_WITHIN_S = 20.0
FLAGS = (
    *("--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@asynccontextmanager
async def browsing(
    executable: str, profile: Path, preferences: Mapping[str, Any] | None = None
) -> AsyncIterator[BrowserContext]:
    """A browser with this profile and one window, in which nothing is open yet."""
    settings = profile / "Default" / "Preferences"
    settings.parent.mkdir(parents=True, exist_ok=True)
    if preferences is not None:
        settings.write_text(json.dumps(preferences))
    process = await asyncio.create_subprocess_exec(
        *(executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"),
        start_new_session=True,
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        endpoint = await _endpoint(profile)
        async with async_playwright() as playwright:
            chromium = playwright.chromium
            browser = await chromium.connect_over_cdp(endpoint, no_defaults=True)
            yield browser.contexts[0]
            await (await browser.new_browser_cdp_session()).send("Browser.close")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        await asyncio.wait_for(process.wait(), STOP_WITHIN_S)


async def set_window(page: Page, state: str) -> None:
    """Make the page's window `minimized` or `normal`."""
    session = await page.context.new_cdp_session(page)
    window = (await session.send("Browser.getWindowForTarget"))["windowId"]
    bounds = {"windowId": window, "bounds": {"windowState": state}}
    await session.send("Browser.setWindowBounds", bounds)
    await session.detach()


async def _endpoint(profile: Path) -> str:
    told = profile / "DevToolsActivePort"
    async with asyncio.timeout(START_WITHIN_S):
        while True:
            with suppress(FileNotFoundError, ValueError):
                port, path = told.read_text().split()
                return f"ws://127.0.0.1:{port}{path}"
            await asyncio.sleep(0.05)
