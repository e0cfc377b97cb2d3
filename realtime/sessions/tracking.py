"""Track focus sessions: the only entrance to the engine.

Invariants:

- A session that this process tracks is changed through the engine alone, at once. The caller is
  answered once the database has acknowledged the change.
- Whatever another process does to a session, its viewers are told.
- Work that outlives the request that began it inherits none of its time limits.
"""

import asyncio
import contextlib
from collections.abc import Awaitable
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId

from models.base.compare_and_set import Stamps
from models.base.database import Database, Document
from models.base.driver_errors import StatementRefused, StorageUnavailable, answered_within
from models.base.errors import Conflict, NotFound
from models.cluster.processes import Notice
from models.sessions import queries
from models.sessions.session import SessionView, view
from models.study.service import StudyService
from realtime.cluster.peers import Peers
from realtime.engine.clock import Clock
from realtime.engine.ledger import Loss
from realtime.engine.meter import SECOND_US
from realtime.engine.tracked import PAUSED, TrackedSession, Viewer
from realtime.protocol.close_codes import CloseCode
from realtime.protocol.server_messages import Superseded
from realtime.sessions.abandonment import Abandonment
from realtime.sessions.claims import Claims
from realtime.sessions.endings import Ended, Endings, taken_over
from realtime.sessions.goal_notifier import GoalNotifier
from realtime.sessions.store import SessionStore
from realtime.sockets.pipeline import Pipeline
from realtime.sockets.registry import Registry, StatusMessage, status_text, tell

ANSWER_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Joined:
    """The result of `join`."""

    tracked: TrackedSession
    session: SessionView
    resumed: bool


