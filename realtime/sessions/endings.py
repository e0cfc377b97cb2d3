"""End tracked sessions: store the end once, and tell every viewer.

Invariants:

- However many clients ask for the end of a session, it ends once.
- The end goes on when the client that asked disconnects.
- Every viewer is told exactly once, by the answer to its own message or by a push.
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
"""How long an end waits for statistics; when many end at once, some are sent without them."""
STATS_AT_ONCE = 4

log = structlog.get_logger(__name__)

Read = Callable[[TrackedSession], Awaitable[SessionView]]
ReadStats = Callable[[str], Awaitable[UserStats]]
"""Returns the statistics of a user."""


class Ended(NamedTuple):
    """An ended session, and the statistics of its user."""

    session: SessionView
    stats: UserStats | None


class Ending:
    """An end under way, and the viewers that get an answer to their own message."""

    task: asyncio.Task[Ended]

    def __init__(self) -> None:
        self.askers: set[Viewer] = set()


class Endings:
    """The ends under way in this process."""

    def __init__(
        self,
        ledger: Ledger[TrackedSession],
        registry: Registry,
        read: Read,
        *,
        read_stats: ReadStats,
        on_ended: Callable[[TrackedSession], None],
    ) -> None:
        """Create it; `on_ended` is called for each stored end."""
        self._ledger = ledger
        self._registry = registry
        self._read = read
        self._read_stats = read_stats
        self._on_ended = on_ended
        self._reading = asyncio.Semaphore(STATS_AT_ONCE)
        self._under_way: dict[TrackedSession, Ending] = {}

    async def stored(self, tracked: TrackedSession, *, by: Viewer | None) -> Ended:
        """Wait until the end of a session, which the engine has ended, is stored.

        Raises NotFound, or Conflict "superseded" if another process took it before.
        """
        ending = self._under_way.get(tracked)
        if ending is None:
            ending = self._under_way[tracked] = Ending()
            # The end outlives the time limit of the request.
            ending.task = asyncio.create_task(self._finish(tracked, ending), context=Context())
            ending.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        if by is not None:
            ending.askers.add(by)
        return await asyncio.shield(ending.task)

    async def ended_elsewhere(self, tracked: TrackedSession) -> None:
        """Tell the viewers of a session that another process has ended."""
        session = await self.read_again(tracked)
        ended = Ended(session, await self._stats_of(tracked))
        self._registry.ended(tracked, stopped_text(ended))

    async def read_again(self, tracked: TrackedSession) -> SessionView:
        """Return the stored session, however long the database takes; raise NotFound."""
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
            log.exception("stats_read_failed")
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
    """Return the error of a session that another process tracks now."""
    return Conflict("superseded", "The session is now tracked by another connection.")


def stopped_text(ended: Ended, id_: MessageId | None = None) -> str:
    """Return the text of `stopped`; its `stats` are null if they were not read in time."""
    session = ended.session
    return Stopped(
        id=id_,
        session=session,
        focus_score=session.focus_score,
        score_breakdown=session.score_breakdown,
        stats=ended.stats,
    ).text()
