"""Test that a failure in the middle of a read neither loses nor doubles a view."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.base.errors import StorageUnavailable
from models.page_statistics import open_days
from models.page_statistics.day_tally import STORED_WITHIN
from models.page_statistics.open_days import OpenDay
from models.pageviews.page_view import page_views
from scoring.tallies import Breakdown
from tests.support.embedded import embedded_database
from tests.support.views import a_view, is_open

Database = AsyncIOMotorDatabase[dict[str, Any]]
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        yield db


def live_day(db: Database) -> OpenDay:
    return OpenDay(db, date(2026, 3, 1), is_alive=lambda owner: owner == "alive")


def counts_of(day: OpenDay) -> tuple[int, int]:
    breakdown = Breakdown()
    day.add_to(breakdown)
    return breakdown.total.counts.views, breakdown.total.counts.visible_seconds


async def test_failures_lose_and_double_nothing(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, day, now, views = random.Random(5), live_day(db), MIDNIGHT, 0
    seconds = 0
    failing = True
    for name in ("read_started", "read_views", "with_users"):
        real = getattr(open_days, name)

        async def sometimes(*given: Any, real: Any = real) -> Any:
            if failing and chance.random() < 0.1:
                raise StorageUnavailable
            return await real(*given)

        monkeypatch.setattr(open_days, name, sometimes)
    failures = 0
    while now < MIDNIGHT + timedelta(days=1):
        fields = is_open() if chance.random() < 0.5 else {}
        await page_views(db).insert_one(a_view(now, visible=10, **fields))
        views, seconds, now = views + 1, seconds + 10, now + 20 * MINUTE
        open_view = await page_views(db).find_one({"endedAt": None})
        if open_view is not None:
            ended = {"$set": {"endedAt": now}, "$inc": {"visibleSeconds": 1}}
            await page_views(db).update_one({"_id": open_view["_id"]}, ended)
            seconds += 1
        try:
            await day.refresh(now)
        except StorageUnavailable:
            failures += 1
        else:
            assert counts_of(day) == (views, seconds)
    failing = False
    await day.refresh(now)
    assert counts_of(day) == (views, seconds)
    assert failures > 5


async def test_a_view_that_is_stored_late_is_found(db: Database) -> None:
    day = live_day(db)
    await day.refresh(MIDNIGHT + 30 * MINUTE)
    began_at = MIDNIGHT + 30 * MINUTE - STORED_WITHIN
    await page_views(db).insert_one(a_view(began_at, visible=10))
    await day.refresh(MIDNIGHT + 31 * MINUTE)
    assert counts_of(day) == (1, 10)


async def test_a_view_of_a_host_whose_clock_is_ahead_is_found(db: Database) -> None:
    day, now = live_day(db), MIDNIGHT + 30 * MINUTE
    await page_views(db).insert_one(a_view(now + MINUTE, visible=10))
    await day.refresh(now)
    await day.refresh(now + MINUTE)
    assert counts_of(day) == (1, 10)


async def test_a_day_that_is_over_is_read_until_nothing_can_come(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, end = live_day(db), MIDNIGHT + timedelta(days=1)
    await day.refresh(end + STORED_WITHIN - MINUTE)
    await page_views(db).insert_one(a_view(end - MINUTE, visible=10))
    await day.refresh(end + STORED_WITHIN)
    assert counts_of(day) == (1, 10)

    async def never(*_: Any) -> Any:
        raise AssertionError("there is nothing to read")

    monkeypatch.setattr(open_days, "read_started", never)
    await day.refresh(end + STORED_WITHIN + MINUTE)
    assert counts_of(day) == (1, 10)
