"""Test that a user has one export at a time, and that each reservation ends."""

import asyncio
import gc
from datetime import UTC, datetime
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.base.errors import Busy
from models.privacy.export import Exports
from models.study.service import StudyService
from models.tokens.access_tokens import Identity

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def exports() -> Exports:
    db: AsyncIOMotorDatabase[dict[str, Any]] = AsyncMongoMockClient(tz_aware=True)["focusup"]
    return Exports(db, StudyService(db).learners, lambda document: document)  # type: ignore[arg-type, return-value]


def ada() -> Identity:
    return Identity(user_id="ada", expires_at=NOW)


async def test_thirty_at_once_are_one(exports: Exports) -> None:
    reservations = []
    for _ in range(30):
        try:
            reservations.append(exports.reserve(ada()))
        except Busy:
            continue
    assert len(reservations) == 1
    reservations[0].release()
    exports.reserve(ada()).release()


async def test_a_written_export_makes_room(exports: Exports) -> None:
    reservation = exports.reserve(ada())
    head = await exports.head(ada(), NOW)
    with pytest.raises(Busy):
        exports.reserve(ada())
    assert b"".join([piece async for piece in exports.json(reservation, head, NOW)]).startswith(
        b"{"
    )
    exports.reserve(ada())


async def test_an_export_that_nobody_reads_makes_room(exports: Exports) -> None:
    pieces = exports.csv(exports.reserve(ada()), "ada", NOW)
    with pytest.raises(Busy):
        exports.reserve(ada())
    del pieces
    gc.collect()
    await asyncio.sleep(0)
    exports.reserve(ada())
