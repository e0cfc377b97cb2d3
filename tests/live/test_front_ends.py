"""Front ends as they are: the published client, and a page on another localhost port."""

import asyncio
import json
import subprocess
import uuid

import pytest

from tests.support.live_server import LiveServer
from tests.support.paths import NODE
from tests.support.requirements import missing, require
from tests.support.sites import HTML, site
from tests.support.socket_client import stored


def test_the_published_client_works_unchanged(live_server: LiveServer) -> None:
    node = require("node", "the published client runs in it")
    if not (NODE / "node_modules" / "ws").is_dir():
        missing("the package ws is not installed: npm install --prefix tests/node")
    user = uuid.uuid4().hex
    done = subprocess.run(
        [node, "published_client.mjs", live_server.url, live_server.token(user)],
        cwd=NODE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    types = [message["type"] for message in result["told"]]
    assert types[0] == "started"
    assert types[-1] == "stopped"
    assert types.count("tick") >= 3
    session = stored(live_server, result["sessionId"], user)
    assert session == result["told"][-1]["session"]
    assert session["contentId"] == "xyz"
    assert (session["status"], session["tabSwitches"]) == ("completed", 1)
    assert 3 <= session["elapsedSeconds"] <= 5
    assert session["idleSeconds"] == 0


PAGE = """<!doctype html><meta charset="utf-8"><title>A study app</title><script type="module">
const [api, token] = location.hash.slice(1).split("|").map(decodeURIComponent);
const headers = { "Content-Type": "application/json", Authorization: `Bearer ${token}` };
const call = async (method, path, body) =>
  (await fetch(api + path, { method, headers, body: JSON.stringify(body) })).json();
try {
  const { session } = await call("POST", "/api/sessions", { title: "from another port" });
  const ws = new WebSocket(api.replace("http", "ws") + "/ws/sessions",
                           ["focusup.v1", `bearer.${token}`]);
  ws.onopen = () => ws.send(JSON.stringify({ type: "start", sessionId: session._id }));
  ws.onmessage = async ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "tick") ws.send(JSON.stringify({ type: "stop" }));
    if (message.type !== "stopped") return;
    const read = await call("GET", `/api/sessions/${session._id}`);
    document.title = JSON.stringify(read.session);
  };
  ws.onclose = ({ code }) => { document.title = `closed ${code}`; };
} catch (error) { document.title = `failed: ${error}`; }
</script>"""


async def run_page(executable: str, url: str) -> str:
    """What the page has put into its title in the end."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        page = await browser.new_page()
        await page.goto(url)
        await page.wait_for_function("document.title !== 'A study app'", timeout=15_000)
        title = await page.title()
        await browser.close()
        return title


@pytest.mark.timeout(90)
async def test_a_page_on_another_localhost_port(live_server: LiveServer) -> None:
    chromium = require("chromium", "a page of another origin is shown in it")
    user = uuid.uuid4().hex
    with site({"/": (HTML, PAGE.encode())}) as origin:
        target = f"{origin}/#{live_server.url}|{live_server.token(user)}"
        session = json.loads(await asyncio.wait_for(run_page(chromium, target), 60))
    assert (session["title"], session["status"]) == ("from another port", "completed")
    assert session["elapsedSeconds"] >= 1
