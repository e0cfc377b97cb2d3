"""The list of users: everybody once, newest first, with the totals of their sessions."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase
from pydantic import ValidationError

from models.accounts import user_directory
from models.accounts.user_directory import (
    UserDirectory,
    UsersQuery,
    UserTotals,
    list_users,
    note_users,
)
from models.accounts.users import Signup, insert_user, new_user
from models.base.compare_and_set import Stamps
from models.base.indexes import ensure_indexes
from models.sessions.queries import INDEXES, insert_session, sessions
from models.sessions.session import NewSession, ended_fields
from tests.support.embedded import embedded_database

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
Database = AsyncIOMotorDatabase[dict[str, Any]]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        indexes = {user_directory.COLLECTION: user_directory.INDEXES, "sessions": INDEXES}
        await ensure_indexes(db, indexes)
        yield db


async def session(db: Database, user: str, status: str | None = None, active: int = 0) -> None:
    document = await insert_session(db, user, NewSession(), stamp=Stamps().fresh(), now=NOW)
    document |= {"elapsedSeconds": active, "activeSeconds": active}
    if status is not None:
        document |= ended_fields(document, status, NOW)
    await sessions(db).replace_one({"_id": document["_id"]}, document)


async def all_pages(db: Database, limit: int) -> list[UserTotals]:
    query, found = UsersQuery(limit=limit), []
    while True:
        page, cursor = await list_users(db, query, NOW)
        found += page
        if cursor is None:
            return found
        assert len(page) == limit
        query = UsersQuery(limit=limit, cursor=cursor)


async def test_there_may_be_nobody(db: Database) -> None:
    assert await list_users(db, UsersQuery(), NOW) == ([], None)


async def test_totals_are_those_of_all_sessions(db: Database) -> None:
    account = new_user(
        Signup(email="ada@example.com", password="correct horse", name="Ada"), "h", NOW
    )
    await insert_user(db, account)
    ada = str(account.id)
    await note_users(db, [ada, "auth0|bob/x"], NOW)
    await session(db, ada, "completed", 1500)
    await session(db, ada, "abandoned", 60)
    await session(db, ada)
    users, cursor = await list_users(db, UsersQuery(), NOW)
    assert cursor is None
    by_id = {user.id: user for user in users}
    assert by_id[ada] == UserTotals(
        id=ada,
        email="ada@example.com",
        name="Ada",
        role="user",
        first_seen_at=NOW,
        sessions=3,
        completed_sessions=1,
        focused_seconds=1560,
        elapsed_seconds=1560,
        mean_focus_score=52.0,  # of 100 and 4
    )
    bob = by_id["auth0|bob/x"]
    assert (bob.email, bob.role, bob.sessions, bob.mean_focus_score) == (None, None, 0, None)


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_pages_show_everybody_once_newest_first(db: Database, limit: int) -> None:
    instants = [NOW - n * MINUTE for n in range(5)]  # close together,
    instants += [NOW - DAY] * 12  # at once,
    instants += [NOW - n * 100 * DAY for n in range(1, 9)]  # far apart
    for number, instant in enumerate(instants):
        await note_users(db, [f"user {number:02}"], instant)
    found = await all_pages(db, limit)
    assert sorted(user.id for user in found) == [f"user {n:02}" for n in range(25)]
    order = [(user.first_seen_at, user.id) for user in found]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize("cursor", ["0" * 13 + " a", "9" * 13 + " a"])
async def test_a_cursor_before_or_behind_everybody(db: Database, cursor: str) -> None:
    await note_users(db, ["ada"], NOW)
    users, following = await list_users(db, UsersQuery(cursor=cursor), NOW)
    assert [user.id for user in users] == ["ada"] * (cursor[0] == "9")
    assert following is None


@pytest.mark.parametrize("cursor", ["x", "1" * 13, "1" * 13 + " ", "1" * 14 + " a"])
def test_a_cursor_of_no_page_is_refused(cursor: str) -> None:
    with pytest.raises(ValidationError):
        UsersQuery(cursor=cursor)


async def test_who_was_noted_stays_as_first_seen(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_directory, "REMEMBERED", 2)
    here, elsewhere = UserDirectory(db), UserDirectory(db)
    for user in ("a", "b", "c", "a"):
        await here.note(user, NOW)
    await elsewhere.note("a", NOW + DAY)
    rows = await db[user_directory.COLLECTION].find().to_list(None)
    assert {row["_id"]: row["first_seen_at"] for row in rows} == dict.fromkeys("abc", NOW)
