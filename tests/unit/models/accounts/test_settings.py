"""Settings and goals: each date keeps the goals it had."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from models.accounts.settings import (
    MAX_CHANGES,
    SettingsStore,
)
from models.base.database import Database
from models.base.errors import Conflict
from scoring.streaks import Goals, GoalsSince
from tests.support.embedded import embedded_database

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
async def learners(tmp_path: Path) -> AsyncIterator[tuple[SettingsStore, Database]]:
    async with embedded_database(tmp_path) as db:
        yield SettingsStore(db), db


async def test_who_has_set_nothing_is_in_utc_without_goals(
    learners: tuple[SettingsStore, Database],
) -> None:
    found = await learners[0].find("ada")
    assert (found.zone, found.goals, found.goals_now) == ("UTC", (), Goals())
    assert await learners[1]["learners"].count_documents({}) == 0


async def test_goals_of_a_date_are_the_last_ones_that_were_set_on_it(
    learners: tuple[SettingsStore, Database],
) -> None:
    store, _ = learners
    for hours, minutes in ((0, 10), (2, 20), (24, 30)):
        await store.set_goals("ada", Goals(minutes), NOON + timedelta(hours=hours))
    assert (await store.find("ada")).goals == (
        GoalsSince(date(2026, 5, 4), Goals(20)),
        GoalsSince(date(2026, 5, 5), Goals(30)),
    )


async def test_today_is_the_learners(learners: tuple[SettingsStore, Database]) -> None:
    store, _ = learners
    await store.set_zone("ada", "Pacific/Kiritimati")  # 14 hours ahead
    await store.set_goals("ada", Goals(10), NOON)
    await store.set_zone("ada", "Pacific/Honolulu")  # a day back
    await store.set_goals("ada", Goals(20), NOON)
    found = await store.find("ada")
    assert found.goals == (GoalsSince(date(2026, 5, 4), Goals(20)),)
    assert found.today(NOON) == date(2026, 5, 4)


async def test_many_at_once_lose_nothing(learners: tuple[SettingsStore, Database]) -> None:
    store, db = learners
    other = SettingsStore(db)
    await asyncio.gather(
        *(store.set_goals("ada", Goals(number + 1), NOON + number * DAY) for number in range(3)),
        *(other.set_zone("ada", zone) for zone in ("Asia/Tokyo", "Europe/Berlin")),
    )
    found = await store.find("ada")
    assert found.zone in ("Asia/Tokyo", "Europe/Berlin")
    assert found.goals[-1].goals == Goals(3) or len(found.goals) < 3


async def test_goals_are_bounded(learners: tuple[SettingsStore, Database]) -> None:
    store, db = learners
    rows = [
        {"since": (date(2015, 1, 1) + number * DAY).isoformat(), "goals": [1, None, None]}
        for number in range(MAX_CHANGES)
    ]
    await db["learners"].insert_one({"_id": "ada", "timeZone": "UTC", "goals": rows, "stamp": "x"})
    with pytest.raises(Conflict):
        await store.set_goals("ada", Goals(2), NOON)
