"""What is set on the progress page, what is taken along from it, and leaving."""

import asyncio
import csv
import io
import json
import re
from datetime import date, timedelta
from typing import Any

import pytest
from playwright.async_api import Download, Request, Route, expect

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


async def test_when_days_and_weeks_begin_is_set(newcomer: Learner) -> None:
    newcomer.client.put("/api/me/settings", json={"dayStartsAt": "07:30"}).raise_for_status()
    async with progress(newcomer) as page:
        await expect(page.get_by_label("Day starts at")).to_have_value("07:30")
        await page.get_by_label("First day of the week").select_option("Sunday")
        elsewhere = {"timeZone": "Asia/Tokyo", "dayStartsAt": "04:00"}
        newcomer.client.put("/api/me/settings", json=elsewhere).raise_for_status()
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.get_by_label("Day starts at")).to_have_value("04:00")
        await expect(page.get_by_label("First day of the week")).to_have_value("sunday")
        await page.locator("#days-form [type=submit]").click()
        await expect(page.locator("#said")).to_have_text("Days and weeks saved.")
        settings = newcomer.get("/api/me/settings")["settings"]
        assert settings == {**elsewhere, "weekStartsOn": "sunday"}


async def test_goals_that_are_set_elsewhere_show_and_stay(newcomer: Learner) -> None:
    async with progress(newcomer) as page:
        sent: list[Any] = []

        def note(request: Request) -> None:
            if request.method == "PUT":
                sent.append(request.post_data_json)

        page.on("request", note)
        await page.locator("#sessionsPerDay").fill("2")
        goals = {"dailyMinutes": 30, "weeklyMinutes": 300}
        newcomer.client.put("/api/goals", json=goals).raise_for_status()
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.locator("#dailyMinutes")).to_have_value("30")
        await expect(page.locator("#weeklyMinutes")).to_have_value("300")
        await expect(page.locator("#sessionsPerDay")).to_have_value("2")
        await page.locator("#goals-form [type=submit]").click()
        await expect(page.locator("#said")).to_have_text("Goals saved.")
        assert sent == [{"sessionsPerDay": 2}]


async def test_the_day_is_the_one_that_has_begun(learner: Learner) -> None:
    tomorrow = date.fromisoformat(learner.stats()["today"]["date"]) + timedelta(days=1)

    async def pass_midnight(route: Route) -> None:
        answer = await (await route.fetch()).json()
        answer["stats"]["today"]["date"] = str(tomorrow)
        await route.fulfill(json=answer)

    async with progress(learner) as page:
        await page.clock.install()
        await page.reload()
        await expect(page.locator("#today-date")).not_to_contain_text(
            f"{tomorrow:%B} {tomorrow.day}"
        )
        await page.route("**/api/stats/me", pass_midnight)
        await page.clock.run_for(61_000)
        await expect(page.locator("#today-date")).to_contain_text(f"{tomorrow:%B} {tomorrow.day}")


async def test_times_are_as_the_user_reads_them(learner: Learner) -> None:
    async with progress(learner, locale="de-DE") as page:
        times = await page.locator("#sessions time").all_inner_texts()
    assert times
    assert all(re.fullmatch(r"\w{3} \d+, \d{4}, \d\d:\d\d", each) for each in times), times


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
        await expect(page.locator("#export-wrong")).to_contain_text("download failed")
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
