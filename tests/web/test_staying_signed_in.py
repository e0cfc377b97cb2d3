"""Signing in, out and staying in: with what a browser may lack, and without the server."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.support.live_server import LiveServer
from tests.support.web.browser import (
    PASSWORD,
    PATIENCE_S,
    at,
    begin,
    counted,
    moving,
    sign_up,
    stop,
)

BLOCKED = """Object.defineProperty(globalThis, "localStorage", {
  get() { throw new DOMException("Access is denied for this document.", "SecurityError"); },
});"""
ZONELESS = """delete Intl.supportedValuesOf;
const { resolvedOptions } = Intl.DateTimeFormat.prototype;
Intl.DateTimeFormat.prototype.resolvedOptions = function () {
  return { ...resolvedOptions.call(this), timeZone: "%s" };
};"""


async def account(page: Page) -> dict[str, Any] | None:
    """What the browser keeps of who is signed in."""
    kept = await page.evaluate("localStorage.getItem('focusup.account')")
    return json.loads(kept) if kept else None


def bearer(server: LiveServer, token: str) -> httpx.Client:
    client = server.rest(None)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


async def running(context: BrowserContext, url: str, email: str) -> Page:
    page = await context.new_page()
    await sign_up(page, url, email)
    await begin(page, 5, Title="Chapter 3")
    return page


async def test_a_browser_that_blocks_storage_is_told_before_an_account_is_made(
    live_server: LiveServer,
) -> None:
    async with at(live_server.url) as context:
        await context.add_init_script(BLOCKED)
        page = await context.new_page()
        await page.goto(live_server.url)
        await expect(page.locator("#welcome-told")).to_contain_text("blocks storage")
        await expect(page.locator("#sign-button")).to_be_disabled()


@pytest.mark.parametrize("zone", ["Etc/Unknown", "Nowhere/Land", "Factory"])
async def test_a_browser_without_a_zone_is_in_utc(
    live_server: LiveServer, email: str, zone: str
) -> None:
    async with at(live_server.url, expected="status of 422") as context:
        await context.add_init_script(ZONELESS % zone)
        page = await context.new_page()
        await sign_up(page, live_server.url, email)
        await page.goto(f"{live_server.url}/me")
        await expect(page.locator("#invite")).to_be_visible()
        await expect(page.locator("#zone")).to_have_value(zone if zone == "Factory" else "UTC")


async def test_a_zone_that_the_server_does_not_know_becomes_utc(
    live_server: LiveServer, email: str
) -> None:
    async with at(live_server.url, expected="status of 422") as context:
        page = await context.new_page()
        given: list[str] = []

        async def refuse(route: Any) -> None:
            zone = route.request.post_data_json["timeZone"]
            given.append(zone)
            if zone == "UTC":
                await route.continue_()
                return
            wrong = {"field": "timeZone", "message": "unknown"}
            await route.fulfill(status=422, json={"code": "invalid_body", "errors": [wrong]})

        await page.route("**/api/auth/signup", refuse)
        await sign_up(page, live_server.url, email)
        assert given[-1] == "UTC"


async def test_what_the_server_refuses_is_said_at_the_field(
    live_server: LiveServer, email: str
) -> None:
    async with at(live_server.url, expected="status of 4") as context:
        page = await context.new_page()
        wrong = {"field": "email", "message": "value is not a valid email address"}
        body = {"code": "invalid_body", "detail": "The body breaks.", "errors": [wrong]}
        await page.route("**/api/auth/signup", lambda route: route.fulfill(status=422, json=body))
        await page.goto(live_server.url)
        await page.get_by_label("E-mail").fill(email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign up").click()
        await expect(page.locator("#email-wrong")).to_have_text("Enter a valid e-mail address.")
        await expect(page.locator("#sign-wrong")).to_be_empty()
        await expect(page.locator("#email")).to_be_focused()
        await page.unroute_all()
        assert (
            live_server.rest(None)
            .post("/api/auth/signup", json={"email": email, "password": PASSWORD})
            .is_success
        )
        await page.get_by_role("button", name="Sign up").click()
        await expect(page.locator("#sign-wrong")).to_contain_text("There is an account")
        await page.get_by_label("Password").fill("short")
        await page.get_by_role("button", name="Sign up").click()
        await expect(page.locator("#password-wrong")).to_contain_text("8 characters")
        await expect(page.locator("#sign-wrong")).to_be_empty()


async def test_a_long_password_is_taken_whole(live_server: LiveServer, email: str) -> None:
    password = "long " * 40
    async with at(live_server.url) as context:
        page = await context.new_page()
        await page.goto(live_server.url)
        await page.get_by_label("E-mail").fill(email)
        await page.get_by_label("Password").fill(password)
        await page.get_by_role("button", name="Sign up").click()
        await page.get_by_role("heading", name="What will you study?").wait_for()
    login = {"email": email, "password": password}
    assert live_server.rest(None).post("/api/auth/login", json=login).is_success


async def test_a_login_that_ends_is_said_and_the_session_goes_on(
    live_server: LiveServer, email: str
) -> None:
    async with at(live_server.url, expected="status of 401") as context:
        page = await running(context, live_server.url, email)
        kept = await account(page)
        assert kept is not None
        with bearer(live_server, kept["token"]) as client:
            assert client.post("/api/auth/logout-everywhere").is_success
        await expect(page.locator("#welcome-told")).to_contain_text("Your sign-in has ended")
        await expect(page.get_by_role("tab", name="Sign in")).to_have_attribute(
            "aria-selected", "true"
        )
        await page.get_by_label("E-mail").fill(email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("heading", name="Chapter 3").wait_for()
        await stop(page)
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("tab", name="Sign up").wait_for()
        await expect(page.locator("#welcome-told")).to_be_hidden()


async def test_signing_out_while_offline_is_done_when_online(
    live_server: LiveServer, email: str
) -> None:
    async with at(live_server.url) as context:
        page = await context.new_page()
        await sign_up(page, live_server.url, email)
        await page.goto(f"{live_server.url}/me")
        await page.get_by_role("heading", name="Start your first session").wait_for()
        kept = await account(page)
        assert kept is not None
        other = await context.new_page()
        await other.goto(live_server.url)
        await other.get_by_role("heading", name="What will you study?").wait_for()

        await context.set_offline(True)
        await page.get_by_role("button", name="Sign out").click()
        for each in (page, other):
            await each.get_by_role("heading", name="You are signed out on this device").wait_for()
            assert email not in await each.locator("body").inner_text()
        assert await account(page) is None

        await context.set_offline(False)
        for each in (page, other):
            await each.get_by_role("tab", name="Sign up").wait_for()
        refresh = {"refreshToken": kept["refreshToken"]}
        assert live_server.rest(None).post("/api/auth/refresh", json=refresh).status_code == 401
        assert await page.evaluate("localStorage.getItem('focusup.owed')") is None


async def test_a_session_goes_on_on_the_progress_page(live_server: LiveServer, email: str) -> None:
    async with at(live_server.url) as context:
        page = await running(context, live_server.url, email)
        kept = await account(page)
        assert kept is not None
        await page.get_by_role("link", name="Progress").click()
        pill = page.locator("[data-running]")
        await expect(pill).to_contain_text("Focusing")
        with bearer(live_server, kept["token"]) as client:
            (session,) = client.get("/api/sessions").json()["sessions"]
            before = session["elapsedSeconds"]
            async with asyncio.timeout(PATIENCE_S):
                while session["elapsedSeconds"] < before + 2:
                    await moving(page, 0.5)
                    (session,) = client.get("/api/sessions").json()["sessions"]
            assert session["tracked"]
            assert " · Progress" in await page.title()
            await pill.click()
            await page.get_by_role("heading", name="Chapter 3").wait_for()
            await counted(page, 2)
            await page.get_by_role("link", name="Progress").click()
            await expect(pill).to_be_visible()
            assert client.put(f"/api/sessions/{session['_id']}/end", json={}).is_success
            await expect(pill).to_be_hidden()
            assert await page.evaluate("localStorage.getItem('focusup.session')") is None
