"""The page at `/docs/socket` in a browser: readable without scripts, on any screen."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from playwright.async_api import async_playwright
from quart import Quart

from tests.support.accounts_app import FakeClock, accounts_app
from tests.support.serving import chromium, served


@pytest.fixture
def app() -> Quart:
    return accounts_app(AsyncMongoMockClient(tz_aware=True)["focusup"], FakeClock())


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox"]
        )
        yield started
        await started.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_it_can_be_read_without_scripts(
    app: Quart, browser: Any, width: int, scheme: str
) -> None:
    async with served(app) as address:
        context = await browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            java_script_enabled=False,
        )
        page = await context.new_page()
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        await page.goto(f"{address}/docs/socket#sessions-Start")
        box = await page.locator("body").bounding_box()
        widest = await page.locator("table, pre").evaluate_all(
            "all => Math.max(...all.map(each => each.getBoundingClientRect().right))"
        )
        assert box is not None
        assert max(box["width"], widest) <= width
        style = "each => [getComputedStyle(each).color, getComputedStyle(each).backgroundColor]"
        text, paper = [
            sum(map(int, re.findall(r"\d+", colour)[:3]))
            for colour in await page.locator("body").evaluate(style)
        ]
        assert abs(text - paper) > 500  # of 765
        assert (text < paper) == (scheme == "light")
        assert all(url.startswith(address) for url in asked)
        assert said == []
