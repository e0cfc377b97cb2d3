"""Who was ever tracked, and ending what nobody came back to."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.base.compare_and_set import Stamps
from models.base.database import Document
from models.sessions import started_sessions
from models.sessions.queries import claim_session, find_session, insert_session, sessions
from models.sessions.session import NewSession, status_fields
from tests.support.embedded import embedded_database

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
Database = AsyncIOMotorDatabase[dict[str, Any]]
STAMPS = Stamps("a")


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        yield db


async def started(db: Database, **fields: Any) -> Document:
    created = await insert_session(db, "ada", NewSession(), stamp=STAMPS.fresh(), now=NOW)
    id_ = str(created["_id"])
    await claim_session(db, id_, "ada", stamps=STAMPS, now=NOW)
    await sessions(db).update_one({"_id": created["_id"]}, {"$set": fields})
    return await find_session(db, id_, "ada")


async def test_each_is_noted_once_and_listed_in_pages(db: Database) -> None:
    ids = sorted(ObjectId() for _ in range(7))
    await started_sessions.note_started(db, ids[:4])
    await started_sessions.note_started(db, ids)
    assert await started_sessions.noted(db, None, 5) == ids[:5]
    assert await started_sessions.noted(db, ids[4], 5) == ids[5:]
    await started_sessions.forget(db, ids[:6])
    assert await started_sessions.noted(db, None, 5) == ids[6:]


async def test_it_ends_at_its_last_booked_second_and_is_scored(db: Database) -> None:
    booked_at = NOW + 90 * SECOND
    counters = {"elapsedSeconds": 90, "activeSeconds": 75, "idleSeconds": 15}
    document = await started(db, lastBookedAt=booked_at, **counters)
    later = booked_at + timedelta(hours=1)
    assert await started_sessions.abandon(db, document, stamps=STAMPS, now=later)
    found = await find_session(db, str(document["_id"]), "ada")
    assert (found["status"], found["endedAt"], found["updatedAt"]) == (
        "abandoned",
        booked_at,
        later,
    )
    assert found["focusScore"] == 5  # 100 * 90/1500 * 75/90 - 15/30 = 4.5
    assert not await started_sessions.abandon(db, document, stamps=STAMPS, now=later)  # once


async def test_without_a_booked_second_it_ends_where_it_began(db: Database) -> None:
    document = await started(db)
    assert await started_sessions.abandon(db, document, stamps=STAMPS, now=NOW + 60 * SECOND)
    found = await find_session(db, str(document["_id"]), "ada")
    assert (found["startedAt"], found["endedAt"]) == (NOW, NOW)


async def test_whoever_claims_it_first_keeps_it(db: Database) -> None:
    document = await started(db)
    await claim_session(db, str(document["_id"]), "ada", stamps=Stamps("b"), now=NOW)
    assert not await started_sessions.abandon(db, document, stamps=STAMPS, now=NOW)
    assert (await find_session(db, str(document["_id"]), "ada"))["status"] == "active"


async def test_who_resumed_it_was_there(db: Database) -> None:
    document = await started(db, lastBookedAt=NOW + SECOND)
    assert started_sessions.last_present(document) == NOW + SECOND
    paused = {**document, "status": "paused", "pausedAt": NOW}
    resumed = paused | status_fields(paused, "active", NOW + 50 * SECOND)
    assert started_sessions.last_present(resumed) == NOW + 50 * SECOND
