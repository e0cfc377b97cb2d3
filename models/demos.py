"""Accounts that are demonstrations: a field `demo` in their document of `users`.

What must always hold: whoever has no such field is somebody real, and is never taken for a
demonstration; the field is there before anything else of the demonstration is, and goes with
the account, last of all, so that what was cut off can be done again.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from models.errors import Conflict
from models.users import COLLECTION, Database, User


class Demo(NamedTuple):
    user_id: str
    tag: str
    """What its other rows are marked with."""
    until: datetime
    event_days: tuple[date, ...]
    """The UTC days whose events are to be counted anew when it goes."""
    view_days: tuple[date, ...]
    """The UTC days whose page views are to be tallied anew then."""
    has_visits: bool
    is_leaving: bool = False
    """Its rows are being removed: what can be counted anew was found out before."""


async def insert_demo(db: Database, user: User, demo: Demo) -> None:
    """Store the account. Raises Conflict "email_taken"."""
    try:
        await db[COLLECTION].insert_one({**user.to_document(), "demo": _document(demo)})
    except DuplicateKeyError:
        raise Conflict("email_taken", "The address was taken just now; try again.") from None


async def find_demo(db: Database, email: str) -> Demo | None:
    """The demonstration with this address (in its one spelling). Raises Conflict
    "not_a_demo" if it is somebody's account."""
    found = await db[COLLECTION].find_one({"email": email})
    if found is None:
        return None
    if "demo" not in found:
        raise Conflict("not_a_demo", "The account with this address is no demonstration.")
    return _read(str(found["_id"]), found["demo"])


async def set_demo(db: Database, demo: Demo) -> None:
    """What is left of it has changed."""
    wanted = {"_id": ObjectId(demo.user_id)}
    await db[COLLECTION].update_one(wanted, {"$set": {"demo": _document(demo)}})


async def count_demos(db: Database) -> int:
    return await db[COLLECTION].count_documents({"demo": {"$exists": True}})


def _document(demo: Demo) -> dict[str, Any]:
    return {
        "tag": demo.tag,
        "until": demo.until,
        "eventDays": [day.isoformat() for day in demo.event_days],
        "viewDays": [day.isoformat() for day in demo.view_days],
        "hasVisits": demo.has_visits,
        "isLeaving": demo.is_leaving,
    }


def _read(user_id: str, document: Mapping[str, Any]) -> Demo:
    return Demo(
        user_id,
        document["tag"],
        document["until"],
        tuple(map(date.fromisoformat, document["eventDays"])),
        tuple(map(date.fromisoformat, document["viewDays"])),
        document["hasVisits"],
        document["isLeaving"],
    )
