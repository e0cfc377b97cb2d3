"""Claim sessions: make this process their owner, and put them into the engine.

Invariants:

- However many connections start a session at the same time, it is claimed once, and is in the
  engine once.
- A claimed session without viewers is released again.
- A change of a session can wait for a claim under way.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import datetime
from typing import Any

from bson import ObjectId

from models.base.compare_and_set import Stamps
from models.base.database import Database, Document
from models.base.driver_errors import answered_within
from models.base.errors import StorageUnavailable
from models.sessions.queries import Claim, claim_session, not_found
from realtime.cluster.peers import Peers
from realtime.engine.clock import Clock
from realtime.engine.engine import Engine
from realtime.engine.ledger import Ledger
from realtime.engine.tracked import TrackedSession
from realtime.sessions.store import SessionStore

CLAIM_WITHIN_S = 10.0
ATTEND_WITHIN_S = 1.0
"""How long a claimed session waits for its viewers, which are told at once: a viewer that has not
come by then is gone."""


class Claims:
    """The claims of this process."""

    def __init__(
        self,
        db: Database,
        *,
        engine: Engine[TrackedSession],
        ledger: Ledger[TrackedSession],
        store: SessionStore,
        clock: Clock,
        stamps: Stamps,
        peers: Peers,
        note: Callable[[ObjectId], Awaitable[None]],
        first_start: Callable[[Document, datetime], Awaitable[None]] | None = None,
    ) -> None:
        """Create it; `first_start` is awaited before the first start of a session."""
        self._db = db
        self._peers = peers
        self._note = note
        self._first_start = first_start
        self._engine = engine
        self._ledger = ledger
        self._store = store
        self._clock = clock
        self._stamps = stamps
        self._under_way: dict[tuple[ObjectId, str], asyncio.Task[Claim]] = {}
        self._closed = False

    async def close(self) -> None:
        """Refuse further claims, and wait for the claims under way."""
        self._closed = True
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def refuse_if_closed(self) -> None:
        """Raise StorageUnavailable `restarting` after `close`."""
        if self._closed:
            raise StorageUnavailable("restarting", "The server restarts; connect again.")

    async def claim(self, session_id: str, user_id: str, now_us: int) -> Claim:
        """Claim a session of the user, tracked from `now_us` on, and put it into the engine.

        Raises:
            NotFound: The user has no such session.
            Conflict: `session_ended`.
            StorageUnavailable: The database did not answer, or the server stops.
        """
        self.refuse_if_closed()
        if not ObjectId.is_valid(session_id):
            raise not_found()
        key = (ObjectId(session_id), user_id)
        task = self._under_way.get(key)
        if task is None:
            # The claim outlives the time limit of the caller: others may wait for it too.
            work = self._claim(session_id, user_id, now_us)
            task = asyncio.create_task(work, context=Context())
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def is_under_way(self, session_id: str, user_id: str) -> bool:
        """Return whether a claim of this session by this user is under way."""
        return ObjectId.is_valid(session_id) and (ObjectId(session_id), user_id) in self._under_way

    async def settled(self, session_id: str, user_id: str) -> None:
        """Wait until no claim of this session is under way."""
        if self.is_under_way(session_id, user_id):
            await asyncio.wait([self._under_way[ObjectId(session_id), user_id]])

    async def _claim(self, session_id: str, user_id: str, now_us: int) -> Claim:
        async with answered_within(CLAIM_WITHIN_S):
            noted = asyncio.ensure_future(self._note(ObjectId(session_id)))
            noted.add_done_callback(lambda done: done.cancelled() or done.exception())
            claim = await claim_session(
                self._db,
                session_id,
                user_id,
                stamps=self._stamps,
                now=self._clock.wall(now_us),
                first_start=self._first_start,
            )
            tracked = self._store.tracked(claim, now_us)
            self._engine.add(tracked)
            asyncio.get_running_loop().call_later(
                ATTEND_WITHIN_S, self._release_unattended, tracked
            )
            if claim.former_owner is not None:
                await self._peers.tell(claim.former_owner, claim.document["_id"])
            await noted
        return claim

    def _ended(self, key: tuple[ObjectId, str], task: asyncio.Task[Any]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # the waiting callers have received it

    def _release_unattended(self, tracked: TrackedSession) -> None:
        if not tracked.viewers and not tracked.gone:
            self._engine.release(tracked)
            self._ledger.wake()
