"""Sessions as they are tracked: the only way in to the engine.

What must always hold: a session that this process tracks is changed through the engine
alone, at once, and answered once the database has acknowledged it; whatever becomes of it
elsewhere, its viewers are told; and work that outlives whoever asked for it inherits none
of their time limits.
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
from models.sessions import queries as store
from models.sessions.session import SessionView, view
from models.study.service import Learning
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
from realtime.sessions.goal_notifier import GoalWatch
from realtime.sessions.store import SessionBook
from realtime.sockets.pipeline import Counting
from realtime.sockets.registry import Hub, StatusMessage, status_text, tell

ANSWER_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Joined:
    thing: TrackedSession
    session: SessionView
    resumed: bool


class SessionService:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        idle_after_s: float,
        max_sockets_per_user: int,
        max_sockets: int,
        abandon_after_s: float = 1800.0,
        learning: Learning,
    ) -> None:
        self.clock = clock
        self.hub = Hub(max_per_user=max_sockets_per_user, max_in_all=max_sockets)
        self._db = db
        self._stamps = stamps = Stamps()
        # Direct writes carry a mark of their own, so that the ledger never takes them
        # for one of its writes whose reply was lost.
        self.direct_stamps = Stamps(stamps.process + "d")
        book = SessionBook(db, clock, stamps, interactive_s=idle_after_s)
        self._book = book
        self.counting = counting = Counting(
            book, clock, stamps, self.hub, announce=self.hub.announce, on_lost=self._lost
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
            tracked_here=self.engine.things,
            peers=self.peers,
            stamps=self.direct_stamps,
            now=self.now,
            after_s=abandon_after_s,
        )
        self.claims = Claims(
            db,
            engine=self.engine,
            ledger=self.ledger,
            book=book,
            clock=clock,
            stamps=stamps,
            peers=self.peers,
            note=self.abandonment.note,
            first_start=learning.periods.touch,
        )
        self.goals = GoalWatch(self.hub, learning, self.now)
        self._endings = Endings(
            self.ledger,
            self.hub,
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
        """Join nobody any more, write everything, close every socket with 1012.

        Gives the sessions that could not be written in time.
        """
        unwritten = await self.counting.stop(self._let_go, within_s=within_s)
        if not unwritten:
            with contextlib.suppress(StorageUnavailable, StatementRefused):
                await self.peers.leave()
        return unwritten

    async def _let_go(self) -> None:
        await self.claims.close()
        self._release_all()

    def _release_all(self) -> None:
        now_us = self.clock.now_us()
        for thing in list(self.engine.things.values()):
            if not thing.viewers and not thing.released:
                self.engine.release(thing)  # claimed just now
            for viewer in list(thing.viewers):
                viewer.released(thing, ended=False)
                self.engine.detach(thing, viewer, now_us)

    @property
    def process(self) -> str:
        """What we are called among the servers on this database."""
        return self._stamps.process

    @property
    def tracked_count(self) -> int:
        return len(self.engine.things)

    # --- for sockets --------------------------------------------------------------------

    async def join(self, viewer: Viewer, session_id: str, user_id: str, now_us: int) -> Joined:
        """Let this connection track the session from `now_us` on.

        Raises NotFound, Conflict "session_ended", StorageUnavailable.
        """
        while True:
            thing = self.tracked(session_id)
            if thing is None:
                claim = await self.claims.claim(session_id, user_id, now_us)
                thing = self.tracked(session_id)
                document, resumed = claim.document, claim.resumed
            else:
                document, resumed = await store.find_session(self._db, session_id, user_id), True
            if thing is None or thing.gone:
                continue  # it went while we waited: claim it anew
            if thing.ended:
                await self.ledger.saved(thing)
                raise Conflict("session_ended", f"The session has ended ({thing.status}).")
            self.claims.refuse_if_closed()
            self.engine.attach(thing, viewer, now_us)
            self.goals.began(thing)
            return Joined(thing, self._live_view(thing, document), resumed)

    def leave(self, viewer: Viewer, thing: TrackedSession, at_us: int) -> None:
        """This connection tracks it no more since `at_us`."""
        if viewer in thing.viewers:
            self.engine.detach(thing, viewer, at_us)
            self.ledger.wake()

    def set_paused(
        self, thing: TrackedSession, paused: bool, at_us: int, *, by: Viewer | None = None
    ) -> Awaitable[None]:
        """Pause or resume a tracked session at once; wait for it to be stored, or do not:
        all viewers but the one that asked are told then."""
        before = thing.status
        change = self.engine.pause if paused else self.engine.resume
        change(thing, at_us)
        type_: StatusMessage | None = None
        if thing.status != before:
            type_ = "paused" if thing.status == PAUSED else "resumed"
        task = asyncio.create_task(self._tell_paused(thing, type_, by), context=Context())
        self.keep(task)
        return asyncio.shield(task)

    async def _tell_paused(
        self, thing: TrackedSession, type_: StatusMessage | None, by: Viewer | None
    ) -> None:
        await self.ledger.saved(thing)
        if thing.gone and thing.saved_revision < thing.revision:
            raise taken_over()
        if type_ is not None:
            tell(thing, status_text(type_, thing, self.clock), but=by)

    async def end_tracked(
        self, thing: TrackedSession, status: str, *, by: Viewer | None = None
    ) -> Ended:
        """End a tracked session; returns it once that is stored.

        Whoever asked may go meanwhile: the end goes on, and all other viewers are told.
        """
        self.engine.end(thing, status, self.clock.now_us())
        return await self._endings.stored(thing, by=by)

    def forget_user(self, user_id: str) -> None:
        """They have left: track nothing of theirs, and close what they opened with 4404."""
        for thing in list(self.engine.things.values()):
            if thing.user_id == user_id:
                self.ledger.lose(thing, "deleted")
        self.hub.close_of(user_id, CloseCode.DELETED, "the user has left")

    # --- private ----------------------------------------------------------------------------

    def now(self) -> datetime:
        """The instant of the counting clock."""
        return self.clock.wall(self.clock.now_us())

    def tracked(self, session_id: str) -> TrackedSession | None:
        """The session as this process tracks it."""
        if not ObjectId.is_valid(session_id):
            return None
        return self.engine.things.get(ObjectId(session_id))

    def view(self, document: Document) -> SessionView:
        """The session as clients see it: never behind what its viewers were told."""
        thing = self._counted(document)
        if thing is not None:
            return self._live_view(thing, document)
        tracked = self.peers.others_track(document["owner"])
        return view(document, now=self.now(), tracked=tracked)

    def known(self, document: Document) -> tuple[Document, bool]:
        """The document as memory knows it, which may be ahead of what is stored; and
        whether somebody tracks the session."""
        thing = self._counted(document)
        if thing is not None:
            return {**document, **self._book.absolute(thing)}, thing.owned
        return document, self.peers.others_track(document["owner"])

    def _counted(self, document: Document) -> TrackedSession | None:
        """The session in memory, if that knows more of it than this document."""
        thing = self.engine.things.get(document["_id"])
        ours = self._stamps.ours(document["stamp"])  # else it was taken, and we know it soon
        return thing if thing is not None and ours and not thing.gone and not thing.ended else None

    async def _read(self, thing: TrackedSession) -> SessionView:
        return self.view(await store.find_session(self._db, str(thing.thing_id), thing.user_id))

    def _live_view(self, thing: TrackedSession, document: Document) -> SessionView:
        """The session with the counters of memory, which are ahead of the stored ones."""
        due_at_us = thing.meter.due_at_us
        # Before the first second after a return is booked, the time away is known already.
        known_us = thing.last_booked_us if due_at_us is None else due_at_us - SECOND_US
        live = {
            **document,
            "elapsedSeconds": thing.elapsed,
            "activeSeconds": thing.active,
            "idleSeconds": thing.idle,
            "tabSwitches": thing.tab_switches,
            "status": thing.status,
            "lastBookedAt": (
                document["lastBookedAt"] if known_us is None else self.clock.wall(known_us)
            ),
        }
        return view(live, now=self.now(), tracked=thing.owned)

    def _lost(self, thing: TrackedSession, loss: Loss) -> None:
        if loss == "deleted":
            self.hub.lost(thing, CloseCode.DELETED, "the session was deleted")
        elif loss == "superseded":
            text = Superseded(session_id=str(thing.thing_id)).text()
            self.hub.lost(thing, CloseCode.TAKEN_OVER, "tracked elsewhere", text)
        else:
            self.keep(asyncio.create_task(self._tell_ended(thing)))

    def _on_notice(self, notice: Notice) -> None:
        """Another process has done, or wants, something with a session of ours."""
        thing = self.engine.things.get(notice.session_id)
        if thing is None or thing.gone:
            return
        if notice.what == "look" or thing.ended:
            self.ledger.look(thing)
        elif notice.what == "end":
            self.keep(asyncio.create_task(self.end_tracked(thing, notice.value)))
        elif notice.what == "retarget":
            self.hub.retarget(thing, notice.value)
        else:
            self.set_paused(thing, notice.what == "pause", self.clock.now_us())

    def _look_at_paused(self) -> None:
        """Nothing falls due in a session that is paused: no write would tell that it was
        taken."""
        for thing in self.engine.things.values():
            if thing.status == PAUSED:
                self.ledger.look(thing)

    async def _tell_ended(self, thing: TrackedSession) -> None:
        """Somebody else ended the session that our clients tracked."""
        try:
            await self._endings.ended_elsewhere(thing)
        except NotFound:
            self.hub.lost(thing, CloseCode.DELETED, "the session is gone")
