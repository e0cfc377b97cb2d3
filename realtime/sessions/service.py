"""Focus sessions as records: made, read, changed, ended and deleted, tracked or not.

What must always hold: a session that this process tracks is changed through the engine;
one that another living process tracks is changed by that process, which is asked to; any
other one is changed by a fenced write. No change can slip in between, because whoever
writes a document directly looks again whether it has become tracked, and the fence
deposes an owner that did not answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bson import ObjectId

from models.accounts.user_directory import UserDirectory
from models.base.database import Database, Document
from models.base.errors import Conflict, StorageUnavailable
from models.cluster.processes import Notice, leave_notice
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
"""How long a request waits for what was done in memory to be stored."""


class _NowTrackedError(Exception):
    """A session turned out to be tracked here after all."""


class SessionService:
    def __init__(
        self,
        db: Database,
        tracking: SessionTracking,
        learning: StudyService,
    ) -> None:
        self._db = db
        self._learning = learning
        self._periods = learning.periods
        self._tracking = tracking
        self._known = UserDirectory(db)
        self._peers = tracking.peers

    async def create(
        self, user_id: str, body: NewSession, id_: ObjectId | None = None
    ) -> SessionView:
        """Store a new session. The one that this user has under `id_`, if there is any, was
        made by the same request before."""
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
        return self._tracking.view(await queries.find_session(self._db, session_id, user_id))

    async def page(self, user_id: str, asked: DatedQuery) -> tuple[list[SessionView], str | None]:
        learner = await self._learning.learners.find(user_id)
        query = asked.of(learner.clock)
        documents, cursor = await list_sessions(self._db, user_id, query, self._tracking.now())
        return [self._tracking.view(document) for document in documents], cursor

    async def timeline(self, user_id: str, session_id: str) -> TimelineView:
        found = await queries.find_session(self._db, session_id, user_id)
        document, tracked = self._tracking.known(found)
        now = self._tracking.now()
        return await asyncio.to_thread(timeline_view, document, now=now, tracked=tracked)

    async def update(
        self, user_id: str, session_id: str, change: SessionChange, expected: Expected = ANY
    ) -> SessionView:
        """Set fields by hand, in one of the `expected` versions.

        Raises NotFound, Conflict "session_tracked", "session_ended" or "too_many_edits", Invalid,
        PreconditionFailed.
        """
        given = change.given()
        document = await queries.find_session(self._db, session_id, user_id)
        await self._periods.touch(document, self._tracking.now())
        tracked = await self._present(user_id, session_id)
        if tracked is not None and tracked.ended:
            await _stored(self._tracking.ledger.saved(tracked))
            tracked = None
        if tracked is not None:
            return await self._update_tracked(tracked, given, expected)
        document = await queries.find_session(self._db, session_id, user_id)
        self._check(document, expected)
        if self._peers.others_track(document["owner"]):
            given = await self._let_others_update(document, given)
        if _needs_fence(document, given):
            now, here = self._tracking.now, await self._learning.clock(user_id)
            return await self._change(
                user_id,
                session_id,
                lambda found: changed_by_hand(found, given, now(), here),
                expected,
            )
        if given:
            only_if = None if expected == ANY else document
            reached = has_reached_target(document)
            await self._set_labels(document["_id"], given, only_if, reached_target=reached)
            tracked = self._tracking.tracked(session_id)
            if tracked is not None and "targetMinutes" in given:  # claimed meanwhile
                self._tracking.registry.retarget(tracked, given["targetMinutes"])
        document = await queries.find_session(self._db, session_id, user_id)
        if _needs_fence(document, given):  # it ended meanwhile, with the old target
            return await self.update(user_id, session_id, change)
        return self._tracking.view(document)

    async def reassign(
        self, user_id: str, session_id: str, body: Reassignment, expected: Expected = ANY
    ) -> SessionView:
        """Let an idle or away run of an ended session be active.

        Raises NotFound, Conflict "session_not_ended", "run_not_reassignable", "too_many_edits",
        PreconditionFailed.
        """
        now = self._tracking.now
        document = await queries.find_session(self._db, session_id, user_id)
        await self._periods.touch(document, now())
        tracked = await self._present(user_id, session_id)
        if tracked is not None and not tracked.ended:
            raise not_ended()
        if tracked is not None:
            await _stored(self._tracking.ledger.saved(tracked))
        return await self._change(
            user_id, session_id, lambda found: reassigned(found, body, now()), expected
        )

    async def end(
        self, user_id: str, session_id: str, status: str, expected: Expected = ANY
    ) -> SessionView:
        """End a session, tracked or not; the same ended session again if it had ended so.

        Raises NotFound, Conflict "session_ended" if it had ended otherwise.
        """
        document = await queries.find_session(self._db, session_id, user_id)
        self._check(document, expected)
        if document["startedAt"] is None:
            await self._periods.touch(document, self._tracking.now())
        tracked = await self._present(user_id, session_id)

        async def ended() -> bool:
            return (await self.get(user_id, session_id)).status in FINAL

        if tracked is not None:
            session = (await _stored(self._tracking.end_tracked(tracked, status))).session
        elif document["status"] not in FINAL and await self._peers.ask(
            document, "end", status, ended
        ):
            session = await self.get(user_id, session_id)
        else:
            now = self._tracking.now
            session = await self._change(
                user_id,
                session_id,
                lambda found: (
                    {} if found["status"] in FINAL else ended_fields(found, status, now())
                ),
            )
        if session.status != status:
            raise Conflict("session_ended", f"The session has ended already ({session.status}).")
        return session

    async def delete(self, user_id: str, session_id: str, expected: Expected = ANY) -> None:
        document = await queries.find_session(self._db, session_id, user_id)
        self._check(document, expected)
        await self._periods.touch(document, self._tracking.now())
        document = await queries.delete_session(self._db, session_id, user_id)
        tracked = self._tracking.tracked(session_id)
        if tracked is not None:
            self._tracking.ledger.lose(tracked, "deleted")
        await self._peers.tell(document["owner"], document["_id"])

    def forget_user(self, user_id: str) -> None:
        """They have left."""
        self._known.forget(user_id)

    # --- private ----------------------------------------------------------------------------

    async def _present(self, user_id: str, session_id: str) -> TrackedSession | None:
        """The session as tracked here, after a claim on its way has come to its end."""
        await self._tracking.claims.settled(session_id, user_id)
        return self._tracking.tracked(session_id)

    def _check(self, document: Document, expected: Expected) -> None:
        if expected != ANY:
            expected.check(session_tag(self._tracking.view(document)))

    async def _set_labels(
        self,
        id_: ObjectId,
        given: dict[str, Any],
        document: Document | None,
        *,
        reached_target: bool,
    ) -> None:
        """Set fields that need no fence; only if all labels are those of the `document`, if one
        is given."""
        fields = {**given, "updatedAt": self._tracking.now()}
        if "targetMinutes" in given and reached_target:
            fields[TARGET_REACHED] = True
        if document is None:
            await queries.set_fields(self._db, id_, fields)
            return
        former = {name: document[name] for name in LABELS}
        if not await queries.set_fields_if(self._db, id_, former, fields):
            raise changed_meanwhile()

    async def _update_tracked(
        self, tracked: TrackedSession, given: dict[str, Any], expected: Expected
    ) -> SessionView:
        tracking, document = self._tracking, None
        if expected != ANY:
            document = await queries.find_session(
                self._db, str(tracked.tracked_id), tracked.user_id
            )
            self._check(document, expected)
            if tracked.ended:
                raise changed_meanwhile()
        _refuse_counters(given)
        status = given.pop("status", None)
        if status is not None and tracked.ended:
            raise Conflict("session_ended", f"The session has ended ({tracked.status}).")
        if "targetMinutes" in given:  # before anything is awaited: it may end meanwhile
            self._tracking.registry.retarget(tracked, given["targetMinutes"])
        if given:
            id_ = ObjectId(str(tracked.tracked_id))
            reached = tracked.reached_target
            await self._set_labels(id_, given, document, reached_target=reached)
        if status is not None:
            await _stored(tracking.set_paused(tracked, status == PAUSED, tracking.clock.now_us()))
        return await self.get(tracked.user_id, str(tracked.tracked_id))

    async def _let_others_update(self, document: Document, given: dict[str, Any]) -> dict[str, Any]:
        """Ask the process that tracks the session; what is left to be set here."""
        _refuse_counters(given)
        left = dict(given)
        status, id_ = given.get("status"), str(document["_id"])

        async def so() -> bool:
            return (await self.get(document["userId"], id_)).status == status

        if status is not None:
            what: Any = "pause" if status == PAUSED else "resume"
            if await so() or await self._peers.ask(document, what, None, so):
                left.pop("status")
        if "targetMinutes" in given:
            notice = Notice(document["_id"], "retarget", given["targetMinutes"])
            await leave_notice(self._db, document["owner"], notice, self._tracking.now())
        return left

    async def _change(
        self,
        user_id: str,
        session_id: str,
        change: Callable[[Document], queries.Changes],
        expected: Expected = ANY,
    ) -> SessionView:
        tracking = self._tracking
        former: str | None = None

        def unless_tracked(document: Document) -> queries.Changes:
            nonlocal former
            under_way = tracking.claims.is_under_way(session_id, user_id)
            if under_way or tracking.tracked(session_id) is not None:
                raise _NowTrackedError
            self._check(document, expected)
            former = document["owner"]
            changes = change(document)
            return {**changes, "owner": None} if changes else {}

        try:
            document = await queries.change_session(
                self._db, session_id, user_id, unless_tracked, stamps=tracking.direct_stamps
            )
        except _NowTrackedError:
            raise StorageUnavailable(
                "contended", "A client has just begun to track the session; try again."
            ) from None
        await self._peers.tell(former, document["_id"])
        return tracking.view(document)


def _needs_fence(document: Document, given: dict[str, Any]) -> bool:
    """Whether setting these fields touches counters, status or a final score."""
    if "status" in given or any(name in given for name in COUNTERS):
        return True
    return document["status"] in FINAL and "targetMinutes" in given


def _refuse_counters(given: dict[str, Any]) -> None:
    if any(name in given for name in COUNTERS):
        raise Conflict("session_tracked", "Counters can't be set while a client tracks it.")


async def _stored(work: Awaitable[T]) -> T:
    """What was done in memory, once it is stored; it is done all the same if that takes
    longer than a request may."""
    try:
        async with asyncio.timeout(STORED_WITHIN_S):
            return await work
    except TimeoutError:
        raise StorageUnavailable(
            "database_unavailable", "It is done, and will be stored once the database answers."
        ) from None
