"""The other processes on the same database: who lives, and what they tell each other.

What must always hold: nothing here is needed for counted seconds to be right, the stamps
see to that; it only lets a socket hear within `POLL_S` and a write what was done to its
session elsewhere, and lets others know that its session is tracked. Who lives is judged
by our own clock alone: the clocks of hosts differ.
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
"""Polls between two signs of life."""
SILENT_FOR_US = 6 * US_PER_SECOND
SILENT_READS = 3
"""A process whose sign of life has not changed for this long, in so many looks, is taken
for dead. Looks are counted as well: we may have been the one who slept."""
ANSWER_WITHIN_S = 5.0
DONE_WITHIN_S = 2.5
"""How long an owner has to do what it was asked; after that it is deposed."""
LOOK_EVERY_S = 0.1

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Sign:
    value: object
    since_us: int
    reads: int = 0


class Liveness:
    """Who lives: whose sign of life is new, or changes. Pure."""

    def __init__(self) -> None:
        self._signs: dict[str, _Sign] = {}

    def read(self, signs: Mapping[str, object], now_us: int) -> frozenset[str]:
        """Take in what was read just now; gives those who live."""
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
        """`tracked` tells how many sessions this process tracks."""
        self._db = db
        self._tracked = tracked
        self._process = process
        self._clock = clock
        self._on_notice = on_notice
        self._on_silence = on_silence
        """We said nothing for so long that the others may have taken us for dead, and
        sent no notice of what they did."""
        self._liveness = Liveness()
        self._alive: frozenset[str] = frozenset()
        self._said_us: int | None = None

    def others_track(self, owner: str | None) -> bool:
        """Whether this owner of a session is another process that lives."""
        return owner is not None and owner != self._process and owner in self._alive

    async def run(self) -> None:
        """Take notices and say that we live, for as long as the task lives."""
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
                log.exception("peers_failed")
            await asyncio.sleep(POLL_S)

    async def meet(self) -> None:
        """Say that we live, and learn who else does."""
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
        """How many sessions are tracked now, here and, as last said, by others who live."""
        said = await processes.read_tracked_counts(self._db)
        others = sum(count for process, count in said.items() if self.others_track(process))
        return self._tracked() + others

    async def leave(self) -> None:
        """Say that we are gone."""
        async with answered_within(ANSWER_WITHIN_S):
            await processes.remove_process(self._db, self._process)

    async def tell(self, owner: str | None, session_id: ObjectId) -> None:
        """Let the process that owned this session look at its document."""
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
        """Let the process that tracks this session do something with it.

        Whether it has; False as well if none does track it.
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
            log.warning("owner_does_not_answer", what=what)
            return False
