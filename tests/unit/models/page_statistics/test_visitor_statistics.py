"""Test that the pages of a visitor list every visible view once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.base.errors import Busy, NotFound
from models.base.indexes import ensure_indexes
from models.page_statistics.visitor_statistics import (
    VIEWS_READ,
    Reader,
    VisitorQuery,
    VisitorReport,
    VisitorStats,
)
from models.page_statistics.visitor_tallies import COLLECTION as TALLIES
from models.pageviews.page_view import COLLECTION, INDEXES, page_views
from models.pageviews.visitors import BROWSER_SESSIONS, arrive
from models.privacy.erasure import remove_person
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


ADMIN = Reader(is_admin=True)


async def report(
    db: Database,
    visitor: str = ADA,
    *,
    reader: Reader = ADMIN,
    now: datetime = NOW + timedelta(hours=1),
    **fields: Any,
) -> VisitorReport:
    stats = VisitorStats(db, is_alive=lambda owner: owner == "alive")
    return await stats(visitor, VisitorQuery(**fields), reader, now)


async def come(db: Database, user: str | None, after: timedelta, visitor: str = ADA) -> Any:
    return await arrive(
        db,
        visitor,
        user_id=user,
        user_agent=f"Browser of {user}",
        is_open=lambda view: False,
        now=NOW + after,
    )


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


@pytest.mark.parametrize("reader", [Reader(), Reader(user_id="eve"), Reader(user_id="")])
async def test_who_never_used_the_browser_learns_nothing(db: Database, reader: Reader) -> None:
    for visitor in (ADA, "c" * 32):
        with pytest.raises(NotFound) as refused:
            await report(db, visitor, reader=reader)
        assert refused.value.code == "visitor_not_found"


async def of_three(db: Database) -> None:
    """Views without a user, then of Ada, then of Bob, in one browser."""
    await come(db, "bob", timedelta(minutes=10))
    await page_views(db).insert_many(
        [
            a_view(NOW - SECOND, visitor=ADA, page="/before", visible=1),
            a_view(NOW, visitor=ADA, user="ada", page="/ada", visible=2),
            a_view(NOW + SECOND, visitor=ADA, user="ada", page="/ada", visible=4),
            a_view(NOW + timedelta(minutes=10), visitor=ADA, user="bob", page="/bob", visible=8),
        ]
    )


@pytest.mark.parametrize(
    ("reader", "pages", "visible", "sessions"),
    [
        (Reader(has_key=True), ["/before"], 1, []),
        (Reader(user_id="bob"), ["/bob", "/before"], 9, ["bob"]),
        (Reader(has_key=True, user_id="bob"), ["/bob", "/before"], 9, ["bob"]),
        (Reader(user_id="ada"), ["/ada", "/ada", "/before"], 7, ["ada"]),
        (Reader(has_key=True, user_id="eve"), ["/before"], 1, []),
        (ADMIN, ["/bob", "/ada", "/ada", "/before"], 15, ["bob", "ada"]),
    ],
)
async def test_each_reader_sees_what_is_their_own_and_what_is_nobodys(
    db: Database, reader: Reader, pages: list[str], visible: int, sessions: list[str]
) -> None:
    await of_three(db)
    for later in (timedelta(hours=1), timedelta(days=3), timedelta(days=3, hours=1)):
        found = await report(db, reader=reader, now=NOW + later)
        assert [view.page for view in found.views] == pages
        totals = found.totals
        assert (totals.views, totals.visible_seconds) == (len(pages), visible)
        assert [each.user_id for each in found.browser_sessions] == sessions
        own = {reader.user_id} if not reader.is_admin else {"ada", "bob"}
        users = {found.user_id, *(view.user_id for view in found.views)}
        assert users <= own | {None}
        if reader == Reader(user_id="ada"):
            assert found.last_seen_at == NOW + SECOND


async def test_no_browser_session_has_two_users(db: Database) -> None:
    first = await come(db, "ada", timedelta(minutes=1))
    second = await come(db, "bob", timedelta(minutes=2))
    without_token = await come(db, None, timedelta(minutes=3))
    again = await come(db, "ada", timedelta(minutes=4))
    assert second.browser_session_id != first.browser_session_id
    assert second.last_view_id is None
    assert without_token[1:3] == ("bob", second.browser_session_id)
    assert again.browser_session_id not in (first.browser_session_id, second.browser_session_id)


async def test_a_session_without_a_user_becomes_that_of_the_first(db: Database) -> None:
    first = await come(db, None, timedelta(minutes=1), BOB)
    joined = await come(db, "bob", timedelta(minutes=2), BOB)
    assert joined.browser_session_id == first.browser_session_id
    stored = await db[BROWSER_SESSIONS].find_one({"_id": first.browser_session_id})
    assert stored is not None
    assert stored["userId"] == "bob"


async def test_views_of_a_user_who_has_left_are_for_admins_alone(db: Database) -> None:
    await of_three(db)
    before = await report(db, reader=Reader(user_id="ada"), now=NOW + timedelta(days=3))
    assert before.totals.views == 3
    await remove_person(db, "ada", NOW + timedelta(days=3))
    assert await db[TALLIES].find_one({"_id": ADA}) is None
    for reader, pages in (
        (Reader(has_key=True), ["/before"]),
        (Reader(user_id="bob"), ["/bob", "/before"]),
        (ADMIN, ["/bob", "/ada", "/ada", "/before"]),
    ):
        found = await report(db, reader=reader, now=NOW + timedelta(days=3))
        assert [view.page for view in found.views] == pages
        assert found.totals.views == len(pages)


async def test_a_request_looks_at_a_bounded_number_of_views(db: Database) -> None:
    hidden = [
        a_view(NOW + number * timedelta(milliseconds=10), visitor=ADA, user="ada")
        for number in range(VIEWS_READ + 10)
    ]
    await page_views(db).insert_many([*hidden, a_view(NOW - SECOND, visitor=ADA, page="/mine")])
    first = await report(db, reader=Reader(has_key=True))
    assert (first.views, first.totals.views) == ([], 1)
    assert first.next_cursor is not None
    second = await report(db, reader=Reader(has_key=True), cursor=first.next_cursor)
    assert ([view.page for view in second.views], second.next_cursor) == (["/mine"], None)


async def test_requests_of_one_visitor_wait_and_are_bounded(db: Database) -> None:
    stats = VisitorStats(db, is_alive=lambda owner: False)
    asked = (stats(ADA, VisitorQuery(), ADMIN, NOW) for _ in range(30))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(each, VisitorReport) for each in answers) == 4
    assert sum(isinstance(each, Busy) for each in answers) == 26
    assert (await stats(ADA, VisitorQuery(), ADMIN, NOW)).visitor_id == ADA


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
