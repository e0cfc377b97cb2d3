"""Share one computation among all callers that ask for the same.

Invariants:

- A result is of a computation that began after the call, so it includes everything that was stored
  before.
- For one owner no more than one computation is under way.
- A computation that no caller waits for any more is not begun.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")


class _Waiting(Generic[T]):
    """A computation that has not begun."""

    def __init__(self, task: "asyncio.Task[T]") -> None:
        self.task = task
        self.asking = 0


class SharedWork(Generic[T]):
    """The computations under way and waiting, by owner."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, asyncio.Lock] = {}
        self._waiting: dict[tuple[Hashable, Hashable], _Waiting[T]] = {}

    async def result(
        self, owner: Hashable, question: Hashable, work: Callable[[], Awaitable[T]]
    ) -> T:
        """Return the result of `work`, shared with other callers that ask the same."""
        key = (owner, question)
        waiting = self._waiting.get(key)
        if waiting is None:
            # It may outlive the request that began it, so it inherits none of its limits.
            task = asyncio.create_task(self._do(key, work), context=Context())
            waiting = self._waiting[key] = _Waiting(task)
        waiting.asking += 1
        try:
            return await asyncio.shield(waiting.task)
        finally:
            waiting.asking -= 1
            if not waiting.asking and not waiting.task.done():
                self._drop(key, waiting)
                waiting.task.cancel()

    async def _do(self, key: tuple[Hashable, Hashable], work: Callable[[], Awaitable[T]]) -> T:
        owner = key[0]
        lock = self._locks.setdefault(owner, asyncio.Lock())
        try:
            async with lock:
                self._waiting.pop(key, None)  # who asks from now on waits for the next one
                return await work()
        finally:
            if not lock.locked() and not any(each[0] == owner for each in self._waiting):
                self._locks.pop(owner, None)

    def _drop(self, key: tuple[Hashable, Hashable], waiting: _Waiting[T]) -> None:
        if self._waiting.get(key) is waiting:
            del self._waiting[key]
