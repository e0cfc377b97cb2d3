"""The pages below a path of their host: each link, call and socket of them stays below it."""

from pathlib import Path

from playwright.async_api import expect

from tests.support.live_server import running_server
from tests.support.web.browser import at, begin, sign_up, stop


async def test_the_pages_stay_below_their_path(tmp_path: Path, email: str) -> None:
    with running_server(tmp_path, BASE_PATH="/focus") as server:
        assert server.url.endswith("/focus")
        async with at(server.url) as context:  # nothing else may be asked for
            page = await context.new_page()
            await page.goto(f"{server.url}/me")
            await page.wait_for_url(f"{server.url}/?next=*")
            await sign_up(page, server.url, email)
            await begin(page, 25)
            await stop(page)
            await page.get_by_role("link", name="Progress").first.click()
            await page.wait_for_url(f"{server.url}/me")
            await expect(page.locator("#history li, #history tr").first).to_be_visible()
            await page.get_by_role("button", name="Sign out").click()
            await page.wait_for_url(f"{server.url}/")
            cookies = {cookie.get("path") for cookie in await context.cookies()}
            assert cookies == {"/focus"}
