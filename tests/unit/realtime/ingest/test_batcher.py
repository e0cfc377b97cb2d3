"""What comes one by one is stored together, and nobody is told so before it is."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from models.base.driver_errors import answered_within
from models.base.errors import Busy, StorageUnavailable
from realtime.ingest.batcher import Batcher, BatchQueue

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


# --- the pure part -----------------------------------------------------------------------


def test_who_comes_twice_is_stored_once_with_the_newest_word() -> None:
    batches: BatchQueue[str, int] = BatchQueue()
    assert batches.add("a", 1) == batches.add("b", 2) == batches.add("a", 3)
    batch = batches.take()
    assert batch is not None
    assert batch.items == {"a": 3, "b": 2}
    assert batches.take() is None


def test_who_comes_while_it_is_written_is_written_again() -> None:
    batches: BatchQueue[str, int] = BatchQueue()
    first = batches.add("a", 1)
    batches.take()
    assert batches.add("a", 2) != first
    again = batches.take()
    assert again is not None
    assert again.items == {"a": 2}


def test_a_batch_that_is_full_is_followed_by_another() -> None:
    batches: BatchQueue[int, None] = BatchQueue(together=2)
    assert [batches.add(number, None) for number in range(5)] == [1, 1, 2, 2, 3]
    taken = [batches.take() for _ in range(3)]
    assert [list(batch.items) for batch in taken if batch] == [[0, 1], [2, 3], [4]]


def test_what_waits_is_bounded_and_room_comes_back() -> None:
    batches: BatchQueue[int, None] = BatchQueue(together=2, most=3)
    for number in range(3):
        batches.add(number, None)
    with pytest.raises(Busy):
        batches.add(3, None)
    batches.add(1, None)  # takes no more room
    batches.take()
    batches.add(3, None)
    assert len(batches) == 2


# --- with a database ----------------------------------------------------------------------


class Database:
    """Remembers what it stores; hangs or fails when told to."""

    def __init__(self) -> None:
        self.batches: list[dict[str, int]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.fails: Exception | None = None
        self.under_way = self.most_under_way = 0

    async def store(self, items: Mapping[str, int], now: datetime) -> None:
        assert now == NOW
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.answers.wait()
            await asyncio.sleep(0)
            if self.fails is not None:
                raise self.fails
            self.batches.append(dict(items))
        finally:
            self.under_way -= 1


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def gathering(database: Database) -> Batcher[str, int]:
    return Batcher(database.store, lambda: NOW)


async def test_an_answer_comes_after_the_write(
    database: Database, gathering: Batcher[str, int]
) -> None:
    database.answers.clear()
    call = asyncio.create_task(gathering.add("a", 1))
    await asyncio.sleep(0.05)
    assert not call.done()
    database.answers.set()
    await call
    assert database.batches == [{"a": 1}]


async def test_those_who_come_during_a_write_share_the_next(
    database: Database, gathering: Batcher[str, int]
) -> None:
    calls = [asyncio.create_task(gathering.add("first", 0))]
    await asyncio.sleep(0.01)
    calls += [asyncio.create_task(gathering.add(f"{n % 1000}", n)) for n in range(3000)]
    await asyncio.gather(*calls)
    assert database.batches[0] == {"first": 0}
    assert [len(batch) for batch in database.batches[1:]] == [500, 500]
    assert database.most_under_way == 1


async def test_it_goes_on_after_a_rest(database: Database, gathering: Batcher[str, int]) -> None:
    for number in range(3):
        await gathering.add("a", number)
        await asyncio.sleep(0.15)
    assert database.batches == [{"a": 0}, {"a": 1}, {"a": 2}]


async def test_a_failed_write_is_told_to_all_who_wait_and_nothing_stays(
    database: Database, gathering: Batcher[str, int]
) -> None:
    database.answers.clear()
    calls = [asyncio.create_task(gathering.add("first", 0))]
    await asyncio.sleep(0.01)
    calls += [asyncio.create_task(gathering.add(f"{n}", n)) for n in range(1200)]
    await asyncio.sleep(0.01)
    database.fails = StorageUnavailable()
    database.answers.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, StorageUnavailable) for result in results)
    assert database.batches == []
    database.fails = None
    await gathering.add("back", 1)
    assert database.batches == [{"back": 1}]


async def test_one_who_gives_up_takes_nobody_along(
    database: Database, gathering: Batcher[str, int]
) -> None:
    database.answers.clear()

    async def impatient() -> None:
        async with answered_within(0.05):
            await gathering.add("a", 1)

    patient = asyncio.create_task(gathering.add("a", 2))
    with pytest.raises(StorageUnavailable):
        await impatient()
    await asyncio.sleep(0.05)
    database.answers.set()
    await patient
    assert database.batches == [{"a": 2}]


async def test_a_database_that_hangs_is_no_answer(
    database: Database, gathering: Batcher[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.ingest.batcher.ANSWER_WITHIN_S", 0.1)
    database.answers.clear()
    with pytest.raises(StorageUnavailable):
        await gathering.add("a", 1)
    assert database.under_way == 0
