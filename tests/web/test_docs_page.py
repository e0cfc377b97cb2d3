"""The page at `/docs` in a browser: Swagger UI of the installed package, under a strict policy."""

from mongomock_motor import AsyncMongoMockClient
from playwright.async_api import async_playwright

from tests.support.accounts_app import FakeClock, accounts_app
from tests.support.serving import chromium, served


async def test_a_browser_shows_the_page_and_asks_no_other_host() -> None:
    app = accounts_app(AsyncMongoMockClient(tz_aware=True)["focusup"], FakeClock())
    async with served(app) as address, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox"]
        )
        page = await browser.new_page()
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        await page.goto(f"{address}/docs")
        await page.click("#operations-Accounts-signup")
        await page.wait_for_selector("text=Create an account")
        await page.click("text=Try it out")
        assert [url for url in asked if not url.startswith((address, "data:"))] == []
        assert f"{address}/openapi.json" in asked
        assert said == []  # no error, and nothing that the policy had to forbid
        await browser.close()
