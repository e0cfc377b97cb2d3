"""Test that newer data is refused, and that older data is migrated by any process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.migrations.schema_version import FIRST, STEPS, SchemaTooNew, migrate, supported_version
from tests.support.embedded import embedded_database

Database = AsyncIOMotorDatabase[dict[str, Any]]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        yield db


async def version_of(db: Database) -> list[dict[str, Any]]:
    return await db["meta"].find().to_list(None)


async def rename(db: Database) -> None:
    """From 1 to 2: a field gets another name."""
    await db["things"].update_many({}, {"$rename": {"old": "new"}})


async def double(db: Database) -> None:
    """From 2 to 3: a field is derived from it."""
    await db["things"].update_many({}, [{"$set": {"twice": {"$multiply": ["$new", 2]}}}])


TWO = {1: rename, 2: double}


def test_the_steps_have_no_gap() -> None:
    assert sorted(STEPS) == list(range(FIRST, supported_version()))


async def test_a_new_database_is_of_our_version(db: Database) -> None:
    for _ in range(2):
        await migrate(db)
        (says,) = await version_of(db)
        assert (says["_id"], says["version"]) == ("schema", supported_version())


@pytest.mark.parametrize("says", [None, 1, 2])
async def test_an_older_one_is_brought_up_from_where_it_is(db: Database, says: int | None) -> None:
    await db["things"].insert_one({"_id": 0, ("new" if says == 2 else "old"): 21})
    if says is not None:
        await db["meta"].insert_one({"_id": "schema", "version": says})
    await migrate(db, TWO)
    assert await db["things"].find_one() == {"_id": 0, "new": 21, "twice": 42}
    assert await version_of(db) == [{"_id": "schema", "version": 3, "begun": 3}]


async def test_a_step_that_fails_is_done_again_and_what_was_done_is_not(db: Database) -> None:
    calls: list[str] = []

    async def first(_: Database) -> None:
        calls.append("first")

    async def second(_: Database) -> None:
        calls.append("second")
        if len(calls) == 2:
            raise ConnectionError

    steps = {1: first, 2: second}
    with pytest.raises(ConnectionError):
        await migrate(db, steps)
    assert await version_of(db) == [{"_id": "schema", "version": 2, "begun": 3}]
    with pytest.raises(SchemaTooNew, match="schema version 3"):
        await migrate(db, {1: first})  # an older program meets half of a step
    await migrate(db, steps)
    assert calls == ["first", "second", "second"]
    assert await version_of(db) == [{"_id": "schema", "version": 3, "begun": 3}]


async def test_several_may_start_at_once(db: Database) -> None:
    await db["things"].insert_many({"_id": n, "old": n} for n in range(20))
    await asyncio.gather(*(migrate(db, TWO) for _ in range(4)))
    expected = [{"_id": n, "new": n, "twice": 2 * n} for n in range(20)]
    assert await db["things"].find().sort("_id", 1).to_list(None) == expected
    assert await version_of(db) == [{"_id": "schema", "version": 3, "begun": 3}]


async def test_a_newer_one_is_refused_and_left_alone(db: Database) -> None:
    await migrate(db, TWO)
    before = await version_of(db)
    with pytest.raises(SchemaTooNew, match=r"\(schema version 3; this one supports 2\)"):
        await migrate(db)
    assert await version_of(db) == before
