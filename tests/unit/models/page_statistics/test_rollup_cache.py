"""Test that a few ranges of closed periods are cached, and give the right sums."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.page_statistics.rollup_cache import MAX_CACHED, RollupCache
from models.page_statistics.rollups import close_period, rollups
from scoring.tallies import Breakdown, CountedView
from tests.support.embedded import embedded_database

Database = AsyncIOMotorDatabase[dict[str, Any]]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = [f"2026-02-{day:02d}" for day in range(1, 11)]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        for number, day in enumerate(DAYS):
            breakdown = Breakdown()
            breakdown.add(CountedView("/all", 1, f"{number}", f"{number}", 10, 5))
            breakdown.add(CountedView(f"/{day}", 1, "ada", "ada", 20, 5))
            assert await close_period(db, day, breakdown, NOW)
        yield db


async def test_periods_are_added_up(db: Database) -> None:
    part = await RollupCache(db).of(DAYS[:3])
    total = part.total()
    assert (total.counts.views, total.counts.visible_seconds) == (6, 90)
    assert (total.visitors.count(), part.users().count()) == (4, 4)
    assert part.counts["/all"].values() == (3, 0, 30, 15)
    pages = await part.pages(["/all", f"/{DAYS[1]}"])
    assert {page: tally.counts.views for page, tally in pages.items()} == {
        "/all": 3,
        f"/{DAYS[1]}": 1,
    }


async def test_what_is_given_is_nobodys_else(db: Database) -> None:
    part = await RollupCache(db).of(DAYS[:3])
    for _ in range(2):
        total, pages = part.total(), await part.pages(["/all"])
        assert (total.counts.views, pages["/all"].counts.views) == (6, 3)
        total.merge(total)
        pages["/all"].merge(pages["/all"])
        part.users().add("somebody")


async def test_a_few_ranges_are_remembered(db: Database) -> None:
    past = RollupCache(db)
    first = await past.of(DAYS[:1])
    await first.pages(["/all"])
    for day in DAYS[1:MAX_CACHED]:
        await past.of([day])
    assert await past.of(DAYS[:1]) is first  # and the latest one now
    await past.of([DAYS[MAX_CACHED]])
    await rollups(db).delete_many({})
    assert (await past.of(DAYS[:1])).total().counts.views == 2
    assert (await first.pages(["/all"]))["/all"].counts.views == 1
    assert (await past.of([DAYS[1]])).total().counts.views == 0  # it was the oldest


async def test_of_no_periods_there_is_nothing(db: Database) -> None:
    part = await RollupCache(db).of([])
    assert (part.total().counts.views, part.users().count(), part.counts) == (0, 0, {})
    assert await part.pages([]) == {}
