"""Test the sums of focus sessions by day and content."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.admin.session_metrics import FocusMetrics, focus_metrics
from models.base.compare_and_set import Stamps
from models.base.indexes import ensure_indexes
from models.sessions.queries import INDEXES, insert_session, sessions
from models.sessions.session import NewSession, ended_fields
from tests.support.embedded import embedded_database

NOW = datetime(2028, 3, 1, 12, tzinfo=UTC)
TODAY = datetime(2028, 3, 1, tzinfo=UTC)
MS, DAY = timedelta(milliseconds=1), timedelta(days=1)
Database = AsyncIOMotorDatabase[dict[str, Any]]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, {"sessions": INDEXES})
        yield db


async def ended(
    db: Database, status: str, ended_at: datetime, active: int = 1500, content: str | None = None
) -> dict[str, Any]:
    body = NewSession(content_id=content)
    created_at = ended_at - timedelta(hours=2)
    document = await insert_session(db, "ada", body, stamp=Stamps().fresh(), now=created_at)
    document |= {"elapsedSeconds": active, "activeSeconds": active, "startedAt": created_at}
    document |= ended_fields(document, status, ended_at)
    await sessions(db).replace_one({"_id": document["_id"]}, document)
    return document


async def read(db: Database) -> FocusMetrics:
    return await focus_metrics(db, NOW, tracked_now=3)


async def test_without_sessions_there_are_zeros_and_no_rates(db: Database) -> None:
    await insert_session(db, "ada", NewSession(), stamp=Stamps().fresh(), now=NOW)
    found = await read(db)
    assert found.tracked_now == 3
    assert [day.date for day in found.by_day][-2:] == ["2028-02-29", "2028-03-01"]
    assert len(found.by_day) == 7
    assert {day.ended for day in found.by_day} == {0}
    assert {day.focused_hours for day in found.by_day} == {0.0}
    assert {day.completion_rate for day in found.by_day} == {None}
    assert (found.completion_rate, found.mean_focus_score, found.top_content) == (None, None, [])


async def test_a_session_belongs_to_the_day_of_its_end(db: Database) -> None:
    first = TODAY - 6 * DAY
    for instant in (first - MS, first, first + DAY - MS, TODAY - MS, TODAY, NOW):
        await ended(db, "completed", instant)
    assert [day.ended for day in (await read(db)).by_day] == [2, 0, 0, 0, 0, 1, 2]


async def test_rates_scores_and_hours(db: Database) -> None:
    await ended(db, "completed", NOW)  # score 100
    await ended(db, "completed", NOW, active=3000)  # 200
    await ended(db, "abandoned", NOW, active=0)
    await ended(db, "cancelled", NOW - DAY, active=750)  # 50
    found = await read(db)
    today, yesterday = found.by_day[-1], found.by_day[-2]
    assert (today.ended, today.completed, today.abandoned, today.cancelled) == (3, 2, 1, 0)
    assert (today.completion_rate, today.mean_focus_score) == (0.6667, 100.0)
    assert today.focused_hours == 1.25
    assert (yesterday.cancelled, yesterday.completion_rate) == (1, 0.0)
    assert (found.completion_rate, found.mean_focus_score) == (0.5, 87.5)


async def test_top_content_is_that_with_most_focused_time(db: Database) -> None:
    for number in range(12):
        await ended(db, "completed", NOW - DAY, active=60 * (number + 1), content=f"c{number:02}")
    await ended(db, "completed", NOW, active=3600, content="c00")
    await ended(db, "completed", NOW, active=9000)  # about nothing
    await ended(db, "completed", NOW - 7 * DAY, active=9000, content="old")
    top = (await read(db)).top_content
    assert [(each.content_id, each.sessions) for each in top[:2]] == [("c00", 2), ("c11", 1)]
    assert top[0].focused_hours == 1.02
    assert [each.content_id for each in top[2:]] == [f"c{n:02}" for n in range(10, 2, -1)]


async def test_edits_and_deletions_show_at_once(db: Database) -> None:
    document = await ended(db, "completed", NOW - DAY)
    gone = await ended(db, "completed", NOW - DAY)
    assert (await read(db)).by_day[-2].ended == 2
    await sessions(db).update_one({"_id": document["_id"]}, {"$set": {"activeSeconds": 3600}})
    await sessions(db).delete_one({"_id": gone["_id"]})
    day = (await read(db)).by_day[-2]
    assert (day.ended, day.focused_hours) == (1, 1.0)
