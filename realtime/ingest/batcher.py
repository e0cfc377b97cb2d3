"""What comes in one by one at a high rate, stored together: visits, heartbeats, events.

What must always hold: whoever waits is answered once what it brought is stored, or told
that it is not known to be; one write at a time, a few times a second; what waits is
bounded; and of those who come twice before a write, one is stored.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from datetime import datetime
from typing import Generic, TypeVar

from models.base.driver_errors import answered_within
from models.base.errors import Busy

EVERY_S = 0.1
"""From the beginning of a write to that of the next: so long a caller waits at most, with
one more for each `TOGETHER` who came before."""
TOGETHER = 500
MAX_WAITING = 20_000
ANSWER_WITHIN_S = 5.0

K = TypeVar("K")
V = TypeVar("V")


class Batch(Generic[K, V]):
    """Those that are stored together, the newest word of each."""

    __slots__ = ("items", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.items: dict[K, V] = {}


class Batches(Generic[K, V]):
    """What waits to be stored, in the order in which it came. Pure."""

    def __init__(self, together: int = TOGETHER, most: int = MAX_WAITING) -> None:
        self._together = together
        self._most = most
        self._waiting: list[Batch[K, V]] = []
        self._in: dict[K, Batch[K, V]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._in)

    def add(self, key: K, value: V) -> int:
        """The number of the batch it is in; raises Busy when too much waits."""
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
        """The oldest batch, which nothing joins any more."""
        if not self._waiting:
            return None
        batch = self._waiting.pop(0)
        for key in batch.items:
            del self._in[key]
        return batch


class Gathering(Generic[K, V]):
    def __init__(
        self,
        store: Callable[[Mapping[K, V], datetime], Awaitable[None]],
        now: Callable[[], datetime],
    ) -> None:
        """`store` stores a batch, all of it with the one instant at which it is taken."""
        self._store = store
        self._now = now
        self._batches: Batches[K, V] = Batches()
        self._stored: dict[int, asyncio.Future[None]] = {}
        self._writing: asyncio.Task[None] | None = None

    async def note(self, key: K, value: V) -> None:
        """Once it is stored; raises what the storing raised, or Busy."""
        number = self._batches.add(key, value)
        loop = asyncio.get_running_loop()
        stored = self._stored.get(number)
        if stored is None:
            stored = self._stored[number] = loop.create_future()
        if self._writing is None or self._writing.done():
            # Not within the time limit of this one request.
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
        """All that waits fails alike: stored later, it would get a later instant."""
        while (batch := self._batches.take()) is not None:
            self._fail(self._stored.pop(batch.number), error)
        self._fail(stored, error)

    @staticmethod
    def _fail(stored: asyncio.Future[None], error: Exception) -> None:
        stored.set_exception(error)
        stored.exception()  # nobody may be waiting any more
