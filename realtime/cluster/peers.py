"""Exchange heartbeats and notices with the other processes on the same database.

Invariants:

- Counted seconds do not depend on this module: stamps decide who owns a session. It only tells a
  socket within `POLL_S` and a write what another process did to its session, and tells others that
  a session is tracked.
- Whether a process lives is judged by our own clock alone, because the clocks of hosts differ.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from bson import ObjectId

from models.base.database import Database, Document
from models.base.driver_errors import StatementRefused, StorageUnavailable, answered_within
from models.cluster import processes
from models.cluster.processes import Notice
from realtime.engine.clock import US_PER_SECOND, Clock

POLL_S = 0.5
ALIVE_EVERY = 4
"""Polls between two heartbeats."""
SILENT_FOR_US = 6 * US_PER_SECOND
SILENT_READS = 3
"""A process whose heartbeat has not changed for `SILENT_FOR_US`, in so many reads, counts as dead.
Reads are counted too, because this process may be the one that slept."""
ANSWER_WITHIN_S = 5.0
DONE_WITHIN_S = 2.5
"""How long an owner has to carry out a request; after that it loses the session."""
LOOK_EVERY_S = 0.1

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Sign:
    value: object
    since_us: int
    reads: int = 0


class Liveness:
    """Decide which processes live: those with a new or changing heartbeat. Pure."""

    def __init__(self) -> None:
        self._signs: dict[str, _Sign] = {}

    def read(self, signs: Mapping[str, object], now_us: int) -> frozenset[str]:
        """Take the heartbeats that were just read; return the living processes."""
        for gone in self._signs.keys() - signs.keys():
            del self._signs[gone]
        for process, value in signs.items():
            known = self._signs.get(process)
            if known is None or known.value != value:
                self._signs[process] = _Sign(value, now_us)
            else:
                known.reads += 1
        return frozenset(
            process
            for process, sign in self._signs.items()
            if sign.reads < SILENT_READS or now_us - sign.since_us < SILENT_FOR_US
        )


class Peers:
    """The other processes, as this one knows them."""

    def __init__(
        self,
        db: Database,
        process: str,
        *,
        clock: Clock,
        on_notice: Callable[[Notice], None],
        on_silence: Callable[[], None],
        tracked: Callable[[], int],
    ) -> None:
        """Create it; `tracked` returns how many sessions this process tracks."""
        self._db = db
        self._tracked = tracked
        self._process = process
        self._clock = clock
        self._on_notice = on_notice
        self._on_silence = on_silence
        """Called after a silence so long that others may have taken this process for dead, and
        sent it no notices."""
        self._liveness = Liveness()
        self._alive: frozenset[str] = frozenset()
        self._said_us: int | None = None

    def others_track(self, owner: str | None) -> bool:
        """Return whether this owner of a session is another living process."""
        return owner is not None and owner != self._process and owner in self._alive

    async def run(self) -> None:
        """Receive notices and write heartbeats, for as long as the task lives."""
        turn = 0
        while True:
            try:
                async with answered_within(ANSWER_WITHIN_S):
                    if turn % ALIVE_EVERY == 0:
                        await self.meet()
                    for notice in await processes.receive_notices(self._db, self._process):
                        self._on_notice(notice)
                turn += 1
            except (StorageUnavailable, StatementRefused):
                turn = 0  # the ledger tells of it; say that we live once it answers
            except Exception:
                log.exception("peers_poll_failed")
            await asyncio.sleep(POLL_S)

    async def meet(self) -> None:
        """Write a heartbeat, and learn which other processes live."""
        silent_since_us, now_us = self._said_us, self._clock.now_us()
        await processes.write_heartbeat(
            self._db, self._process, self._clock.wall(now_us), tracked=self._tracked()
        )
        self._said_us, said_us = now_us, self._clock.now_us()
        if silent_since_us is not None and said_us - silent_since_us >= SILENT_FOR_US:
            self._on_silence()
        signs = await processes.read_heartbeats(self._db)
        self._alive = self._liveness.read(signs, self._clock.now_us())

    async def count_tracked(self) -> int:
        """Return how many sessions are tracked, in this process and by all living others."""
        said = await processes.read_tracked_counts(self._db)
        others = sum(count for process, count in said.items() if self.others_track(process))
        return self._tracked() + others

    async def leave(self) -> None:
        """Remove this process from the list."""
        async with answered_within(ANSWER_WITHIN_S):
            await processes.remove_process(self._db, self._process)

    async def tell(self, owner: str | None, session_id: ObjectId) -> None:
        """Ask the former owner of a session to read its document."""
        if self.others_track(owner):
            await self._leave(str(owner), Notice(session_id, "look"))

    async def _leave(self, owner: str, notice: Notice) -> None:
        now = self._clock.wall(self._clock.now_us())
        await processes.send_notice(self._db, owner, notice, now)

    async def ask(
        self,
        document: Document,
        what: processes.NoticeKind,
        value: Any,
        done: Callable[[], Awaitable[bool]],
    ) -> bool:
        """Ask the owner of a session to change it; return whether it has done so.

        Returns False at once if no other living process tracks the session.
        """
        owner = document["owner"]
        if not self.others_track(owner):
            return False
        await self._leave(owner, Notice(document["_id"], what, value))
        try:
            async with asyncio.timeout(DONE_WITHIN_S):
                while not await done():  # noqa: ASYNC110 - it happens in another process
                    await asyncio.sleep(LOOK_EVERY_S)
                return True
        except TimeoutError:
            log.warning("owner_silent", what=what)
            return False
