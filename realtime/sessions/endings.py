"""Ending tracked sessions: stored once, told to everybody.

What must always hold: however many ask for the end of a session, it ends once; whoever
asked may go meanwhile, the end goes on; and every viewer is told exactly once, either by
the answer to its own message or by the push.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import NamedTuple

import structlog

from models.base.driver_errors import StatementRefused, answered_within
from models.base.errors import Conflict, StorageUnavailable
from models.sessions.session import FINAL, SessionView
from models.study.statistics import UserStats
from realtime.engine.ledger import Ledger
from realtime.engine.tracked import TrackedSession, Viewer
from realtime.protocol.client_messages import MessageId
from realtime.protocol.server_messages import Stopped
from realtime.sockets.registry import Registry

READ_WITHIN_S = 5.0
READ_AGAIN_AFTER_S = 0.25
STATS_WITHIN_S = 1.0
"""So long an end waits for statistics at most: when many end at once, some go without."""
STATS_AT_ONCE = 4

log = structlog.get_logger(__name__)

Read = Callable[[TrackedSession], Awaitable[SessionView]]
ReadStats = Callable[[str], Awaitable[UserStats]]
"""Those of a user."""


class Ended(NamedTuple):
    """A session that has ended, and what its user's sessions come to now."""

    session: SessionView
    stats: UserStats | None


class Ending:
    """An end on its way to the database, and who gets an answer of their own."""

    task: asyncio.Task[Ended]

    def __init__(self) -> None:
        self.askers: set[Viewer] = set()


class Endings:
    def __init__(
        self,
        ledger: Ledger[TrackedSession],
        registry: Registry,
        read: Read,
        *,
        read_stats: ReadStats,
        on_ended: Callable[[TrackedSession], None],
    ) -> None:
        """`on_ended` is told of each end that is stored."""
        self._ledger = ledger
        self._registry = registry
        self._read = read
        self._read_stats = read_stats
        self._on_ended = on_ended
        self._reading = asyncio.Semaphore(STATS_AT_ONCE)
        self._under_way: dict[TrackedSession, Ending] = {}

    async def stored(self, tracked: TrackedSession, *, by: Viewer | None) -> Ended:
        """Until the end of this thing, which the engine has ended, is stored.

        Raises NotFound, or Conflict "superseded" if another process took it before.
        """
        ending = self._under_way.get(tracked)
        if ending is None:
            ending = self._under_way[tracked] = Ending()
            # Whoever asked may have a time limit; the end has none.
            ending.task = asyncio.create_task(self._finish(tracked, ending), context=Context())
            ending.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        if by is not None:
            ending.askers.add(by)
        return await asyncio.shield(ending.task)

    async def ended_elsewhere(self, tracked: TrackedSession) -> None:
        """Tell the viewers of a thing that another process has ended."""
        session = await self.read_again(tracked)
        ended = Ended(session, await self._stats_of(tracked))
        self._registry.ended(tracked, stopped_text(ended))

    async def read_again(self, tracked: TrackedSession) -> SessionView:
        """The session as stored, however long the database takes. Raises NotFound."""
        while True:
            try:
                async with answered_within(READ_WITHIN_S):
                    return await self._read(tracked)
            except StorageUnavailable:
                await asyncio.sleep(READ_AGAIN_AFTER_S)

    async def _stats_of(self, tracked: TrackedSession) -> UserStats | None:
        try:
            async with answered_within(STATS_WITHIN_S), self._reading:
                return await self._read_stats(tracked.user_id)
        except (StorageUnavailable, StatementRefused):
            return None
        except Exception:
            log.exception("stats_not_read")
            return None

    async def _finish(self, tracked: TrackedSession, ending: Ending) -> Ended:
        try:
            await self._ledger.saved(tracked)
            session = await self.read_again(tracked)
            if session.status not in FINAL:
                raise taken_over()
            ended = Ended(session, await self._stats_of(tracked))
            self._registry.ended(tracked, stopped_text(ended), but=ending.askers)
            self._on_ended(tracked)
            return ended
        finally:
            del self._under_way[tracked]


def taken_over() -> Conflict:
    return Conflict("superseded", "The session is tracked elsewhere now.")


def stopped_text(ended: Ended, id_: MessageId | None = None) -> str:
    """The message `stopped`. `stats` are null when they could not be read in time."""
    session = ended.session
    return Stopped(
        id=id_,
        session=session,
        focus_score=session.focus_score,
        score_breakdown=session.score_breakdown,
        stats=ended.stats,
    ).text()