class SessionTracking:
    """The sessions that this process tracks."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        idle_after_s: float,
        max_sockets_per_user: int,
        max_sockets: int,
        abandon_after_s: float = 1800.0,
        learning: StudyService,
    ) -> None:
        self.clock = clock
        self.registry = Registry(max_per_user=max_sockets_per_user, max_in_all=max_sockets)
        self._db = db
        self._stamps = stamps = Stamps()
        # Direct writes have stamps of their own, so that the ledger never takes one of them for
        # a write of its own whose reply was lost.
        self.direct_stamps = Stamps(stamps.process + "d")
        store = SessionStore(db, clock, stamps, interactive_s=idle_after_s)
        self._store = store
        self.counting = counting = Pipeline(
            store, clock, stamps, self.registry, announce=self.registry.announce, on_lost=self._lost
        )
        self.engine, self.ledger, self.ticker = counting.engine, counting.ledger, counting.ticker
        self.keep = counting.keep
        self.peers = Peers(
            db,
            stamps.process,
            clock=clock,
            on_notice=self._on_notice,
            on_silence=self._look_at_paused,
            tracked=lambda: self.tracked_count,
        )
        self.abandonment = Abandonment(
            db,
            tracked_here=self.engine.all_tracked,
            peers=self.peers,
            stamps=self.direct_stamps,
            now=self.now,
            after_s=abandon_after_s,
        )
        self.claims = Claims(
            db,
            engine=self.engine,
            ledger=self.ledger,
            store=store,
            clock=clock,
            stamps=stamps,
            peers=self.peers,
            note=self.abandonment.note,
            first_start=learning.periods.touch,
        )
        self.goals = GoalNotifier(self.registry, learning, self.now)
        self._endings = Endings(
            self.ledger,
            self.registry,
            self._read,
            read_stats=lambda user_id: learning.stats(user_id, self.now()),
            on_ended=self.goals.ended,
        )

    # --- life -------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to count."""
        with contextlib.suppress(StorageUnavailable):  # it is tried again
            async with answered_within(ANSWER_WITHIN_S):
                await self.peers.meet()
        self.counting.start(self.peers.run(), self.abandonment.run(), self.goals.run())

    async def stop(self, *, within_s: float) -> list[TrackedSession]:
        """Refuse further joins, write everything, then close every socket with 1012.

        Returns:
            The sessions that could not be written in time.
        """
        unwritten = await self.counting.stop(self._untrack_all, within_s=within_s)
        if not unwritten:
            with contextlib.suppress(StorageUnavailable, StatementRefused):
                await self.peers.leave()
        return unwritten

    async def _untrack_all(self) -> None:
        await self.claims.close()
        self._release_all()

    def _release_all(self) -> None:
        now_us = self.clock.now_us()
        for tracked in list(self.engine.all_tracked.values()):
            if not tracked.viewers and not tracked.released:
                self.engine.release(tracked)  # claimed just now
            for viewer in list(tracked.viewers):
                viewer.released(tracked, ended=False)
                self.engine.detach(tracked, viewer, now_us)

    @property
    def process(self) -> str:
        """The name of this process among the servers on the database."""
        return self._stamps.process

    @property
    def tracked_count(self) -> int:
        """The number of sessions in memory."""
        return len(self.engine.all_tracked)

    # --- for sockets --------------------------------------------------------------------

    async def join(self, viewer: Viewer, session_id: str, user_id: str, now_us: int) -> Joined:
        """Add a viewer to a session from `now_us` on, and claim the session if need be.

        Raises:
            NotFound: The user has no such session.
            Conflict: `session_ended`.
            StorageUnavailable: The database does not answer, or the server stops.
        """
        while True:
            tracked = self.tracked(session_id)
            if tracked is None:
                claim = await self.claims.claim(session_id, user_id, now_us)
                tracked = self.tracked(session_id)
                document, resumed = claim.document, claim.resumed
            else:
                document, resumed = await queries.find_session(self._db, session_id, user_id), True
            if tracked is None or tracked.gone:
                continue  # dropped in the meantime: claim it again
            if tracked.ended:
                await self.ledger.saved(tracked)
                raise Conflict("session_ended", f"The session has ended ({tracked.status}).")
            self.claims.refuse_if_closed()
            self.engine.attach(tracked, viewer, now_us)
            self.goals.began(tracked)
            return Joined(tracked, self._live_view(tracked, document), resumed)

    def leave(self, viewer: Viewer, tracked: TrackedSession, at_us: int) -> None:
        """Remove a viewer at `at_us`."""
        if viewer in tracked.viewers:
            self.engine.detach(tracked, viewer, at_us)
            self.ledger.wake()

    def set_paused(
        self, tracked: TrackedSession, paused: bool, at_us: int, *, by: Viewer | None = None
    ) -> Awaitable[None]:
        """Pause or resume a tracked session at once.

        Returns:
            An awaitable of the store, which may be ignored. All viewers but `by` are told then.
        """
        before = tracked.status
        change = self.engine.pause if paused else self.engine.resume
        change(tracked, at_us)
        type_: StatusMessage | None = None
        if tracked.status != before:
            type_ = "paused" if tracked.status == PAUSED else "resumed"
        task = asyncio.create_task(self._tell_paused(tracked, type_, by), context=Context())
        self.keep(task)
        return asyncio.shield(task)

    async def _tell_paused(
        self, tracked: TrackedSession, type_: StatusMessage | None, by: Viewer | None
    ) -> None:
        await self.ledger.saved(tracked)
        if tracked.gone and tracked.saved_revision < tracked.revision:
            raise taken_over()
        if type_ is not None:
            tell(tracked, status_text(type_, tracked, self.clock), but=by)

    async def end_tracked(
        self, tracked: TrackedSession, status: str, *, by: Viewer | None = None
    ) -> Ended:
        """End a tracked session, and return it once that is stored.

        The end goes on if the caller is cancelled; all other viewers are told.
        """
        self.engine.end(tracked, status, self.clock.now_us())
        return await self._endings.stored(tracked, by=by)

    def forget_user(self, user_id: str) -> None:
        """Untrack the sessions of a deleted user, and close their sockets with 4404."""
        for tracked in list(self.engine.all_tracked.values()):
            if tracked.user_id == user_id:
                self.ledger.lose(tracked, "deleted")
        self.registry.close_of(user_id, CloseCode.DELETED, "the account was deleted")

    # --- private ----------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the current instant of the counting clock."""
        return self.clock.wall(self.clock.now_us())

    def tracked(self, session_id: str) -> TrackedSession | None:
        """Return a session that this process tracks; None otherwise."""
        if not ObjectId.is_valid(session_id):
            return None
        return self.engine.all_tracked.get(ObjectId(session_id))

    def view(self, document: Document) -> SessionView:
        """Return a session as clients see it, never behind what its viewers received."""
        tracked = self._counted(document)
        if tracked is not None:
            return self._live_view(tracked, document)
        elsewhere = self.peers.others_track(document["owner"])
        return view(document, now=self.now(), tracked=elsewhere)

    def known(self, document: Document) -> tuple[Document, bool]:
        """Return the document as memory holds it, and whether the session is tracked."""
        tracked = self._counted(document)
        if tracked is not None:
            return {**document, **self._store.absolute(tracked)}, tracked.owned
        return document, self.peers.others_track(document["owner"])

    def _counted(self, document: Document) -> TrackedSession | None:
        """Return the session in memory, if that is ahead of this document."""
        tracked = self.engine.all_tracked.get(document["_id"])
        # With the stamp of another process it was taken over, and a notice will come.
        if (
            tracked is None
            or tracked.gone
            or tracked.ended
            or not self._stamps.ours(document["stamp"])
        ):
            return None
        return tracked

    async def _read(self, tracked: TrackedSession) -> SessionView:
        return self.view(
            await queries.find_session(self._db, str(tracked.tracked_id), tracked.user_id)
        )

    def _live_view(self, tracked: TrackedSession, document: Document) -> SessionView:
        """Return the session with the counters of memory, which are ahead of the stored ones."""
        due_at_us = tracked.meter.due_at_us
        # Before the first second after a return is booked, the time away is known already.
        known_us = tracked.last_booked_us if due_at_us is None else due_at_us - SECOND_US
        live = {
            **document,
            "elapsedSeconds": tracked.elapsed,
            "activeSeconds": tracked.active,
            "idleSeconds": tracked.idle,
            "tabSwitches": tracked.tab_switches,
            "status": tracked.status,
            "lastBookedAt": (
                document["lastBookedAt"] if known_us is None else self.clock.wall(known_us)
            ),
        }
        return view(live, now=self.now(), tracked=tracked.owned)

    def _lost(self, tracked: TrackedSession, loss: Loss) -> None:
        if loss == "deleted":
            self.registry.lost(tracked, CloseCode.DELETED, "the session was deleted")
        elif loss == "superseded":
            text = Superseded(session_id=str(tracked.tracked_id)).text()
            self.registry.lost(tracked, CloseCode.TAKEN_OVER, "tracked elsewhere", text)
        else:
            self.keep(asyncio.create_task(self._tell_ended(tracked)))

    def _on_notice(self, notice: Notice) -> None:
        """Carry out the notice of another process about a session of ours."""
        tracked = self.engine.all_tracked.get(notice.session_id)
        if tracked is None or tracked.gone:
            return
        if notice.what == "look" or tracked.ended:
            self.ledger.look(tracked)
        elif notice.what == "end":
            self.keep(asyncio.create_task(self.end_tracked(tracked, notice.value)))
        elif notice.what == "retarget":
            self.registry.retarget(tracked, notice.value)
        else:
            self.set_paused(tracked, notice.what == "pause", self.clock.now_us())

    def _look_at_paused(self) -> None:
        """Read paused sessions: they are never written, so no write would tell of a new owner."""
        for tracked in self.engine.all_tracked.values():
            if tracked.status == PAUSED:
                self.ledger.look(tracked)

    async def _tell_ended(self, tracked: TrackedSession) -> None:
        """Tell the viewers of a session that another process has ended."""
        try:
            await self._endings.ended_elsewhere(tracked)
        except NotFound:
            self.registry.lost(tracked, CloseCode.DELETED, "the session was deleted")
