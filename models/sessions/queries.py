"""Query the `sessions` collection.

Invariants:

- A session of another user is not found.
- Every write to counters, status or owner is fenced (`models.base.compare_and_set`).
- A filter that names `_id` names nothing else, because the embedded database otherwise scans the
  collection.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bson import ObjectId

from models.base.compare_and_set import Stamps, fenced
from models.base.database import Collection, Database, Document, DuplicateKeyError
from models.base.errors import Conflict, NotFound, StorageUnavailable
from models.base.indexes import IndexSpec
from models.base.time_zones import UTC
from models.sessions.session import FINAL, NewSession, new_document
from models.sessions.timeline import EMPTY, going_on

COLLECTION = "sessions"
INDEXES = (
    IndexSpec(
        keys=(("userId", 1), ("_id", -1)),
        query="newest_first: one user's sessions within a stretch of time",
    ),
    IndexSpec(keys=(("endedAt", 1),), query="focus_metrics: the sessions that ended on a day"),
)
RESERVED_FOR = timedelta(minutes=5)
"""How old the id of a new session may be: half of `study_periods.SETTLED_AFTER`."""
CONTENDED_TRIES = 20
"""How often a fenced write is tried again when others write the same document."""

Changes = dict[str, Any]


class Claim(NamedTuple):
    """A claimed session: its document, whether it was started before, and its former owner."""

    document: Document
    resumed: bool
    """Whether it had been started before."""
    former_owner: str | None


def sessions(db: Database) -> Collection:
    """Return the collection."""
    return db[COLLECTION]


def not_found() -> NotFound:
    """Return the error of a session that the user does not have."""
    return NotFound("session_not_found", "There is no such session.")


def already_ended(document: Document) -> Conflict:
    """Return the error of a change of an ended session."""
    return Conflict("session_ended", f"The session has ended ({document['status']}).")


async def insert_session(
    db: Database,
    user_id: str,
    body: NewSession,
    *,
    stamp: str,
    now: datetime,
    zone: str = UTC,
    reserved: ObjectId | None = None,
) -> Document:
    """Store a new session, under the `reserved` id if there is one.

    A session of this user that has the reserved id was stored by an earlier try whose answer was
    lost; it is returned unchanged.
    """
    fresh = new_document(user_id, body, stamp=stamp, now=now, zone=zone)
    if reserved is not None and abs(now - reserved.generation_time) >= RESERVED_FOR:
        # Periods of the past take no session in any more, and ids tell the time.
        found = await sessions(db).find_one({"_id": reserved})
        if found is not None and found["userId"] == user_id:
            return found
        reserved = None
    document = {"_id": reserved or new_id(now), **fresh}
    try:
        await sessions(db).insert_one(document)
    except DuplicateKeyError:
        found = await sessions(db).find_one({"_id": document["_id"]})
        if reserved is None or found is None or found["userId"] != user_id:
            raise
        return found
    return document


def new_id(now: datetime) -> ObjectId:
    """Return an id of an instant, whatever the clock of the driver says."""
    return ObjectId(ObjectId.from_datetime(now).binary[:4] + ObjectId().binary[4:])


async def find_session(db: Database, session_id: str, user_id: str) -> Document:
    """Return a session of the user; raise NotFound."""
    # Each id has one spelling, since the tracked ones are looked up by it.
    if not ObjectId.is_valid(session_id) or session_id != session_id.lower():
        raise not_found()
    document = await sessions(db).find_one({"_id": ObjectId(session_id)})
    if document is None or document["userId"] != user_id:
        raise not_found()
    return document


async def delete_session(db: Database, session_id: str, user_id: str) -> Document:
    """Delete a session, and return it as it was; raise NotFound."""
    document = await find_session(db, session_id, user_id)
    await sessions(db).delete_one({"_id": document["_id"]})
    return document


async def set_fields(db: Database, session_id: ObjectId, fields: Changes) -> None:
    """Set fields that are neither counters nor status, which need no fence."""
    await sessions(db).update_one({"_id": session_id}, {"$set": fields})


async def set_fields_if(
    db: Database, session_id: ObjectId, former: Changes, fields: Changes
) -> bool:
    """Set fields that need no fence, if the `former` fields still have their values.

    Returns:
        Whether they had.
    """
    holds = {"$and": [{"$eq": [f"${name}", {"$literal": value}]} for name, value in former.items()]}
    update = {
        name: {"$cond": [holds, {"$literal": value}, f"${name}"]} for name, value in fields.items()
    }
    result = await sessions(db).update_one({"_id": session_id}, [{"$set": update}])
    return bool(result.modified_count)


async def change_session(
    db: Database,
    document: Document,
    change: Callable[[Document], Changes],
    *,
    stamps: Stamps,
) -> tuple[Document, Document]:
    """Set what `change` makes of a session, fenced, and return it before and after.

    Args:
        db: The database.
        document: The session as it was read.
        change: Returns the fields to set; none leaves the session as it is. It may raise, and is
            called again with the stored session whenever another write came in between.
        stamps: Makes the stamp of the write.

    Raises:
        NotFound: The session was deleted in the meantime.
        StorageUnavailable: `contended`, other writes came in between each time.
    """
    session_id, user_id = str(document["_id"]), document["userId"]
    for _ in range(CONTENDED_TRIES):
        values = change(document)
        if not values:
            return document, document
        written = await compare_and_set(db, document, values, stamps.fresh())
        stored = await find_session(db, session_id, user_id)
        if written:
            return document, stored
        document = stored
    raise StorageUnavailable("contended", "The session is being changed elsewhere; try again.")


async def claim_session(
    db: Database,
    session_id: str,
    user_id: str,
    *,
    stamps: Stamps,
    now: datetime,
    first_start: Callable[[Document, datetime], Awaitable[None]] | None = None,
) -> Claim:
    """Make this process the owner of a session, whoever owned it before.

    The remainder of a second stays in the document until a second is booked, so a claim whose
    answer is lost may be repeated. The first claim of all sets `startedAt` to `now`, and a pause
    before it does not count; `first_start` is awaited before.

    Raises:
        NotFound: The user has no such session.
        Conflict: `session_ended`.
        StorageUnavailable: `contended`, other writes came in between each time.
    """
    for _ in range(CONTENDED_TRIES):
        before = await find_session(db, session_id, user_id)
        if before["status"] in FINAL:
            raise already_ended(before)
        stamp = stamps.fresh()
        values: Changes = {"owner": stamps.process, "updatedAt": now}
        if before["startedAt"] is None:
            if first_start is not None:
                await first_start(before, now)
            values |= {
                "startedAt": now,
                "pausedMs": 0.0,
                "timeline": EMPTY,
                "pausedAt": now if before["status"] == "paused" else None,
            }
        values["timeline"] = going_on({**before, **values}, now).pack()
        if await compare_and_set(db, before, values, stamp):
            after = await find_session(db, session_id, user_id)
            if after["stamp"] == stamp:
                resumed = before["startedAt"] is not None
                return Claim(after, resumed, before["owner"])
    raise StorageUnavailable("contended", "The session is being claimed elsewhere; try again.")


async def compare_and_set(db: Database, document: Document, values: Changes, stamp: str) -> bool:
    """Set `values` if the document was not written since it was read; return whether it was set."""
    result = await sessions(db).update_one(
        {"_id": document["_id"]}, fenced(document["stamp"], stamp, values=values)
    )
    return bool(result.modified_count)
