"""Create, read, change, end and delete focus sessions, whether they are tracked or not.

Invariants:

- A session that this process tracks is changed through the engine.
- A session that another living process tracks is changed by that process, on request. An owner
  that does not answer in time loses the session to a fenced write.
- Any other session is changed by a fenced write. Before each attempt the service looks again
  whether a client of this process has begun to track the session, so no change slips in between.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from bson import ObjectId

from models.accounts.user_directory import UserDirectory
from models.base.database import Database, Document
from models.base.errors import Conflict, StorageUnavailable
from models.cluster.processes import Notice, NoticeKind, send_notice
from models.sessions import queries
from models.sessions.entity_tags import (
    ANY,
    LABELS,
    Expected,
    changed_meanwhile,
    session_tag,
)
from models.sessions.list_query import DatedQuery
from models.sessions.listing import list_sessions
from models.sessions.manual_edits import Reassignment, changed_by_hand, not_ended, reassigned
from models.sessions.session import (
    COUNTERS,
    FINAL,
    TARGET_REACHED,
    NewSession,
    SessionChange,
    SessionView,
    ended_fields,
    has_reached_target,
)
from models.sessions.timeline_view import TimelineView, timeline_view
from models.study.service import StudyService
from realtime.engine.tracked import PAUSED, TrackedSession
from realtime.sessions.tracking import SessionTracking

T = TypeVar("T")

STORED_WITHIN_S = 5.0
"""How long a request waits for a change in memory to be stored."""


@dataclass(frozen=True, slots=True)
class Local:
    """A session that this process tracks, and its document as it was read."""

    document: Document
    tracked: TrackedSession


@dataclass(frozen=True, slots=True)
class Remote:
    """A session that another living process tracks."""

    document: Document


@dataclass(frozen=True, slots=True)
class Unowned:
    """A session that no living process tracks."""

    document: Document


Holder: TypeAlias = Local | Remote | Unowned


class SessionService:
    """Focus sessions as the REST routes see them."""

    def __init__(self, db: Database, tracking: SessionTracking, learning: StudyService) -> None:
        self._db = db
        self._learning = learning
        self._periods = learning.periods
        self._tracking = tracking
        self._known = UserDirectory(db)
        self._peers = tracking.peers

    async def create(
        self, user_id: str, body: NewSession, id_: ObjectId | None = None
    ) -> SessionView:
        """Store a new session and return it.

        Args:
            user_id: The owner of the session.
            body: What the client has set.
            id_: The id that an idempotent request has reserved. A session of this user that has
                it already was created by the same request, and is returned unchanged.
        """
        tracking = self._tracking
        now = tracking.now()
        await self._known.note(user_id, now)
        zone = body.time_zone or await self._learning.zone(user_id)
        stamp = tracking.direct_stamps.fresh()
        document = await queries.insert_session(
            self._db, user_id, body, stamp=stamp, now=now, zone=zone, reserved=id_
        )
        return tracking.view(document)

    async def get(self, user_id: str, session_id: str) -> SessionView:
        """Return a session of this user; raise NotFound."""
        return self._tracking.view(await queries.find_session(self._db, session_id, user_id))

    async def page(self, user_id: str, asked: DatedQuery) -> tuple[list[SessionView], str | None]:
        """Return a page of this user's sessions, and the cursor of the next page."""
        learner = await self._learning.learners.find(user_id)
        query = asked.of(learner.clock)
        documents, cursor = await list_sessions(self._db, user_id, query, self._tracking.now())
        return [self._tracking.view(document) for document in documents], cursor

    async def timeline(self, user_id: str, session_id: str) -> TimelineView:
        """Return the runs and edits of a session; raise NotFound."""
        found = await queries.find_session(self._db, session_id, user_id)
        document, tracked = self._tracking.known(found)
        now = self._tracking.now()
        return await asyncio.to_thread(timeline_view, document, now=now, tracked=tracked)

    async def update(
        self, user_id: str, session_id: str, change: SessionChange, expected: Expected = ANY
    ) -> SessionView:
        """Set fields by hand, in one of the `expected` versions.

        Raises:
            NotFound: The user has no such session.
            Conflict: `session_tracked`, `session_ended` or `too_many_edits`.
            Invalid: A field does not fit the others.
            PreconditionFailed: The session has another version.
        """
        given = change.given()
        holder = await self._resolve(user_id, session_id, expected)
        if isinstance(holder, Local) and not holder.tracked.ended:
            return await self._update_local(holder, given, expected)
        document = await self._stored_document(holder)
        if isinstance(holder, Remote):
            given = await self._update_remote(document, given)
        if _needs_fence(document, given):
            now, clock = self._tracking.now, await self._learning.clock(user_id)
            return await self._change(
                document, lambda found: changed_by_hand(found, given, now(), clock), expected
            )
        if given:
            _note_reached(given, has_reached_target(document))
            await self._set_labels(document, given, only_if_unchanged=expected != ANY)
            tracked = self._tracking.tracked(session_id)
            if tracked is not None and "targetMinutes" in given:  # claimed in the meantime
                self._tracking.registry.retarget(tracked, given["targetMinutes"])
        document = await queries.find_session(self._db, session_id, user_id)
        if _needs_fence(document, given):  # ended in the meantime, with the old target
            return await self.update(user_id, session_id, change)
        return self._tracking.view(document)

    async def reassign(
        self, user_id: str, session_id: str, body: Reassignment, expected: Expected = ANY
    ) -> SessionView:
        """Mark an idle or away run of an ended session as active.

        Raises:
            NotFound: The user has no such session.
            Conflict: `session_not_ended`, `run_not_reassignable` or `too_many_edits`.
            PreconditionFailed: The session has another version.
        """
        holder = await self._resolve(user_id, session_id, expected)
        if isinstance(holder, Local) and not holder.tracked.ended:
            raise not_ended()
        document, now = await self._stored_document(holder), self._tracking.now
        return await self._change(document, lambda found: reassigned(found, body, now()), expected)

    async def end(
        self, user_id: str, session_id: str, status: str, expected: Expected = ANY
    ) -> SessionView:
        """End a session with a final status; a session that has ended so is returned again.

        Raises:
            NotFound: The user has no such session.
            Conflict: `session_ended`, with another status.
            PreconditionFailed: The session has another version.
        """
        holder = await self._resolve(user_id, session_id, expected, only_if_untracked=True)
        match holder:
            case Local(tracked=tracked):
                session = (await _stored(self._tracking.end_tracked(tracked, status))).session
            case Remote(document=document) if await self._end_remote(document, status):
                session = await self.get(user_id, session_id)
            case _:
                session = await self._end_unowned(holder.document, status)
        if session.status != status:
            raise Conflict("session_ended", f"The session has ended already ({session.status}).")
        return session

    async def delete(self, user_id: str, session_id: str, expected: Expected = ANY) -> None:
        """Delete a session; its viewers' sockets are told.

        Raises:
            NotFound: The user has no such session.
            PreconditionFailed: The session has another version.
        """
        document = await queries.find_session(self._db, session_id, user_id)
        self._check(document, expected)
        await self._periods.touch(document, self._tracking.now())
        document = await queries.delete_session(self._db, session_id, user_id)
        tracked = self._tracking.tracked(session_id)
        if tracked is not None:
            self._tracking.ledger.lose(tracked, "deleted")
        await self._peers.tell(document["owner"], document["_id"])

    def forget_user(self, user_id: str) -> None:
        """Drop what memory holds of a user whose account was deleted."""
        self._known.forget(user_id)

    # --- who may change a session -----------------------------------------------------------

    async def _resolve(
        self,
        user_id: str,
        session_id: str,
        expected: Expected,
        *,
        only_if_untracked: bool = False,
    ) -> Holder:
        """Read a session once, before a change, and find out who may change it.

        Cached days of the session are invalidated first; with `only_if_untracked`, only for a
        session that was never started, since a tracked one ends today, which is not cached.
        """
        document = await queries.find_session(self._db, session_id, user_id)
        self._check(document, expected)
        if not only_if_untracked or document["startedAt"] is None:
            await self._periods.touch(document, self._tracking.now())
        await self._tracking.claims.settled(session_id, user_id)
        tracked = self._tracking.tracked(session_id)
        if tracked is not None:
            return Local(document, tracked)
        if self._peers.others_track(document["owner"]):
            return Remote(document)
        return Unowned(document)

    async def _stored_document(self, holder: Holder) -> Document:
        """Return the document to change, after an end in this process has been stored."""
        if not isinstance(holder, Local):
            return holder.document
        await _stored(self._tracking.ledger.saved(holder.tracked))
        found = holder.document
        return await queries.find_session(self._db, str(found["_id"]), found["userId"])

    def _check(self, document: Document, expected: Expected) -> None:
        if expected != ANY:
            expected.check(session_tag(self._tracking.view(document)))

    # --- changes of a session that this process tracks ----------------------------------------

    async def _update_local(
        self, holder: Local, given: dict[str, Any], expected: Expected
    ) -> SessionView:
        tracking, tracked = self._tracking, holder.tracked
        _refuse_counters(given)
        status = given.pop("status", None)
        if "targetMinutes" in given:  # before anything is awaited: the session may end meanwhile
            tracking.registry.retarget(tracked, given["targetMinutes"])
        if given:
            _note_reached(given, tracked.reached_target)
            await self._set_labels(holder.document, given, only_if_unchanged=expected != ANY)
        if status is not None:
            await _stored(tracking.set_paused(tracked, status == PAUSED, tracking.clock.now_us()))
        return await self.get(tracked.user_id, str(tracked.tracked_id))

    # --- changes of a session that another process tracks ---------------------------------------

    async def _update_remote(self, document: Document, given: dict[str, Any]) -> dict[str, Any]:
        """Ask the owner for the fields that only it can set; return the others."""
        _refuse_counters(given)
        left = dict(given)
        status, id_ = given.get("status"), str(document["_id"])

        async def has_status() -> bool:
            return (await self.get(document["userId"], id_)).status == status

        if status is not None:
            what: NoticeKind = "pause" if status == PAUSED else "resume"
            if await has_status() or await self._peers.ask(document, what, None, has_status):
                left.pop("status")
        if "targetMinutes" in given:
            notice = Notice(document["_id"], "retarget", given["targetMinutes"])
            await send_notice(self._db, document["owner"], notice, self._tracking.now())
        return left

    async def _end_remote(self, document: Document, status: str) -> bool:
        """Ask the owner to end the session; return whether it has."""

        async def has_ended() -> bool:
            session = await self.get(document["userId"], str(document["_id"]))
            return session.status in FINAL

        if document["status"] in FINAL:
            return False
        return await self._peers.ask(document, "end", status, has_ended)

    # --- direct changes -------------------------------------------------------------------------

    async def _end_unowned(self, document: Document, status: str) -> SessionView:
        now = self._tracking.now

        def end(found: Document) -> queries.Changes:
            return {} if found["status"] in FINAL else ended_fields(found, status, now())

        return await self._change(document, end)

    async def _set_labels(
        self, document: Document, given: dict[str, Any], *, only_if_unchanged: bool
    ) -> None:
        """Set fields that need no fence; raise PreconditionFailed if a label has changed."""
        id_ = document["_id"]
        fields = {**given, "updatedAt": self._tracking.now()}
        if not only_if_unchanged:
            await queries.set_fields(self._db, id_, fields)
            return
        former = {name: document[name] for name in LABELS}
        if not await queries.set_fields_if(self._db, id_, former, fields):
            raise changed_meanwhile()

    async def _change(
        self,
        document: Document,
        change: Callable[[Document], queries.Changes],
        expected: Expected = ANY,
    ) -> SessionView:
        """Write what `change` makes of the document, and take the session from its owner."""
        tracking = self._tracking

        def checked(found: Document) -> queries.Changes:
            self._refuse_tracked(found)
            self._check(found, expected)
            changes = change(found)
            return {**changes, "owner": None} if changes else {}

        before, after = await queries.change_session(
            self._db, document, checked, stamps=tracking.direct_stamps
        )
        await self._peers.tell(before["owner"], before["_id"])
        return tracking.view(after)

    def _refuse_tracked(self, document: Document) -> None:
        """Raise StorageUnavailable if this process tracks the session, or is claiming it."""
        session_id, user_id = str(document["_id"]), document["userId"]
        tracking = self._tracking
        claiming = tracking.claims.is_under_way(session_id, user_id)
        if claiming or tracking.tracked(session_id) is not None:
            raise StorageUnavailable(
                "contended", "A client has just begun to track the session; try again."
            )


def _needs_fence(document: Document, given: dict[str, Any]) -> bool:
    """Whether setting these fields touches counters, status or a final score."""
    if "status" in given or any(name in given for name in COUNTERS):
        return True
    return document["status"] in FINAL and "targetMinutes" in given


def _note_reached(given: dict[str, Any], has_reached: bool) -> None:
    """Keep that the former target was reached, which is reported once, when a new one is set."""
    if "targetMinutes" in given and has_reached:
        given[TARGET_REACHED] = True


def _refuse_counters(given: dict[str, Any]) -> None:
    if any(name in given for name in COUNTERS):
        raise Conflict("session_tracked", "Counters can't be set while a client tracks it.")


async def _stored(work: Awaitable[T]) -> T:
    """Wait until a change in memory is stored; one that takes longer is stored later."""
    try:
        async with asyncio.timeout(STORED_WITHIN_S):
            return await work
    except TimeoutError:
        raise StorageUnavailable(
            "database_unavailable", "It is done, and will be stored once the database answers."
        ) from None
