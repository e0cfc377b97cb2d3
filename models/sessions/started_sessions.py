"""Which sessions were ever tracked and have not ended: who may be abandoned.

What must always hold: a session that was started has a row here until somebody has seen
it ended or deleted. The rows are kept apart from the sessions, because an index on what
changes every second would cost more than the counting itself.
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
    """Each may be noted already."""
    try:
        await db[COLLECTION].insert_many([{"_id": id_} for id_ in ids], ordered=False)
    except BulkWriteError as error:
        errors: list[dict[str, Any]] = error.details.get("writeErrors", [])
        if any(each.get("code") != DUPLICATE_KEY for each in errors):
            raise


async def noted(db: Database, after: ObjectId | None, limit: int) -> list[ObjectId]:
    """Up to so many of them, in order, behind the one named."""
    wanted = {} if after is None else {"_id": {"$gt": after}}
    found = db[COLLECTION].find(wanted).sort("_id", 1).limit(limit)
    return [document["_id"] for document in await found.to_list(None)]


async def forget(db: Database, ids: list[ObjectId]) -> None:
    if ids:
        await db[COLLECTION].delete_many({"_id": {"$in": ids}})


async def read_attendance(db: Database, ids: list[ObjectId]) -> list[Document]:
    """The documents of these sessions, those that exist."""
    return await sessions(db).find({"_id": {"$in": ids}}).to_list(None)


def last_present(document: Document) -> datetime:
    """When somebody was last seen to be there."""
    known = (document["startedAt"], document["lastBookedAt"], document.get("leftAt"))
    present: datetime = max((at for at in known if at is not None), default=document["createdAt"])
    return present


async def abandon(db: Database, document: Document, *, stamps: Stamps, now: datetime) -> bool:
    """End it as abandoned at the last second that was booked, and score it.

    False if somebody else has written it since it was read.
    """
    if document["status"] in FINAL:
        raise ValueError("it has ended")
    ended_at = document["lastBookedAt"] or document["startedAt"]
    values: Changes = {**ended_fields(document, "abandoned", ended_at), "updatedAt": now}
    return await compare_and_set(db, document, values, stamps.fresh())
