"""Store which sessions were started and have not ended: collection `attendance`.

Invariants:

- A started session has a row until a sweep has seen it ended or deleted.

The rows are apart from the sessions, because an index on fields that change every second would cost
more than the counting itself.
"""

from datetime import datetime
from typing import Any

from bson import ObjectId

from models.base.compare_and_set import Stamps
from models.base.database import BulkWriteError, Database, Document
from models.sessions.queries import Changes, compare_and_set, sessions
from models.sessions.session import FINAL, ended_fields

COLLECTION = "attendance"
DUPLICATE_KEY = 11000


async def note_started(db: Database, ids: list[ObjectId]) -> None:
    """Store that sessions were started; rows that exist stay."""
    try:
        await db[COLLECTION].insert_many([{"_id": id_} for id_ in ids], ordered=False)
    except BulkWriteError as error:
        errors: list[dict[str, Any]] = error.details.get("writeErrors", [])
        if any(each.get("code") != DUPLICATE_KEY for each in errors):
            raise


async def noted(db: Database, after: ObjectId | None, limit: int) -> list[ObjectId]:
    """Return up to `count` session ids in order, after a given one."""
    wanted = {} if after is None else {"_id": {"$gt": after}}
    found = db[COLLECTION].find(wanted).sort("_id", 1).limit(limit)
    return [document["_id"] for document in await found.to_list(None)]


async def forget(db: Database, ids: list[ObjectId]) -> None:
    """Remove the rows of these sessions."""
    if ids:
        await db[COLLECTION].delete_many({"_id": {"$in": ids}})


async def read_attendance(db: Database, ids: list[ObjectId]) -> list[Document]:
    """Return the documents of these sessions that exist."""
    return await sessions(db).find({"_id": {"$in": ids}}).to_list(None)


def last_present(document: Document) -> datetime:
    """Return when the session was last tracked."""
    known = (document["startedAt"], document["lastBookedAt"], document.get("leftAt"))
    present: datetime = max((at for at in known if at is not None), default=document["createdAt"])
    return present


async def abandon(db: Database, document: Document, *, stamps: Stamps, now: datetime) -> bool:
    """End a session as abandoned at its last booked second, and score it.

    Returns:
        False if the session was written since it was read.
    """
    if document["status"] in FINAL:
        raise ValueError("it has ended")
    ended_at = document["lastBookedAt"] or document["startedAt"]
    values: Changes = {**ended_fields(document, "abandoned", ended_at), "updatedAt": now}
    return await compare_and_set(db, document, values, stamps.fresh())
