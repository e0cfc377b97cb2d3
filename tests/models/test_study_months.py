"""A learner's days are the same whether months are remembered or not."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase

from models import session_store, study_months
from models.indexes import ensure_indexes
from models.sessions import FINAL, changed_fields, ended_fields
from models.study_months import SETTLED_AFTER, StudyMonths
from scoring.study_days import StudyDays
from tests.embedded import embedded_database
from tests.study import past_session, random_session

Database = AsyncIOMotorDatabase[dict[str, Any]]
BEGIN = datetime(2026, 1, 20, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        indexes = {
            study_months.COLLECTION: study_months.INDEXES,
            session_store.COLLECTION: session_store.INDEXES,
        }
        await ensure_indexes(db, indexes)
        yield db


async def afresh(db: Database, now: datetime, user: str = "ada") -> StudyDays:
    """As somebody reads it for whom nothing is remembered."""
    kept = await db[study_months.COLLECTION].find().to_list(None)
    await db[study_months.COLLECTION].delete_many({})
    studied = await StudyMonths(db).read(user, now)
    await db[study_months.COLLECTION].delete_many({})
    if kept:
        await db[study_months.COLLECTION].insert_many(kept)
    return studied.days


async def remembered(db: Database) -> dict[str, bool]:
    found = await db[study_months.COLLECTION].find().to_list(None)
    return {each["month"][:7]: each["kept"] is not None for each in found}


@pytest.mark.parametrize("seed", range(6))
async def test_it_is_as_if_every_session_were_read_each_time(db: Database, seed: int) -> None:
    """While time goes on, sessions come, end late, are edited and are deleted."""
    chance = random.Random(seed)
    months, now = StudyMonths(db), BEGIN
    sessions = db[session_store.COLLECTION]
    for _ in range(40):
        now += timedelta(hours=chance.choice([0.2, 5, 70, 300]))
        for _ in range(chance.randrange(3)):
            await sessions.insert_one(random_session(chance, "ada", now - 0.3 * HOUR))
            await sessions.insert_one(random_session(chance, "bob", now - 0.3 * HOUR))
        documents = await sessions.find({"userId": "ada"}).to_list(None)
        for document in chance.sample(documents, min(len(documents), chance.randrange(3))):
            wanted = {"_id": document["_id"]}
            action = chance.choice(["end", "edit", "delete"])
            if action == "end" and document["status"] not in FINAL:
                fields = ended_fields(document, "completed", now)
                await sessions.update_one(wanted, {"$set": fields})
                continue
            await months.touch(document, now)
            if chance.random() < 0.3:  # somebody reads between the word and the deed
                await months.read("ada", now)
            if action == "delete":
                await sessions.delete_one(wanted)
            else:
                given = {"activeSeconds": chance.randrange(500), "contentId": "edited"}
                await sessions.update_one(wanted, {"$set": changed_fields(document, given, now)})
        found = await months.read("ada", now)
        assert found.days == await afresh(db, now)
        opened = [each async for each in sessions.find({"userId": "ada"})]
        assert found.open.total() == sum(each["status"] not in FINAL for each in opened)
    assert sum((await remembered(db)).values()) >= 2


async def test_a_month_is_remembered_once_it_is_settled(db: Database) -> None:
    months = StudyMonths(db)
    await db[session_store.COLLECTION].insert_one(past_session("ada", BEGIN))
    over = datetime(2026, 2, 1, tzinfo=UTC)
    await months.read("ada", over + SETTLED_AFTER - timedelta(seconds=1))
    assert await remembered(db) == {}
    await months.read("ada", over + SETTLED_AFTER)
    assert await remembered(db) == {"2026-01": True}


async def test_what_is_remembered_is_not_read_again(db: Database) -> None:
    months = StudyMonths(db)
    await db[session_store.COLLECTION].insert_one(past_session("ada", BEGIN))
    later = BEGIN + 60 * DAY
    first = await months.read("ada", later)
    await db[session_store.COLLECTION].delete_many({})  # as retention does
    assert (await months.read("ada", later)).days == first.days


async def test_a_change_forgets_the_month_until_it_is_settled_again(db: Database) -> None:
    months = StudyMonths(db)
    document = past_session("ada", BEGIN)
    await db[session_store.COLLECTION].insert_one(document)
    later = BEGIN + 60 * DAY
    await months.read("ada", later)
    await months.touch(document, later)
    await months.read("ada", later + 1 * HOUR / 10)
    assert (await remembered(db))["2026-01"] is False
    await months.read("ada", later + HOUR)
    assert (await remembered(db))["2026-01"] is True


async def test_whoever_read_before_a_change_remembers_nothing_of_it(db: Database) -> None:
    """A reader that was slow: the month was touched between its reading and its writing."""
    document = past_session("ada", BEGIN)
    await db[session_store.COLLECTION].insert_one(document)
    later = BEGIN + 60 * DAY

    class Slow(StudyMonths):
        async def _keep(self, *args: Any) -> None:
            await StudyMonths(db).touch(document, later)
            await super()._keep(*args)

    await Slow(db).read("ada", later)
    assert (await remembered(db))["2026-01"] is False


async def test_two_at_once_over_the_end_of_a_month_count_once(db: Database) -> None:
    end = datetime(2026, 2, 1, tzinfo=UTC)
    sessions = db[session_store.COLLECTION]
    await sessions.insert_one(past_session("ada", end - HOUR / 2, active=3600))
    await sessions.insert_one(past_session("ada", end + HOUR / 4, active=3600))
    months = StudyMonths(db)
    for now in (end + HOUR, end + 40 * DAY, end + 41 * DAY):
        found = await months.read("ada", now)
        assert sum(day.focused for day in found.days.values()) == 105 * 60


async def test_somebody_without_sessions_has_no_days(db: Database) -> None:
    found = await StudyMonths(db).read("nobody", BEGIN)
    assert (found.days, found.open.total()) == ({}, 0)
