"""How every page looks: narrow and wide, light and dark, empty and after a year.

The pictures are for people, in `artifacts/screens`; what a program can tell is asserted here:
nothing is wider than the window, and nothing went wrong.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.async_api import Page

from tests.support.commands import focusup
from tests.support.live_server import LiveServer, running_server
from tests.support.paths import ROOT
from tests.support.web.browser import PASSWORD, at, begin, moving, sign_in, stop
from tests.web.test_pages import MOST_BYTES, weight

SCREENS = ROOT / "artifacts" / "screens"
WIDTHS = (320, 390, 768, 1280, 1600)
TAKEN = (390, 1280)
DEMO = "demo@focusup.test"


class Stage(NamedTuple):
    server: LiveServer
    demo_password: str


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server with a demonstration whose learner is an admin, and one with nothing."""
    with running_server(tmp_path_factory.mktemp("screens")) as server:
        told = focusup(server, "demo")
        focusup(server, "admin", "add", DEMO, "--yes")
        for email in ("new@example.com", "fresh@example.com"):
            with server.rest(None) as client:
                client.post("/api/auth/signup", json={"email": email, "password": PASSWORD})
        focusup(server, "admin", "add", "fresh@example.com", "--yes")
        yield Stage(server, re.findall(r"^password: (\S+)$", told, re.MULTILINE)[0])


async def take(page: Page, name: str, scheme: str) -> None:
    """Pictures at the widths that people have; nothing may be cut off at any."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        await page.wait_for_timeout(150)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} wide at {width}"
        if width in TAKEN:
            path = SCREENS / f"{name}-{width}-{scheme}.png"
            await page.screenshot(path=path, full_page=True)
            assert path.stat().st_size > 5_000


async def settled(page: Page, url: str) -> None:
    await page.goto(url)
    await page.wait_for_load_state("networkidle")
    await page.wait_for_timeout(300)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/me", "/admin"])
@pytest.mark.parametrize("state", ["empty", "data"])
async def test_a_page(stage: Stage, path: str, scheme: str, state: str) -> None:
    server = stage.server
    email, password = (
        (DEMO, stage.demo_password) if state == "data" else ("fresh@example.com", PASSWORD)
    )
    async with at(server.url, color_scheme=scheme) as context:
        page = await context.new_page()
        await sign_in(page, server.url, email, password)
        await settled(page, server.url + path)
        name = {"/": "study", "/me": "progress", "/admin": "admin"}[path]
        await take(page, f"{name}-{state}", scheme)
        assert await weight(page, server.url + path) <= MOST_BYTES


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_way_through_a_session(stage: Stage, scheme: str) -> None:
    server = stage.server
    async with at(server.url, color_scheme=scheme) as context:
        page = await context.new_page()
        await settled(page, server.url)
        await take(page, "welcome", scheme)
        await sign_in(page, server.url, "new@example.com", PASSWORD)
        await begin(page, 1, **{"Title": "Chapter 3", "Subject or material": "algebra"})
        await moving(page, 3)
        await take(page, "running", scheme)
        await page.keyboard.press("Escape")
        await take(page, "ending", scheme)
        await page.keyboard.press("Escape")
        await stop(page)
        await take(page, "result", scheme)
        await settled(page, f"{server.url}/admin")
        await take(page, "admin-refused", scheme)
