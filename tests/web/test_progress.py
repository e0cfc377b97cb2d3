"""The progress page: who sees it, and what days come to; it shows what REST says."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Page, expect

from tests.support.live_server import LiveServer
from tests.support.study import past_session
from tests.support.web.axe import violations
from tests.support.web.browser import at
from tests.support.web.learner import ZONE, Learner, clock, duration, progress, table

DAY = timedelta(days=1)
SCHEMES = ("light", "dark")


def day(text: str) -> str:
    """As the heat map names it."""
    return f"{date.fromisoformat(text):%b} {int(text[-2:])}, {text[:4]}"


# --- who sees what --------------------------------------------------------------------------


async def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(
        await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
    )


async def test_who_is_signed_out_signs_in_first(live_server: LiveServer) -> None:
    async with at(live_server.url) as context:
        page = await context.new_page()
        await page.goto(f"{live_server.url}/me")
        await page.wait_for_url("**/?next=%2Fme")


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_who_has_no_session_is_invited(newcomer: Learner, scheme: str) -> None:
    async with progress(newcomer, width=320, color_scheme=scheme) as page:
        await expect(page.locator("#invite")).to_be_visible()
        await expect(page.locator("#invite a")).to_have_attribute("href", "/")
        await expect(page.locator("#goals")).to_be_visible()
        assert await page.locator("[data-begun]:visible").count() == 0
        assert await violations(page) == []
        assert await overflow(page) == 0


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_nobody_is_shut_out(learner: Learner, scheme: str) -> None:
    async with progress(learner, width=320, color_scheme=scheme) as page:
        newest = learner.sessions(limit=1)[0]
        summary = page.locator("#sessions summary").first
        await summary.focus()
        await page.keyboard.press("Enter")  # no pointer is needed
        await expect(page.locator(".inside .facts dd").first).to_have_text(
            clock(newest["activeSeconds"])
        )
        await page.locator("#sessions figure summary").click()
        assert await overflow(page) == 0
        assert await violations(page) == []
        for button, dialog in ((".inside > .row button", "#edit"), ("#leave", "#leaving")):
            await page.locator(button).first.click()
            await expect(page.locator(dialog)).to_be_visible()
            assert await violations(page) == []
            assert await overflow(page) == 0
            await page.keyboard.press("Escape")
            await expect(page.locator(dialog)).to_be_hidden()
            await expect(page.locator(button).first).to_be_focused()


# --- what the days come to ------------------------------------------------------------------


def days(count: int) -> str:
    return f"{count} day" if count == 1 else f"{count} days"


async def test_today_streak_and_sums(learner: Learner) -> None:
    just_now = datetime.now(UTC) - timedelta(seconds=1000)
    learner.give(past_session(learner.id, just_now, active=900, zone=ZONE))
    stats = learner.stats()
    async with progress(learner) as page:
        told = await page.locator(".dial p").all_text_contents()
        streak = await page.locator(".streak").inner_text()
        sums = await page.locator("#sums dd").all_text_contents()
    today, week = stats["today"], stats["week"]
    counts = today["minutes"]["reached"] and today["sessions"]["reached"]
    assert re.sub(r"\s+", " ", streak) == (
        f"Streak {days(stats['currentStreak'])} in a row "
        f"Longest: {days(stats['longestStreak'])} "
        f"{'Today is in.' if counts else 'Today counts once its goals are reached.'}"
    )

    def minutes(count: int) -> str:
        return duration(count * 60)

    in_words: tuple[Callable[[int], str], ...] = (minutes, str, minutes)
    for text, found, words in zip(
        told,
        (today["minutes"], today["sessions"], week["minutes"]),
        in_words,
        strict=True,
    ):
        assert f"{words(found['done'])} of {words(found['goal'])}" in text
        assert ("Reached" in text) == found["reached"]
    assert today["sessions"]["reached"]
    assert sums[:2] == [duration(stats["focusedSeconds"]), "49 of 61"]
    assert sums[2:] == [
        f"{stats['completionRate']:.0%}",
        f"{stats['meanFocusScore']:g}",
        f"{stats['bestFocusScore']}",
        f"{stats['tabSwitchesPerHour']:g}",
    ]


async def test_each_year_day_by_day(learner: Learner) -> None:
    this_year = datetime.now(ZoneInfo(ZONE)).year
    sessions = learner.sessions(limit=100)
    years = sorted({int(each["startedAt"][:4]) for each in sessions}, reverse=True)
    assert len(years) > 1
    async with progress(learner) as page:
        options = page.locator("#year option")
        await expect(options).to_have_text([str(year) for year in years])
        for year in (this_year, years[-1]):
            await page.locator("#year").select_option(str(year))
            await expect(page.locator("#year-map figcaption")).to_have_text(f"Calendar of {year}")
            days = learner.get("/api/stats/me/calendar", year=year)["calendar"]["days"]
            assert await page.locator("#year-map rect").count() == len(days)
            counted = [each for each in days if each["counts"]]
            assert await page.locator("#year-map circle").count() == len(counted)
            assert await table(page, "#year-map") == [
                [day(each["date"]), duration(each["focusedSeconds"]), "Yes" * each["counts"]]
                for each in days
                if each["focusedSeconds"] or each["counts"]
            ]


async def test_five_seconds_are_a_low_bar_and_a_light_day(newcomer: Learner) -> None:
    just_now = datetime.now(UTC) - timedelta(seconds=10)
    newcomer.give(past_session(newcomer.id, just_now, active=5, zone=ZONE))
    async with progress(newcomer) as page:
        labels = await page.locator("#days svg text[text-anchor=end]").all_text_contents()
        fills = await page.locator("#year-map svg g rect").evaluate_all(
            "all => all.map(rect => rect.getAttribute('fill'))"
        )
    assert [each for each in labels if each.endswith("min")] == [
        f"{minutes} min" for minutes in (0, 2, 4, 6)
    ]
    assert sorted(set(fills)) == ["var(--heat-0)", "var(--heat-1)"]


@pytest.mark.parametrize("length", [30, 90, 365])
async def test_the_last_days(learner: Learner, length: int) -> None:
    today = date.fromisoformat(learner.stats()["today"]["date"])
    dates = {"from": str(today - (length - 1) * DAY), "to": str(today + DAY)}
    found = {
        by: learner.get("/api/stats/me/series", by=by, **dates)["series"]
        for by in ("day", "week", "hourOfWeek", "content", "tag")
    }
    async with progress(learner) as page:
        await page.locator(f'[name=range][value="{length}"]').check()
        await expect(page.locator("#days tbody tr")).to_have_count(length)
        assert [row[1] for row in await table(page, "#days")] == [
            duration(point["focusedSeconds"]) for point in found["day"]["points"]
        ]
        assert await page.locator("#days line[stroke-dasharray] title").text_content() == (
            "Goal: 30 min"
        )
        means = [
            point["meanFocusScore"]
            for point in found["week" if length == 365 else "day"]["points"]
            if point["meanFocusScore"] is not None
        ]
        assert [float(row[1]) for row in await table(page, "#scores")] == means
        hours = [each for each in found["hourOfWeek"]["hours"] if each["focusedSeconds"]]
        assert [row[1] for row in await table(page, "#hours")] == [
            duration(each["focusedSeconds"]) for each in hours
        ]
        for by in ("content", "tag"):
            named = page.locator(f"#by-{by} li .between")
            assert await named.all_inner_texts() == [
                f"{each['name'] or 'No subject'}\n{duration(each['focusedSeconds'])}"
                for each in found[by]["shares"]
            ]
