"""What sockets and routes may ask about focus sessions; the only way in to the engine.

What must always hold: a session that this process tracks is changed through the engine
and answered once the database has acknowledged it; any other one is changed by a fenced
write; and no change can slip in between the two, because whoever writes a document
directly looks again whether it has become tracked.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase

from models import session_store as store
from models.errors import Conflict, NotFound, StorageUnavailable
from models.fence import Stamps
from models.sessions import (
    COUNTERS,
    FINAL,
    Document,
    NewSession,
    SessionChange,
    SessionQuery,
    SessionView,
    changed_fields,
    ended_fields,
    view,
)
from realtime.claims import Claims
from realtime.clock import Clock
from realtime.close_codes import CloseCode
from realtime.endings import Endings, taken_over
from realtime.engine import Engine
from realtime.hub import Hub, counts, tell
from realtime.ledger import Ledger, Loss
from realtime.messages import encode, timestamp
from realtime.session_book import SessionBook
from realtime.ticker import Ticker
from realtime.tracked import PAUSED, Tracked, Viewer

CLOSE_AFTER_S = 1.0
"""How long a stop waits for its close frames to leave."""


@dataclass(frozen=True, slots=True)
class Joined:
    thing: Tracked
    session: SessionView
    resumed: bool


class _NowTrackedError(Exception):
    """A session turned out to be tracked here after all."""


class SessionService:
    def __init__(
        self,
        db: AsyncIOMotorDatabase[Document],
        clock: Clock,
        *,
        idle_after_s: float,
        max_sockets_per_user: int,
        max_sockets: int,
    ) -> None:
        self.clock = clock
        self.idle_after_s = idle_after_s
        self.hub = Hub(max_per_user=max_sockets_per_user, max_in_all=max_sockets)
        self.engine = Engine()
        self._db = db
        stamps = Stamps()
        # Direct writes carry a mark of their own, so that the ledger never takes them
        # for one of its writes whose reply was lost.
        self._direct_stamps = Stamps(stamps.process + "d")
        book = SessionBook(db, clock, stamps)
        self.ledger = Ledger(
            self.engine, book, clock, stamps, on_lost=self._lost, on_trouble=self._trouble
        )
        self.ticker = Ticker(self.engine, self.ledger, clock, announce=self.hub.announce)
        self.claims = Claims(
            db,
            engine=self.engine,
            ledger=self.ledger,
            book=book,
            clock=clock,
            stamps=stamps,
            idle_after_s=idle_after_s,
        )
        self._endings = Endings(
            self.ledger, self.hub, lambda thing: self.get(thing.user_id, str(thing.thing_id))
        )
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- life -------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to count. Needs a running event loop."""
        self.keep(asyncio.create_task(self.ticker.run(), name="ticker"))
        self.keep(asyncio.create_task(self.ledger.run(), name="ledger"))

    async def stop(self, *, within_s: float) -> list[Tracked]:
        """Join nobody any more, write everything, close every socket with 1012.

        Gives the sessions that could not be written in time.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.claims.close()
                self._release_all()
                await self.ledger.drain()
        unwritten = list(self.engine.things.values())
        self.hub.close_all(CloseCode.RESTART, "the server restarts")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_AFTER_S):
                await self.hub.emptied()
        self.hub.cut_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return unwritten

    def _release_all(self) -> None:
        now_us = self.clock.now_us()
        for thing in list(self.engine.things.values()):
            if not thing.viewers and not thing.released:
                self.engine.release(thing)  # claimed just now
            for viewer in list(thing.viewers):
                viewer.released(thing, ended=False)
                self.engine.detach(thing, viewer, now_us)

    @property
    def tracked_count(self) -> int:
        return len(self.engine.things)

    # --- for sockets --------------------------------------------------------------------

    async def join(self, viewer: Viewer, session_id: str, user_id: str, now_us: int) -> Joined:
        """Let this connection track the session from `now_us` on.

        Raises NotFound, Conflict "session_ended", StorageUnavailable.
        """
        while True:
            thing = self._tracked(session_id)
            if thing is None:
                claim = await self.claims.claim(session_id, user_id, now_us)
                thing = self._tracked(session_id)
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
            return Joined(thing, self._live_view(thing, document), resumed)

    def leave(self, viewer: Viewer, thing: Tracked, at_us: int) -> None:
        """This connection tracks it no more since `at_us`."""
        if viewer in thing.viewers:
            self.engine.detach(thing, viewer, at_us)
            self.ledger.wake()

    def set_paused(
        self, thing: Tracked, paused: bool, at_us: int, *, by: Viewer | None = None
    ) -> Awaitable[None]:
        """Pause or resume a tracked session at once; wait for it to be stored, or do not:
        all viewers but the one that asked are told then."""
        before = thing.status
        change = self.engine.pause if paused else self.engine.resume
        change(thing, at_us)
        type_ = None
        if thing.status != before:
            type_ = "paused" if thing.status == PAUSED else "resumed"
        task = asyncio.create_task(self._tell_paused(thing, type_, by))
        self.keep(task)
        return asyncio.shield(task)

    async def _tell_paused(self, thing: Tracked, type_: str | None, by: Viewer | None) -> None:
        await self.ledger.saved(thing)
        if thing.gone and thing.saved_revision < thing.revision:
            raise taken_over()
        if type_ is not None:
            tell(thing, encode(type_, **counts(thing)), but=by)

    async def end_tracked(
        self, thing: Tracked, status: str, *, by: Viewer | None = None
    ) -> SessionView:
        """End a tracked session; returns it once that is stored.

        Whoever asked may go meanwhile: the end goes on, and all other viewers are told.
        """
        self.engine.end(thing, status, self.clock.now_us())
        return await self._endings.stored(thing, by=by)

    # --- for routes -----------------------------------------------------------------------

    async def create(self, user_id: str, body: NewSession) -> SessionView:
        document = await store.insert_session(
            self._db, user_id, body, stamp=self._direct_stamps.fresh(), now=self._now()
        )
        return self._view(document)

    async def get(self, user_id: str, session_id: str) -> SessionView:
        return self._view(await store.find_session(self._db, session_id, user_id))

    async def page(self, user_id: str, query: SessionQuery) -> tuple[list[SessionView], str | None]:
        documents, cursor = await store.list_sessions(self._db, user_id, query)
        return [self._view(document) for document in documents], cursor

    async def update(self, user_id: str, session_id: str, change: SessionChange) -> SessionView:
        """Set fields by hand.

        Raises NotFound, Conflict "session_tracked" or "session_ended", Invalid.
        """
        given = change.given()
        await store.find_session(self._db, session_id, user_id)
        thing = await self._present(user_id, session_id)
        if thing is not None and thing.ended:
            await self.ledger.saved(thing)
            thing = None
        if thing is not None:
            return await self._update_tracked(thing, given)
        document = await store.find_session(self._db, session_id, user_id)
        if _needs_fence(document, given):
            return await self._change(
                user_id, session_id, lambda found: changed_fields(found, given, self._now())
            )
        if given:
            await store.set_fields(self._db, document["_id"], {**given, "updatedAt": self._now()})
            thing = self._tracked(session_id)
            if thing is not None and "targetMinutes" in given:  # claimed meanwhile
                self.engine.retarget(thing, given["targetMinutes"])
        document = await store.find_session(self._db, session_id, user_id)
        if _needs_fence(document, given):  # it ended meanwhile, with the old target
            return await self.update(user_id, session_id, change)
        return self._view(document)

    async def end(self, user_id: str, session_id: str, status: str) -> SessionView:
        """End a session, tracked or not; the same ended session again if it had ended so.

        Raises NotFound, Conflict "session_ended" if it had ended otherwise.
        """
        await store.find_session(self._db, session_id, user_id)
        thing = await self._present(user_id, session_id)
        if thing is not None:
            session = await self.end_tracked(thing, status)
        else:
            session = await self._change(
                user_id,
                session_id,
                lambda found: (
                    {} if found["status"] in FINAL else ended_fields(found, status, self._now())
                ),
            )
        if session.status != status:
            raise Conflict("session_ended", f"The session has ended already ({session.status}).")
        return session

    async def delete(self, user_id: str, session_id: str) -> None:
        await store.delete_session(self._db, session_id, user_id)
        thing = self._tracked(session_id)
        if thing is not None:
            self.ledger.lose(thing, "deleted")

    # --- private ----------------------------------------------------------------------------

    def _now(self) -> datetime:
        return self.clock.wall(self.clock.now_us())

    def _tracked(self, session_id: str) -> Tracked | None:
        if not ObjectId.is_valid(session_id):
            return None
        return self.engine.things.get(ObjectId(session_id))

    async def _present(self, user_id: str, session_id: str) -> Tracked | None:
        """The session as tracked here, after a claim on its way has come to its end."""
        await self.claims.settled(session_id, user_id)
        return self._tracked(session_id)

    async def _update_tracked(self, thing: Tracked, given: dict[str, Any]) -> SessionView:
        if any(name in given for name in COUNTERS):
            raise Conflict("session_tracked", "Counters can't be set while a client tracks it.")
        status = given.pop("status", None)
        if status is not None and thing.ended:
            raise Conflict("session_ended", f"The session has ended ({thing.status}).")
        if "targetMinutes" in given:  # before anything is awaited: it may end meanwhile
            self.engine.retarget(thing, given["targetMinutes"])
        if given:
            id_ = ObjectId(str(thing.thing_id))
            await store.set_fields(self._db, id_, {**given, "updatedAt": self._now()})
        if status is not None:
            await self.set_paused(thing, status == PAUSED, self.clock.now_us())
        return await self.get(thing.user_id, str(thing.thing_id))

    async def _change(
        self, user_id: str, session_id: str, change: Callable[[Document], store.Changes]
    ) -> SessionView:
        def unless_tracked(document: Document) -> store.Changes:
            under_way = self.claims.is_under_way(session_id, user_id)
            if under_way or self._tracked(session_id) is not None:
                raise _NowTrackedError
            return change(document)

        try:
            document = await store.change_session(
                self._db, session_id, user_id, unless_tracked, stamps=self._direct_stamps
            )
        except _NowTrackedError:
            raise StorageUnavailable(
                "contended", "A client has just begun to track the session; try again."
            ) from None
        return self._view(document)

    def _view(self, document: Document) -> SessionView:
        thing = self.engine.things.get(document["_id"])
        return view(document, now=self._now(), tracked=thing is not None and thing.owned)

    def _live_view(self, thing: Tracked, document: Document) -> SessionView:
        """The session with the counters of memory, which are ahead of the stored ones."""
        now = self.clock.wall(thing.last_booked_us) if thing.last_booked_us else None
        live = {
            **document,
            "elapsedSeconds": thing.elapsed,
            "activeSeconds": thing.active,
            "idleSeconds": thing.idle,
            "tabSwitches": thing.tab_switches,
            "status": thing.status,
            "lastBookedAt": now or document["lastBookedAt"],
        }
        return view(live, now=self._now(), tracked=True)

    def _lost(self, thing: Tracked, loss: Loss) -> None:
        if loss == "deleted":
            self.hub.lost(thing, CloseCode.DELETED, "the session was deleted")
        elif loss == "superseded":
            text = encode("superseded", sessionId=str(thing.thing_id))
            self.hub.lost(thing, CloseCode.TAKEN_OVER, "tracked elsewhere", text)
        else:
            self.keep(asyncio.create_task(self._tell_ended(thing)))

    def _trouble(self, begun: bool) -> None:
        """The database has stopped answering the ledger, or answers again."""
        type_ = "degraded" if begun else "recovered"
        self.hub.push_all(encode(type_, serverTime=timestamp(self._now())))

    async def _tell_ended(self, thing: Tracked) -> None:
        """Somebody else ended the session that our clients tracked."""
        try:
            await self._endings.ended_elsewhere(thing)
        except NotFound:
            self.hub.lost(thing, CloseCode.DELETED, "the session is gone")

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Let a task run to its end though nobody waits for it."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _needs_fence(document: Document, given: dict[str, Any]) -> bool:
    """Whether setting these fields touches counters, status or a final score."""
    if "status" in given or any(name in given for name in COUNTERS):
        return True
    return document["status"] in FINAL and "targetMinutes" in given
