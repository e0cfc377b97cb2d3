"""A learner's days are the same whether months are remembered or not."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.accounts.settings import Learner
from models.base.indexes import ensure_indexes
from models.sessions import queries
from models.sessions.session import (
    FINAL,
    NewSession,
    changed_fields,
    ended_fields,
    new_document,
)
from models.study import day_cache
from models.study.day_cache import DayCache
from models.study.day_summary import DaySummary, lived_of
from models.study.periods import NO_DATES, SETTLED_AFTER, Dates
from scoring.study_days import tally
from tests.support.embedded import embedded_database
from tests.support.study import past_session, random_session

Database = AsyncIOMotorDatabase[dict[str, Any]]
BEGIN = datetime(2026, 1, 20, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ADA = Learner("ada", "UTC", ())
ALL = Dates(date(2020, 1, 1), date(2100, 1, 1))


class StoringCache(DayCache):
    """Returns once what was read is stored, so that a test can look at it."""

    async def read(self, learner: Learner, now: datetime, dates: Dates = NO_DATES) -> DaySummary:
        found = await super().read(learner, now, dates)
        await self.stored()
        return found


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        indexes = {
            day_cache.COLLECTION: day_cache.INDEXES,
            queries.COLLECTION: queries.INDEXES,
        }
        await ensure_indexes(db, indexes)
        yield db


async def expected(db: Database, user: str = "ada") -> DaySummary:
    """What every session of this user comes to, read now."""
    found = await db[queries.COLLECTION].find({"userId": user}).to_list(None)
    studied = DaySummary()
    studied.add_days(tally([lived_of(document) for document in found]), ALL)
    studied.open.update(each["status"] for each in found if each["status"] not in FINAL)
    return studied


def assert_same(found: DaySummary, other: DaySummary) -> None:
    assert found.days == other.days
    assert found.marks == other.marks
    assert found.total == other.total
    assert found.open == other.open


async def remembered(db: Database) -> dict[str, bool]:
    found = await db[day_cache.COLLECTION].find().to_list(None)
    return {each["period"]: each["kept"] is not None for each in found}


@pytest.mark.parametrize("seed", range(6))
async def test_it_is_as_if_every_session_were_read_each_time(db: Database, seed: int) -> None:
    """While time goes on, sessions come, end late, are edited and are deleted."""
    chance = random.Random(seed)
    periods, now = StoringCache(db), BEGIN
    sessions = db[queries.COLLECTION]
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
            await periods.touch(document, now)
            if chance.random() < 0.3:  # somebody reads between the word and the deed
                await periods.read(ADA, now)
            if action == "delete":
                await sessions.delete_one(wanted)
            else:
                given = {"activeSeconds": chance.randrange(500), "contentId": "edited"}
                await sessions.update_one(wanted, {"$set": changed_fields(document, given, now)})
        assert_same(await periods.read(ADA, now, ALL), await expected(db))
        some = Dates(now.date() - chance.randrange(90) * DAY, now.date() + DAY)
        assert (await periods.read(ADA, now, some)).days == {
            day: each
            for day, each in (await expected(db)).days.items()
            if some.since <= day < some.until
        }
    kept = await remembered(db)
    assert sum(is_kept for name, is_kept in kept.items() if len(name) == len("2026-01")) >= 2


async def test_a_month_is_remembered_once_it_is_settled(db: Database) -> None:
    periods = StoringCache(db)
    await db[queries.COLLECTION].insert_one(past_session("ada", BEGIN))
    over = datetime(2026, 2, 1, tzinfo=UTC)
    await periods.read(ADA, over + SETTLED_AFTER - timedelta(seconds=1))
    assert "2026-01" not in await remembered(db)
    await periods.read(ADA, over + SETTLED_AFTER)
    assert (await remembered(db))["2026-01"] is True


async def test_what_is_remembered_is_not_read_again(db: Database) -> None:
    periods = StoringCache(db)
    await db[queries.COLLECTION].insert_one(past_session("ada", BEGIN))
    later = BEGIN + 60 * DAY
    first = await periods.read(ADA, later, ALL)
    await db[queries.COLLECTION].delete_many({})  # as retention does
    assert_same(await periods.read(ADA, later, ALL), first)


async def test_a_change_forgets_the_month_until_it_is_settled_again(db: Database) -> None:
    periods = StoringCache(db)
    document = past_session("ada", BEGIN)
    await db[queries.COLLECTION].insert_one(document)
    later = BEGIN + 60 * DAY
    await periods.read(ADA, later)
    await periods.touch(document, later)
    await periods.read(ADA, later + 1 * HOUR / 10)
    assert (await remembered(db))["2026-01"] is False
    await periods.read(ADA, later + HOUR)
    assert (await remembered(db))["2026-01"] is True


async def test_whoever_read_before_a_change_remembers_nothing_of_it(db: Database) -> None:
    """A reader that was slow: the month was touched between its reading and its writing."""
    document = past_session("ada", BEGIN)
    await db[queries.COLLECTION].insert_one(document)
    later = BEGIN + 60 * DAY

    class Slow(StoringCache):
        async def _keep(self, *args: Any) -> None:
            await self.touch(document, later)
            await super()._keep(*args)

    await Slow(db).read(ADA, later)
    assert (await remembered(db))["2026-01"] is False


async def test_two_at_once_over_the_end_of_a_month_count_once(db: Database) -> None:
    end = datetime(2026, 2, 1, tzinfo=UTC)
    sessions = db[queries.COLLECTION]
    await sessions.insert_one(past_session("ada", end - HOUR / 2, active=3600))
    await sessions.insert_one(past_session("ada", end + HOUR / 4, active=3600))
    periods = StoringCache(db)
    for now in (end + HOUR, end + 40 * DAY, end + 41 * DAY):
        found = await periods.read(ADA, now, ALL)
        assert sum(day.focused for day in found.days.values()) == 105 * 60
        assert_same(found, await expected(db))


async def test_somebody_without_sessions_has_no_days(db: Database) -> None:
    found = await StoringCache(db).read(Learner("nobody", "UTC", ()), BEGIN, ALL)
    assert_same(found, DaySummary())


async def test_a_change_before_anything_is_remembered_hides_nothing(db: Database) -> None:
    first, second = past_session("ada", BEGIN), past_session("ada", BEGIN + 40 * DAY)
    await db[queries.COLLECTION].insert_many([first, second])
    periods, now = StoringCache(db), BEGIN + 90 * DAY
    await periods.touch(second, now)
    assert_same(await periods.read(ADA, now, ALL), await expected(db))


async def test_the_days_of_the_present_month_are_remembered_until_the_month_is(
    db: Database,
) -> None:
    await db[queries.COLLECTION].insert_many(
        [past_session("ada", BEGIN + number * DAY) for number in range(5)]
    )
    periods = StoringCache(db)
    await periods.read(ADA, BEGIN + 5 * DAY)
    days = {f"2026-01-{day:02}" for day in range(1, 25)}
    assert await remembered(db) == dict.fromkeys(days, True)
    await periods.read(ADA, BEGIN + 30 * DAY)
    kept = await remembered(db)
    assert kept["2026-01"]
    assert not days & kept.keys()


async def test_what_was_changed_while_it_was_read_is_read_again(db: Database) -> None:
    document = past_session("ada", BEGIN)
    await db[queries.COLLECTION].insert_one(document)
    later = BEGIN + 60 * DAY
    await StoringCache(db).read(ADA, later)
    touched = False

    class Slow(StoringCache):
        async def _add_whole(self, *args: Any) -> bool:
            nonlocal touched
            if not touched:
                touched = True
                await self.touch(document, later)
                await db[queries.COLLECTION].delete_one({"_id": document["_id"]})
            return await super()._add_whole(*args)

    assert_same(await Slow(db).read(ADA, later, ALL), DaySummary())


async def never_started(db: Database, count: int, every: timedelta) -> None:
    documents = []
    for number in range(count):
        created = BEGIN - number * every
        document = new_document("ada", NewSession(), stamp="s", now=created)
        documents.append({"_id": queries.new_id(created), **document})
    await db[queries.COLLECTION].insert_many(documents)


async def test_sessions_that_were_never_started_are_counted_and_not_read(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can make thousands of them in a day."""
    await never_started(db, 300, timedelta(seconds=1))
    await db[queries.COLLECTION].insert_one(past_session("ada", BEGIN - HOUR, active=60))
    read = 0

    class Counting:
        def __init__(self, db: Database) -> None:
            self._collection = queries.sessions(db)

        def find(self, *args: Any, **kwargs: Any) -> Any:
            return self._collection.find(*args, **kwargs)

        async def aggregate(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            nonlocal read
            async for each in self._collection.aggregate(*args, **kwargs):
                read += 1
                yield each

    monkeypatch.setattr(day_cache, "sessions", Counting)
    await StoringCache(db).read(ADA, BEGIN, ALL)  # the days before are remembered from now on
    read = 0
    assert_same(await StoringCache(db).read(ADA, BEGIN, ALL), await expected(db))
    assert read == 2  # the session that was studied, and a count


async def test_sessions_that_were_never_started_are_counted_on_their_days(db: Database) -> None:
    await never_started(db, 100, 9 * HOUR)
    days = StoringCache(db)
    for later in (timedelta(), timedelta(minutes=11), DAY, 40 * DAY):
        for _ in range(2):
            assert_same(await days.read(ADA, BEGIN + later, ALL), await expected(db))


async def test_an_answer_does_not_wait_for_the_cache(db: Database) -> None:
    await db[queries.COLLECTION].insert_one(past_session("ada", BEGIN))
    may_store = asyncio.Event()

    class Held(DayCache):
        async def _store(self, *args: Any) -> None:
            await may_store.wait()
            await super()._store(*args)

    cache, later = Held(db), BEGIN + 60 * DAY
    assert_same(await cache.read(ADA, later, ALL), await expected(db))
    assert await remembered(db) == {}
    assert_same(await cache.read(ADA, later, ALL), await expected(db))  # no second store beside
    may_store.set()
    await cache.stored()
    assert (await remembered(db))["2026-01"]
