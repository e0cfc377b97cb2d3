"""The other processes on the same database: who lives, and what they tell each other.

What must always hold: nothing here is needed for counted seconds to be right, the stamps
see to that; it only lets a socket hear within `POLL_S` and a write what was done to its
session elsewhere, and lets others know that its session is tracked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import structlog
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase

from models import servers
from models.servers import Notice
from models.sessions import Document
from models.storage import StatementRefused, StorageUnavailable, answered_within

POLL_S = 0.5
ALIVE_EVERY = 4
"""Polls between two signs of life."""
ANSWER_WITHIN_S = 5.0
DONE_WITHIN_S = 2.5
"""How long an owner has to do what it was asked; after that it is deposed."""
LOOK_EVERY_S = 0.1

log = structlog.get_logger(__name__)


class Peers:
    def __init__(
        self,
        db: AsyncIOMotorDatabase[Document],
        process: str,
        *,
        now: Callable[[], datetime],
        on_notice: Callable[[Notice], None],
    ) -> None:
        self._db = db
        self._process = process
        self._now = now
        self._on_notice = on_notice
        self._alive: frozenset[str] = frozenset()

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
                    for notice in await servers.take_notices(self._db, self._process):
                        self._on_notice(notice)
                turn += 1
            except (StorageUnavailable, StatementRefused):
                turn = 0  # the ledger tells of it; say that we live once it answers
            except Exception:
                log.exception("peers_failed")
            await asyncio.sleep(POLL_S)

    async def meet(self) -> None:
        """Say that we live, and learn who else does."""
        now = self._now()
        await servers.say_alive(self._db, self._process, now)
        self._alive = await servers.read_alive(self._db, now)

    async def leave(self) -> None:
        """Say that we are gone."""
        async with answered_within(ANSWER_WITHIN_S):
            await servers.say_goodbye(self._db, self._process)

    async def tell(self, owner: str | None, session_id: ObjectId) -> None:
        """Let the process that owned this session look at its document."""
        if self.others_track(owner):
            await servers.leave_notice(
                self._db, str(owner), Notice(session_id, "look"), self._now()
            )

    async def ask(
        self,
        document: Document,
        what: servers.What,
        value: Any,
        done: Callable[[], Awaitable[bool]],
    ) -> bool:
        """Let the process that tracks this session do something with it.

        Whether it has; False as well if none does track it.
        """
        owner = document["owner"]
        if not self.others_track(owner):
            return False
        notice = Notice(document["_id"], what, value)
        await servers.leave_notice(self._db, owner, notice, self._now())
        try:
            async with asyncio.timeout(DONE_WITHIN_S):
                while not await done():  # noqa: ASYNC110 - it happens in another process
                    await asyncio.sleep(LOOK_EVERY_S)
                return True
        except TimeoutError:
            log.warning("owner_does_not_answer", what=what)
            return False
