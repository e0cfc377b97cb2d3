"""Store frequent small reports in batches: visits, heartbeats, events.

Invariants:

- A caller is answered once its report is stored, or with an error if that is unknown.
- One write is under way at a time, a few times a second.
- The number of waiting reports is bounded. Of two reports with the same key, the later is stored.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from datetime import datetime
from typing import Generic, TypeVar

from models.base.driver_errors import answered_within
from models.base.errors import Busy

EVERY_S = 0.1
"""The time from the begin of a write to the begin of the next."""
TOGETHER = 500
MAX_WAITING = 20_000
ANSWER_WITHIN_S = 5.0

K = TypeVar("K")
V = TypeVar("V")


class Batch(Generic[K, V]):
    """Reports that are stored together, the newest of each key."""

    __slots__ = ("items", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.items: dict[K, V] = {}


class BatchQueue(Generic[K, V]):
    """Reports that wait to be stored, in order of arrival. Pure."""

    def __init__(self, together: int = TOGETHER, most: int = MAX_WAITING) -> None:
        self._together = together
        self._most = most
        self._waiting: list[Batch[K, V]] = []
        self._in: dict[K, Batch[K, V]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._in)

    def add(self, key: K, value: V) -> int:
        """Add a report and return the number of its batch; raise Busy when too many wait."""
        batch = self._in.get(key)
        if batch is None:
            if len(self._in) >= self._most:
                raise Busy("too_busy", "Too much is waiting to be stored; try again shortly.")
            if not self._waiting or len(self._waiting[-1].items) >= self._together:
                self._count += 1
                self._waiting.append(Batch(self._count))
            batch = self._in[key] = self._waiting[-1]
        batch.items[key] = value
        return batch.number

    def take(self) -> Batch[K, V] | None:
        """Remove and return the oldest batch."""
        if not self._waiting:
            return None
        batch = self._waiting.pop(0)
        for key in batch.items:
            del self._in[key]
        return batch


class Batcher(Generic[K, V]):
    """The reports of one kind."""

    def __init__(
        self,
        store: Callable[[Mapping[K, V], datetime], Awaitable[None]],
        now: Callable[[], datetime],
    ) -> None:
        """Create it; `store` stores a batch with the instant at which it was taken."""
        self._store = store
        self._now = now
        self._batches: BatchQueue[K, V] = BatchQueue()
        self._stored: dict[int, asyncio.Future[None]] = {}
        self._writing: asyncio.Task[None] | None = None

    async def add(self, key: K, value: V) -> None:
        """Store a report with the next batch; raise the error of the store, or Busy."""
        number = self._batches.add(key, value)
        loop = asyncio.get_running_loop()
        stored = self._stored.get(number)
        if stored is None:
            stored = self._stored[number] = loop.create_future()
        if self._writing is None or self._writing.done():
            # The write outlives the time limit of this one request.
            self._writing = loop.create_task(self._write_all(), context=Context())
        await asyncio.shield(stored)

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while (batch := self._batches.take()) is not None:
            began_s = loop.time()
            stored = self._stored.pop(batch.number)
            try:
                async with answered_within(ANSWER_WITHIN_S):
                    await self._store(batch.items, self._now())
            except Exception as error:
                self._give_up(stored, error)
            else:
                stored.set_result(None)
            if len(self._batches) < TOGETHER:
                await asyncio.sleep(began_s + EVERY_S - loop.time())

    def _give_up(self, stored: asyncio.Future[None], error: Exception) -> None:
        """Fail everything that waits: stored later, it would get a later instant."""
        while (batch := self._batches.take()) is not None:
            self._fail(self._stored.pop(batch.number), error)
        self._fail(stored, error)

    @staticmethod
    def _fail(stored: asyncio.Future[None], error: Exception) -> None:
        stored.set_exception(error)
        stored.exception()  # the waiting callers may be gone
