"""Abandon sessions that were started and are no longer tracked.

Invariants:

- A started session has a row in `attendance` before its client receives `started`.
- A session that no process has tracked for `abandon_after_s` becomes `abandoned`, ended at its last
  booked second and scored, once, however many processes sweep.
- A session that is paused, or tracked by a living process, is not abandoned.
"""

import asyncio
from collections.abc import Callable, Container
from datetime import datetime, timedelta

import structlog
from bson import ObjectId

from models.base.compare_and_set import Stamps
from models.base.database import Database, Document
from models.base.driver_errors import answered_within
from models.concurrency.periodic import run_every
from models.sessions import started_sessions
from models.sessions.session import FINAL
from realtime.cluster.peers import Peers

CHUNK = 250
PAUSE_S = 0.05
"""The pause between two chunks, so that a sweep does not delay the counting."""
ANSWER_WITHIN_S = 5.0
SHORTEST_ROUND_S, LONGEST_ROUND_S = 0.5, 60.0

log = structlog.get_logger(__name__)


class Abandonment:
    """The rows of started sessions, and the sweeps through them."""

    def __init__(
        self,
        db: Database,
        *,
        tracked_here: Container[object],
        peers: Peers,
        stamps: Stamps,
        now: Callable[[], datetime],
        after_s: float,
    ) -> None:
        self._db = db
        self._tracked_here = tracked_here
        self._peers = peers
        self._stamps = stamps
        self._now = now
        self._after = timedelta(seconds=after_s)
        self._round_s = min(max(after_s / 20, SHORTEST_ROUND_S), LONGEST_ROUND_S)
        self._to_note: dict[ObjectId, asyncio.Future[None]] = {}
        self._noting: asyncio.Task[None] | None = None

    async def note(self, session_id: ObjectId) -> None:
        """Store that a session was started; sessions that start together share a statement."""
        future = self._to_note.get(session_id)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._to_note[session_id] = future
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._note_all())
        await asyncio.shield(future)

    async def _note_all(self) -> None:
        while self._to_note:
            batch, self._to_note = self._to_note, {}
            failure: BaseException | None = None
            try:
                async with answered_within(ANSWER_WITHIN_S):
                    await started_sessions.note_started(self._db, list(batch))
            except Exception as error:
                failure = error
            for future in batch.values():
                if failure is None:
                    future.set_result(None)
                else:
                    future.set_exception(failure)
                    future.exception()  # the waiting callers may be gone

    async def run(self) -> None:
        """Sweep again and again, for as long as the task lives."""
        await run_every(self._round_s, self.sweep, name="abandonment", first_after_s=self._round_s)

    async def sweep(self) -> None:
        """Check every started session once, and end the abandoned ones."""
        after: ObjectId | None = None
        while True:
            async with answered_within(ANSWER_WITHIN_S):
                ids = await started_sessions.noted(self._db, after, CHUNK)
                await self._check([id_ for id_ in ids if id_ not in self._tracked_here])
            if len(ids) < CHUNK:
                return
            after = ids[-1]
            await asyncio.sleep(PAUSE_S)

    async def _check(self, ids: list[ObjectId]) -> None:
        if not ids:
            return
        documents = await started_sessions.read_attendance(self._db, ids)
        over = set(ids) - {document["_id"] for document in documents}
        for document in documents:
            if document["status"] in FINAL or (
                self._is_abandoned(document) and await self._abandon(document)
            ):
                over.add(document["_id"])
        await started_sessions.forget(self._db, list(over))

    def _is_abandoned(self, document: Document) -> bool:
        return (
            document["status"] == "active"
            and document["_id"] not in self._tracked_here
            and not self._peers.others_track(document["owner"])
            and self._now() - started_sessions.last_present(document) >= self._after
        )

    async def _abandon(self, document: Document) -> bool:
        done = await started_sessions.abandon(
            self._db, document, stamps=self._stamps, now=self._now()
        )
        if done:
            log.info("session_abandoned", session=str(document["_id"]))
        return done
