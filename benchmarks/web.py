"""What a page costs a browser that has nothing of it yet: `python -m benchmarks web`.

Each page is opened `--times` in a new Chromium context, signed in, with the year of
`focusup demo` behind it. Beside the bytes that are sent stand those of the same files
uncompressed, as a server without compression sends them.
"""

import argparse
import asyncio
import json
import shutil
from datetime import UTC, datetime
from statistics import median
from typing import Any

import httpx
from motor.motor_asyncio import AsyncIOMotorClient
from playwright.async_api import Browser, async_playwright

from benchmarks.servers import SECRET, Server, running
from focusup.demo.storage import add
from models.accounts.users import find_user_by_email, set_role
from models.privacy.deletions import Deletions

PAGES = ("/", "/me", "/admin")
EMAIL, PASSWORD = "demo@focusup.test", "correct horse"
FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update")
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


class Load:
    """What one opening took."""

    def __init__(self) -> None:
        self.sent = 0
        self.plain = 0
        self.requests = 0
        self.first_paint_ms = 0.0


async def opened(browser: Browser, url: str, path: str, account: str) -> Load:
    load = Load()
    context = await browser.new_context()
    await context.add_init_script(f"localStorage.setItem('focusup.account', {json.dumps(account)})")
    page = await context.new_page()
    session = await context.new_cdp_session(page)

    def finished(event: dict[str, float]) -> None:
        load.sent += int(event["encodedDataLength"])
        load.requests += 1

    def received(event: dict[str, float]) -> None:
        load.plain += int(event["dataLength"])

    session.on("Network.loadingFinished", finished)
    session.on("Network.dataReceived", received)
    await session.send("Network.enable")
    await page.goto(url + path)
    await page.wait_for_load_state("networkidle")
    load.first_paint_ms = float(await page.evaluate(FIRST_PAINT))
    await context.close()
    return load


async def measure(server: Server, times: int) -> None:
    url = f"http://127.0.0.1:{server.port}"
    mongo: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
        server.mongodb_uri, tz_aware=True
    )
    database = mongo["focusup"]
    gone, now = Deletions(database, SECRET, 3600), datetime.now(UTC)
    await add(database, gone, email=EMAIL, password=PASSWORD, seed=1, until=now, now=now)
    user = await find_user_by_email(database, EMAIL)
    assert user is not None
    await set_role(database, user, "admin")
    body = {"email": EMAIL, "password": PASSWORD}
    async with httpx.AsyncClient() as client:
        account = (await client.post(f"{url}/api/auth/login", json=body)).text
    print(f"{'page':<8}{'requests':>9}{'KB':>8}{'KB plain':>10}{'ratio':>7}{'first paint ms':>16}")
    async with async_playwright() as playwright:
        executable = shutil.which("chromium")
        browser = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        for path in PAGES:
            loads = [await opened(browser, url, path, account) for _ in range(times)]
            paints = sorted(load.first_paint_ms for load in loads)
            sent, plain = (median(getattr(x, name) for x in loads) for name in ("sent", "plain"))
            print(
                f"{path:<8}{loads[-1].requests:>9}{sent / 1024:>8.1f}{plain / 1024:>10.1f}"
                f"{plain / sent:>7.1f}{median(paints):>8.0f} (p50){paints[-1]:>6.0f} (max)"
            )
        await browser.close()


def main(options: list[str]) -> None:
    parser = argparse.ArgumentParser("benchmarks web", description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    arguments = parser.parse_args(options)
    with running("ours") as server:
        asyncio.run(measure(server, arguments.times))
