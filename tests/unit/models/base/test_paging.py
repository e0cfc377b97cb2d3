"""Reading in windows: every document once, in order, few at a time, at any density."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.base import paging
from models.base.paging import BY_ID, BY_START, Key, newest_first
from models.sessions.queries import new_id
from tests.support.embedded import embedded_database

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Database = AsyncIOMotorDatabase[dict[str, Any]]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await db["things"].create_index([("owner", 1), ("_id", -1)])
        await db["things"].create_index([("owner", 1), ("startedAt", -1)])
        yield db


async def fill(db: Database, instants: list[datetime]) -> list[dict[str, Any]]:
    rows = [{"_id": new_id(at), "owner": "ada", "startedAt": at} for at in instants]
    await db["things"].insert_many([*rows, {"_id": new_id(NOW), "owner": "bob", "startedAt": NOW}])
    return rows


async def read(db: Database, key: Key, **options: Any) -> list[dict[str, Any]]:
    most = options.setdefault("most", 20)
    found: list[dict[str, Any]] = []
    options.setdefault("now", NOW)
    async for part in newest_first(db["things"], {"owner": "ada"}, key, **options):
        assert 0 < len(part) <= most
        found += part
    return found


def uneven(dice: Random) -> list[datetime]:
    """Bursts, gaps of years, many at one instant, some ahead of the clock."""
    at = NOW + HOUR
    instants: list[datetime] = []
    while len(instants) < 400:
        for _ in range(dice.choice((1, 2, 30, 70))):
            at -= dice.choice((timedelta(0), timedelta(milliseconds=1), timedelta(seconds=1)))
            instants.append(at)
        at -= dice.choice((timedelta(minutes=1), HOUR, 10 * DAY, 400 * DAY))
        if at.year < 2012:
            at = NOW - dice.randrange(1000) * DAY
    return instants


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("key", [BY_ID, BY_START])
async def test_each_comes_once_and_in_order(db: Database, key: Key, seed: int) -> None:
    rows = await fill(db, uneven(Random(seed)))
    found = await read(db, key)
    values = [row[key.field] for row in found]
    assert values == sorted(values, reverse=True)
    assert sorted(row["_id"] for row in found) == sorted(row["_id"] for row in rows)


async def test_from_a_value_and_down_to_an_instant(db: Database) -> None:
    rows = await fill(db, [NOW - hours * HOUR for hours in range(500)])
    before, since = rows[100]["_id"], NOW - 300 * HOUR
    found = await read(db, BY_ID, before=before, since=since)
    assert [row["_id"] for row in found] == [row["_id"] for row in rows[101:301]]
    assert await read(db, BY_ID, before=before, since=NOW) == []


@pytest.mark.parametrize("before", ["0" * 24, "f" * 24, "5e0be100" + "0" * 16])
async def test_any_cursor_will_do(db: Database, before: str) -> None:
    rows = await fill(db, [NOW - hours * HOUR for hours in range(30)])
    found = await read(db, BY_ID, before=ObjectId(before))
    assert len(found) == (len(rows) if before.startswith("f") else 0)


async def test_what_is_removed_meanwhile_keeps_nothing_else_away(db: Database) -> None:
    rows = await fill(db, [NOW - hours * HOUR for hours in range(300)])
    seen = 0
    async for part in newest_first(db["things"], {"owner": "ada"}, BY_ID, now=NOW, most=20):
        seen += len(part)
        await db["things"].delete_many({"_id": {"$in": [row["_id"] for row in part]}})
    assert seen == len(rows)
    assert await db["things"].count_documents({}) == 1


async def test_a_clock_that_stands_at_the_beginning_of_time(db: Database) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    rows = await fill(db, [epoch + hours * HOUR for hours in range(50)])
    assert len(await read(db, BY_ID, now=epoch)) == len(rows)


def test_the_windows_have_their_order() -> None:
    assert paging.NARROWEST < paging.FIRST < paging.WIDEST
