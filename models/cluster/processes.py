"""Register the processes that share this database, and pass notices between them.

Collections `servers` and `notices`.

Invariant: neither decides who owns a session; only the stamp in its document does
(`models.base.compare_and_set`). A wrongly suspected process or a lost notice merely delays what
the owner would notice by itself.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict, cast

from bson import ObjectId

from models.base.database import CollectionOf, Database, DuplicateKeyError
from models.base.indexes import IndexSpec

SERVERS = "servers"
NOTICES = "notices"
INDEXES = {
    SERVERS: (
        IndexSpec(keys=(("seenAt", 1),), query="removed after a day", expire_after_s=86_400),
    ),
    NOTICES: (
        IndexSpec(keys=(("to", 1),), query="receive_notices: one process's"),
        IndexSpec(keys=(("at", 1),), query="removed if never received", expire_after_s=3600),
    ),
}

NoticeKind = Literal["look", "end", "pause", "resume", "retarget"]
"""`look` reports that the session's document was changed or deleted. The others request a change
of a session that the receiver tracks; `Notice.value` is the final status or the new target."""


class ServerDocument(TypedDict):
    """A document of `servers`; its id is the name of the process."""

    _id: str
    seenAt: datetime
    tracked: int


class NoticeDocument(TypedDict):
    """A document of `notices`."""

    _id: NotRequired[ObjectId]
    to: str
    sessionId: ObjectId
    what: NoticeKind
    value: Any
    at: datetime


class Notice(NamedTuple):
    """A message to the process that owns a session."""

    session_id: ObjectId
    what: NoticeKind
    value: Any = None


def servers(db: Database) -> CollectionOf[ServerDocument]:
    """Return the collection of processes."""
    return cast("CollectionOf[ServerDocument]", db[SERVERS])


def notices(db: Database) -> CollectionOf[NoticeDocument]:
    """Return the collection of notices."""
    return cast("CollectionOf[NoticeDocument]", db[NOTICES])


async def write_heartbeat(db: Database, process: str, now: datetime, *, tracked: int = 0) -> None:
    """Record that a process is alive.

    Args:
        db: The database.
        process: Its name, as in the `owner` of documents.
        now: By its own clock.
        tracked: How many sessions it tracks.
    """
    values = {"seenAt": now, "tracked": tracked}
    result = await servers(db).update_one({"_id": process}, {"$set": values})
    if not result.matched_count:
        try:
            await servers(db).insert_one({"_id": process, "seenAt": now, "tracked": tracked})
        except DuplicateKeyError:  # an earlier insert whose answer was lost
            return


async def remove_all(db: Database) -> None:
    """Remove all processes and notices, of a database that no other process can be using."""
    await servers(db).delete_many({})
    await notices(db).delete_many({})


async def remove_process(db: Database, process: str) -> None:
    """Remove a process that stops, with the notices to it."""
    await servers(db).delete_one({"_id": process})
    await notices(db).delete_many({"to": process})


async def read_heartbeats(db: Database) -> dict[str, datetime]:
    """Return the last heartbeat of each process, by that process's own clock."""
    return {document["_id"]: document["seenAt"] async for document in servers(db).find()}


async def read_tracked_counts(db: Database) -> dict[str, int]:
    """Return how many sessions each process tracked at its last heartbeat."""
    return {document["_id"]: document["tracked"] async for document in servers(db).find()}


async def send_notice(db: Database, to: str, notice: Notice, now: datetime) -> None:
    """Store a notice to the process `to`."""
    await notices(db).insert_one(
        {
            "to": to,
            "sessionId": notice.session_id,
            "what": notice.what,
            "value": notice.value,
            "at": now,
        }
    )


async def receive_notices(db: Database, process: str) -> list[Notice]:
    """Return the notices to a process, oldest first, and remove them."""
    found = await notices(db).find({"to": process}).sort("_id", 1).to_list(None)
    await _remove(db, (document["_id"] for document in found))
    return [Notice(each["sessionId"], each["what"], each["value"]) for each in found]


async def _remove(db: Database, ids: Iterable[ObjectId]) -> None:
    received = list(ids)
    if received:
        await notices(db).delete_many({"_id": {"$in": received}})
