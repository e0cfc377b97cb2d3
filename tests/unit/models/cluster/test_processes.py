"""Test heartbeats, and that each notice is received once, by its receiver."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.base.indexes import ensure_indexes
from models.cluster import processes
from models.cluster.processes import Notice
from tests.support.embedded import embedded_database

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
Database = AsyncIOMotorDatabase[dict[str, Any]]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, processes.INDEXES)
        yield db


async def test_each_says_that_it_lives_until_it_says_goodbye(db: Database) -> None:
    later = NOW + timedelta(seconds=1)
    await processes.write_heartbeat(db, "a", NOW)
    await processes.write_heartbeat(db, "b", NOW)
    assert await processes.read_heartbeats(db) == {"a": NOW, "b": NOW}
    await processes.write_heartbeat(db, "a", later)
    assert await processes.read_heartbeats(db) == {"a": later, "b": NOW}
    await processes.remove_process(db, "b")
    assert await processes.read_heartbeats(db) == {"a": later}
    await processes.remove_all(db)
    assert await processes.read_heartbeats(db) == {}


async def test_a_notice_is_taken_once_in_order_by_whom_it_is_for(db: Database) -> None:
    first, second, other = (Notice(ObjectId(), "look"), Notice(ObjectId(), "retarget", 2.5),
                            Notice(ObjectId(), "end", "completed"))  # fmt: skip
    for to, notice in (("a", first), ("b", other), ("a", second)):
        await processes.send_notice(db, to, notice, NOW)
    assert await processes.receive_notices(db, "a") == [first, second]
    assert await processes.receive_notices(db, "a") == []
    assert await processes.receive_notices(db, "b") == [other]
