"""The client library in a real browser, on a page of another origin, as README shows it."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Page

from tests.support.chromium import browsing, set_window
from tests.support.live_server import LiveServer
from tests.support.paths import ROOT
from tests.support.requirements import require
from tests.support.sites import HTML, site

PATIENCE_S = 20
LINES = re.compile(r"```js\n(import \{ connect \}.*?)```", re.DOTALL)
PAGE = """<!doctype html><meta charset="utf-8"><title>A study app</title><p>Study</p><script>
const shown = [], states = [];
const myToken = () => location.hash.slice(1);
const show = (elapsed, score) => shown.push([elapsed, score]);
</script><script type="module">%s
session.on("connection", ({ state }) => states.push(state));
globalThis.session = session;
</script>"""


def snippet() -> str:
    """The lines of README, which are those of docs/browser.md."""
    (lines,) = LINES.findall((ROOT / "README.md").read_text())
    assert lines in (ROOT / "docs" / "browser.md").read_text()
    return str(lines)


RESTLESS = """<!doctype html><meta charset="utf-8"><title>A restless page</title>
<div id="box" style="height: 300px; overflow: scroll"><p style="height: 90000px">Text</p></div>
<iframe id="frame" srcdoc="<textarea autofocus></textarea>"></iframe>
<script type="module">
import { connect } from "%s/focusup.js";
const focusup = connect({ token: location.hash.slice(1) });
const session = await focusup.createSession({ idleMode: 5 });
globalThis.states = [];
session.on("state", ({ idle }) => states.push(idle));
session.on("tick", ({ idle }) => { if (states.at(-1) !== idle) states.push(idle); });
setInterval(() => {
  box.scrollTop += 1;
  document.dispatchEvent(new KeyboardEvent("keydown", { key: "a" }));
}, 200);
await session.start();
globalThis.session = session;
</script>"""


@contextmanager
def study_app(server: LiveServer) -> Iterator[str]:
    """Another origin: a page with the lines of README, and one without."""
    app = PAGE % snippet().replace("http://localhost:5000", server.url)

    restless = RESTLESS % server.url
    files = {"/": app, "/elsewhere": "<title>Elsewhere</title>", "/restless": restless}
    with site({path: (HTML, text.encode()) for path, text in files.items()}) as url:
        yield url


@asynccontextmanager
async def studying(server: LiveServer, user: str, profile: Path) -> AsyncIterator[Page]:
    """A window with the app in it, whose session has been counting for a second."""
    chromium = require("chromium", "the client library runs in it")
    with study_app(server) as url:
        async with browsing(chromium, profile) as context:
            page = context.pages[0]
            await page.goto(f"{url}/#{server.token(user)}")
            await page.wait_for_function("globalThis.session && shown.length > 0")
            yield page


async def more_ticks(page: Page) -> None:
    before = await page.evaluate("shown.length")
    # Not by frames, as Playwright waits: a window that was minimised may have none.
    await page.wait_for_function("(from) => shown.length > from + 1", arg=before, polling=100)


def read(rest: httpx.Client, id_: str) -> dict[str, Any]:
    session: dict[str, Any] = rest.get(f"/api/sessions/{id_}").json()["session"]
    return session


async def until(rest: httpx.Client, id_: str, **fields: Any) -> dict[str, Any]:
    """The session, once it has these fields."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            session = read(rest, id_)
            if session.items() >= fields.items():
                return session
            await asyncio.sleep(0.1)


async def test_the_lines_of_the_readme(
    live_server: LiveServer, user: str, rest: httpx.Client, tmp_path: Path
) -> None:
    async with studying(live_server, user, tmp_path) as page:
        await more_ticks(page)
        ended = await page.evaluate("session.stop()")
        assert ended == read(rest, ended["_id"])
        assert (ended["status"], ended["idleSeconds"], ended["tabSwitches"]) == ("completed", 0, 0)
        shown = await page.evaluate("shown")
        assert [elapsed for elapsed, _ in shown] == list(range(1, len(shown) + 1))
        assert ended["elapsedSeconds"] == len(shown) >= 2


async def test_a_page_that_is_hidden_frozen_left_and_come_back_to(
    live_server: LiveServer, user: str, rest: httpx.Client, tmp_path: Path
) -> None:
    async with studying(live_server, user, tmp_path) as page:
        id_ = await page.evaluate("session.id")
        await set_window(page, "minimized")
        await until(rest, id_, tabSwitches=1)
        cdp = await page.context.new_cdp_session(page)
        await cdp.send("Page.setWebLifecycleState", {"state": "frozen"})  # Chromium cuts its socket
        await asyncio.sleep(1)
        await cdp.send("Page.setWebLifecycleState", {"state": "active"})
        await set_window(page, "normal")
        await more_ticks(page)
        assert await page.evaluate("states.splice(0)") == ["connecting", "open"]

        await page.goto(re.sub(r"/#.*", "/elsewhere", page.url))
        await until(rest, id_, tracked=False)
        await page.go_back(wait_until="commit")
        await more_ticks(page)
        assert await page.evaluate("states.splice(0)") == ["resting", "connecting", "open"]
        session = await until(rest, id_, tracked=True)
        assert (session["status"], session["tabSwitches"]) == ("active", 1)
        assert (await page.evaluate("session.stop()"))["status"] == "completed"


async def test_a_page_that_moves_by_itself_is_idle_and_work_in_a_frame_is_not(
    live_server: LiveServer, user: str, tmp_path: Path
) -> None:
    """A box that scrolls itself below the pointer, and keys that a script presses."""
    chromium = require("chromium", "the client library runs in it")
    with study_app(live_server) as url:
        async with browsing(chromium, tmp_path) as context:
            page = context.pages[0]
            await page.goto(f"{url}/restless#{live_server.token(user)}")
            await page.wait_for_function("globalThis.session")
            await page.mouse.move(100, 100)
            await page.wait_for_function("states.at(-1) === true", polling=100)
            await page.frame_locator("#frame").locator("textarea").press_sequentially("work")
            await page.wait_for_function("states.at(-1) === false", polling=100)
            await page.evaluate("session.stop()")
