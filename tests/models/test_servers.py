"""Signs of life and notices: each read by whom it is for, once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase

from models import servers
from models.indexes import ensure_indexes
from models.servers import ALIVE_FOR, Notice
from tests.embedded import embedded_database

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
Database = AsyncIOMotorDatabase[dict[str, Any]]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, servers.INDEXES)
        yield db


async def test_who_says_so_lives_for_a_while(db: Database) -> None:
    await servers.say_alive(db, "a", NOW - ALIVE_FOR)
    await servers.say_alive(db, "b", NOW - ALIVE_FOR + timedelta(seconds=1))
    assert await servers.read_alive(db, NOW) == {"b"}
    await servers.say_alive(db, "a", NOW)
    assert await servers.read_alive(db, NOW) == {"a", "b"}
    await servers.say_goodbye(db, "b")
    assert await servers.read_alive(db, NOW) == {"a"}
    await servers.forget_all(db)
    assert await servers.read_alive(db, NOW) == frozenset()


async def test_a_notice_is_taken_once_in_order_by_whom_it_is_for(db: Database) -> None:
    first, second, other = (Notice(ObjectId(), "look"), Notice(ObjectId(), "retarget", 2.5),
                            Notice(ObjectId(), "end", "completed"))  # fmt: skip
    for to, notice in (("a", first), ("b", other), ("a", second)):
        await servers.leave_notice(db, to, notice, NOW)
    assert await servers.take_notices(db, "a") == [first, second]
    assert await servers.take_notices(db, "a") == []
    assert await servers.take_notices(db, "b") == [other]
