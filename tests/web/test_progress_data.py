"""What is set on the progress page, what is taken along from it, and leaving."""

import asyncio
import csv
import io
import json
import re
from typing import Any

import pytest
from playwright.async_api import Download, expect

from tests.support.web.browser import PASSWORD
from tests.support.web.learner import SESSIONS, Learner, progress


async def test_goals_and_the_zone_are_set(learner: Learner) -> None:
    async with progress(learner, zone="America/New_York") as page:
        await expect(page.locator("#elsewhere-zone")).to_contain_text("America/New York")
        await page.locator("#dailyMinutes").fill("45")
        await page.locator("#weeklyMinutes").fill("")
        await page.locator("#goals-form [type=submit]").click()
        await expect(page.locator(".dial p").first).to_contain_text("of 45 min")
        goals = learner.get("/api/goals")["goals"]
        assert goals == {"dailyMinutes": 45, "weeklyMinutes": None, "sessionsPerDay": 1}
        await page.locator("#use-zone").click()
        await expect(page.locator("#elsewhere")).to_be_hidden()
        assert learner.get("/api/me/settings")["settings"]["timeZone"] == "America/New_York"
        await page.locator("#zone").select_option("UTC")
        await page.locator("#zone-form [type=submit]").click()
        await expect(page.locator("#elsewhere")).to_be_visible()
        assert learner.get("/api/me/settings")["settings"]["timeZone"] == "UTC"


WITHOUT_PICKER = "delete globalThis.showSaveFilePicker;"
PICKER = """globalThis.showSaveFilePicker = async ({ suggestedName }) => {
  globalThis.saved = suggestedName;
  return (await navigator.storage.getDirectory()).getFileHandle(suggestedName, { create: true });
};"""
SAVED = """async () => {
  const there = await navigator.storage.getDirectory();
  return (await (await there.getFileHandle(saved)).getFile()).text();
}"""


def same_export(text: str, learner: Learner) -> None:
    taken, said = json.loads(text), learner.get("/api/me/export")
    assert taken["sessions"] == said["sessions"]
    assert taken["account"] == said["account"]
    assert len(taken["sessions"]) == SESSIONS


async def saved_as(download: Download) -> bytes:
    path = await download.path()
    return await asyncio.to_thread(path.read_bytes)


async def test_everything_is_taken_along(learner: Learner) -> None:
    async with progress(learner, script=WITHOUT_PICKER) as page:
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Download JSON").click()
        file = await download.value
        assert re.fullmatch(r"focusup-\d{4}-\d\d-\d\d\.json", file.suggested_filename)
        same_export((await saved_as(file)).decode(), learner)
        await expect(page.locator("#export-got")).to_have_text("The download is complete.")
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Download CSV").click()
        text = (await saved_as(await download.value)).decode()
        assert len(list(csv.DictReader(io.StringIO(text)))) == SESSIONS


async def test_an_export_goes_to_its_file_as_it_comes(learner: Learner) -> None:
    async with progress(learner, script=PICKER) as page:
        await page.get_by_role("button", name="Download JSON").click()
        await expect(page.locator("#export-got")).to_have_text("The download is complete.")
        same_export(await page.evaluate(SAVED), learner)


BREAKING = """
const whole = globalThis.fetch;
globalThis.fetch = async (...asked) => {
  const answer = await whole(...asked);
  if (!String(asked[0]).includes("/api/me/export")) return answer;
  const broken = new TransformStream({ transform(chunk, out) {
    out.enqueue(chunk.slice(0, 10));
    out.error(new TypeError("network error"));
  } });
  return new Response(answer.body.pipeThrough(broken), answer);
};"""


@pytest.mark.parametrize("way", [PICKER, WITHOUT_PICKER])
async def test_half_an_export_is_thrown_away(learner: Learner, way: str) -> None:
    async with progress(learner, script=BREAKING + way) as page:
        downloads: list[Any] = []

        def downloaded(download: Any) -> None:
            downloads.append(download)

        page.on("download", downloaded)
        await page.get_by_role("button", name="Download JSON").click()
        await expect(page.locator("#export-wrong")).to_contain_text("broke off")
        await expect(page.get_by_role("button", name="Download JSON")).to_be_enabled()
        assert downloads == []
        if way is PICKER:
            assert await page.evaluate(SAVED) == ""


async def test_who_leaves_says_the_password(learner: Learner) -> None:
    async with progress(learner, expected="status of 40") as page:
        await page.locator("#leave").click()
        await page.locator("#password").fill("something else")
        await page.locator("#leaving [type=submit]").click()
        await expect(page.locator("#leaving [data-wrong]")).to_contain_text("password")
        assert learner.client.get("/api/stats/me").status_code == 200
        await page.locator("#password").fill(PASSWORD)
        await page.locator("#leaving [type=submit]").click()
        await page.wait_for_url(f"{learner.server.url}/")
        assert await page.evaluate("localStorage.getItem('focusup.account')") is None
    login = {"email": learner.email, "password": PASSWORD}
    assert learner.client.post("/api/auth/login", json=login).status_code == 401
