"""The processes that share this database: their signs of life, and what they tell each other.

What must always hold: none of this decides anything. Who owns a session is decided by the
stamp in its document alone (`models.base.compare_and_set`); a process that is taken for dead,
or a notice that is lost, only delays what the owner would notice by itself.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from bson import ObjectId

from models.base.database import Database, DuplicateKeyError
from models.base.indexes import IndexSpec

SERVERS = "servers"
NOTICES = "notices"
INDEXES = {
    SERVERS: (IndexSpec(keys=(("seenAt", 1),), query="gone after a day", expire_after_s=86_400),),
    NOTICES: (
        IndexSpec(keys=(("to", 1),), query="take_notices: those for one process"),
        IndexSpec(keys=(("at", 1),), query="nobody has taken it", expire_after_s=3600),
    ),
}

What = Literal["look", "end", "pause", "resume", "retarget"]
"""`look`: the document was changed or deleted, read it. The others ask the owner to do
something with a session that it tracks; `value` is the final status or the target."""


class Notice(NamedTuple):
    session_id: ObjectId
    what: What
    value: Any = None


async def say_alive(db: Database, process: str, now: datetime, *, tracked: int = 0) -> None:
    """`tracked` is how many sessions it tracks."""
    alive = {"seenAt": now, "tracked": tracked}
    result = await db[SERVERS].update_one({"_id": process}, {"$set": alive})
    if not result.matched_count:
        try:
            await db[SERVERS].insert_one({"_id": process, **alive})
        except DuplicateKeyError:  # said before, with an answer that was lost
            return


async def forget_all(db: Database) -> None:
    """For a database that nobody else can be using: whoever is in it is dead."""
    await db[SERVERS].delete_many({})
    await db[NOTICES].delete_many({})


async def say_goodbye(db: Database, process: str) -> None:
    await db[SERVERS].delete_one({"_id": process})
    await db[NOTICES].delete_many({"to": process})


async def read_signs(db: Database) -> dict[str, datetime]:
    """When each said last that it lives, by a clock of its own."""
    return {document["_id"]: document["seenAt"] async for document in db[SERVERS].find()}


async def read_tracked(db: Database) -> dict[str, int]:
    """How many sessions each said last that it tracks."""
    return {document["_id"]: document["tracked"] async for document in db[SERVERS].find()}


async def leave_notice(db: Database, to: str, notice: Notice, now: datetime) -> None:
    await db[NOTICES].insert_one(
        {
            "to": to,
            "sessionId": notice.session_id,
            "what": notice.what,
            "value": notice.value,
            "at": now,
        }
    )


async def take_notices(db: Database, process: str) -> list[Notice]:
    """What was left for this process, oldest first; it is not there any more then."""
    found = await db[NOTICES].find({"to": process}).sort("_id", 1).to_list(None)
    await _remove(db, (document["_id"] for document in found))
    return [Notice(each["sessionId"], each["what"], each["value"]) for each in found]


async def _remove(db: Database, ids: Iterable[ObjectId]) -> None:
    gone = list(ids)
    if gone:
        await db[NOTICES].delete_many({"_id": {"$in": gone}})
