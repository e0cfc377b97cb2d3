"""Run engine, ledger, ticker and registry of one kind together.

Invariants:

- A stop writes everything first, if the database answers, then closes every socket with 1012.
- Viewers are told once when the database fails, and once when it is back.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Generic

from models.base.compare_and_set import Stamps
from realtime.engine.clock import Clock
from realtime.engine.engine import Engine
from realtime.engine.ledger import Ledger, Loss
from realtime.engine.store import Store
from realtime.engine.ticker import Ticker
from realtime.engine.tracked import T
from realtime.protocol.close_codes import CloseCode
from realtime.protocol.server_messages import Degraded, Recovered
from realtime.sockets.registry import Registry

CLOSE_AFTER_S = 1.0
"""How long a stop waits for the close frames to be sent."""


class Pipeline(Generic[T]):
    """All parts that count focus sessions, or page views."""

    def __init__(
        self,
        store: Store[T],
        clock: Clock,
        stamps: Stamps,
        registry: Registry,
        *,
        announce: Callable[[Iterable[T]], None],
        on_lost: Callable[[T, Loss], None],
    ) -> None:
        self.clock = clock
        self.registry = registry
        self.engine: Engine[T] = Engine()
        self.ledger = Ledger(
            self.engine, store, clock, stamps, on_lost=on_lost, on_trouble=self._trouble
        )
        self.ticker = Ticker(self.engine, self.ledger, clock, announce=announce)
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, *others: Coroutine[Any, Any, None]) -> None:
        """Begin to count, and run other work beside it."""
        for work in (self.ticker.run(), self.ledger.run(), *others):
            self.keep(asyncio.create_task(work))

    async def stop(self, untrack: Callable[[], Awaitable[None]], *, within_s: float) -> list[T]:
        """Write everything, then close every socket with 1012.

        Args:
            untrack: Ends the tracking, before the last write.
            within_s: The time limit of the writes.

        Returns:
            The items that could not be written in time.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await untrack()
                await self.ledger.drain()
        unwritten = list(self.engine.all_tracked.values())
        self.registry.close_all(CloseCode.RESTART, "the server restarts")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_AFTER_S):
                await self.registry.emptied()
        self.registry.cut_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return unwritten

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Keep a task from being collected until it ends; its errors are its own matter."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _trouble(self, begun: bool) -> None:
        """Tell all viewers that the database has stopped answering, or answers again."""
        kind = Degraded if begun else Recovered
        now = self.clock.wall(self.clock.now_us())
        self.registry.push_all(kind(server_time=now).text())
