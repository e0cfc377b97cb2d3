"""What one visitor has viewed: every view once, whatever the pages."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.errors import NotFound
from models.indexes import ensure_indexes
from models.page_views import COLLECTION, INDEXES, page_views
from models.visitor_stats import VisitorQuery, VisitorReport, VisitorStats
from models.visitors import BROWSER_SESSIONS, arrive
from tests.support.embedded import embedded_database
from tests.support.views import SECOND, a_view, is_open

Database = AsyncIOMotorDatabase[dict[str, Any]]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADA, BOB = "a" * 32, "b" * 32


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, {COLLECTION: INDEXES})
        for visitor in (ADA, BOB):
            await arrive(
                db,
                visitor,
                user_id="ada" if visitor == ADA else None,
                user_agent="Browser/1",
                is_open=lambda view: False,
                now=NOW,
            )
        yield db


async def report(db: Database, visitor: str = ADA, **fields: Any) -> VisitorReport:
    stats = VisitorStats(db, is_alive=lambda owner: owner == "alive")
    return await stats(visitor, VisitorQuery(**fields), allowed=lambda _: True)


async def test_totals_are_those_of_all_views_of_this_visitor(db: Database) -> None:
    await page_views(db).insert_many(
        [
            a_view(NOW, visitor=ADA, visible=10, engaged=5),
            a_view(NOW, visitor=ADA, visible=20, engaged=2),
            a_view(NOW, visitor=ADA, visible=0, engaged=0),
            a_view(NOW, visitor=BOB, visible=99, engaged=99),
        ]
    )
    found = await report(db, limit=1)
    assert found.totals.model_dump(by_alias=False) == {
        "views": 3,
        "never_visible": 1,
        "visible_seconds": 30,
        "engaged_seconds": 7,
    }
    assert (found.user_id, found.first_seen_at) == ("ada", NOW)
    assert [session.user_agent for session in found.browser_sessions] == ["Browser/1"]


async def test_of_no_views_the_totals_are_zero(db: Database) -> None:
    found = await report(db)
    assert (found.totals.views, found.totals.visible_seconds, found.views) == (0, 0, [])


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 10, 11])
async def test_each_view_comes_once_though_many_began_at_once(db: Database, limit: int) -> None:
    views = [a_view(NOW + timedelta(milliseconds=number // 4), visitor=ADA) for number in range(10)]
    await page_views(db).insert_many(views)
    shown: list[Any] = []
    cursor = None
    while True:
        found = await report(db, limit=limit, cursor=cursor)
        assert len(found.views) <= limit
        shown += [view.id for view in found.views]
        cursor = found.next_cursor
        if cursor is None:
            break
    expected = sorted(views, key=lambda view: (view["startedAt"], view["_id"]), reverse=True)
    assert shown == [view["_id"] for view in expected]


async def test_a_view_that_nobody_tracks_has_ended(db: Database) -> None:
    seen_at = NOW + 5 * SECOND
    await page_views(db).insert_many(
        [
            a_view(NOW, visitor=ADA, **is_open("alive")),
            a_view(NOW - SECOND, visitor=ADA, **is_open("dead"), lastBookedAt=seen_at),
            a_view(NOW - 2 * SECOND, visitor=ADA, **is_open("dead")),
        ]
    )
    found = await report(db)
    assert [(view.status, view.ended_at) for view in found.views] == [
        ("visible", None),
        ("ended", seen_at),
        ("ended", NOW - 2 * SECOND),
    ]


async def test_who_may_not_know_learns_nothing(db: Database) -> None:
    stats = VisitorStats(db, is_alive=lambda owner: False)
    asked: list[str | None] = []

    def allowed(user_id: str | None) -> bool:
        asked.append(user_id)
        return False

    for visitor in (ADA, "c" * 32):
        with pytest.raises(NotFound) as refused:
            await stats(visitor, VisitorQuery(), allowed=allowed)
        assert refused.value.code == "visitor_not_found"
    assert asked == ["ada"]


async def test_the_latest_browser_sessions_are_shown(db: Database) -> None:
    await db[BROWSER_SESSIONS].delete_many({})
    for number in range(25):
        await arrive(
            db,
            ADA,
            user_id=None,
            user_agent=f"Browser/{number}",
            is_open=lambda view: False,
            now=NOW + timedelta(hours=number + 1),
        )
    found = await report(db)
    agents = [session.user_agent for session in found.browser_sessions]
    assert agents == [f"Browser/{number}" for number in range(24, 4, -1)]
