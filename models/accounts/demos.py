"""Demonstrations: collection `demos`, one document for each, by the address of its account.

What must always hold: whoever has no document here is somebody real, and is never taken for
a demonstration; the document is there before anything else of it is, and goes last of all,
so that what was cut off can be done again, and be done when the account has long left. It
says how many visits are the demonstration's, which therefore nobody ever has to count.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from bson import ObjectId

from models.accounts.users import find_user_by_email
from models.base.database import Database, DuplicateKeyError
from models.base.errors import Conflict

COLLECTION = "demos"


class Demo(NamedTuple):
    email: str
    """In its one spelling."""
    user_id: str
    tag: str
    """What its other rows are marked with."""
    until: datetime
    event_days: tuple[date, ...]
    """The UTC days whose events are to be counted anew when it goes."""
    view_days: tuple[date, ...]
    """The UTC days whose page views are to be tallied anew then."""
    event_ids: tuple[ObjectId, ...]
    """Its account may leave, and its events then name nobody."""
    visits: Mapping[date, int]
    """How many there are of each UTC day."""
    is_leaving: bool = False
    """Its rows are being removed: what can be counted anew was found out before."""


async def insert_demo(db: Database, demo: Demo) -> None:
    """Raises Conflict "email_taken" if somebody makes one with this address, too."""
    try:
        await db[COLLECTION].insert_one(_document(demo))
    except DuplicateKeyError:
        raise Conflict("email_taken", "The address was taken just now; try again.") from None


async def find_demo(db: Database, email: str) -> Demo | None:
    """The demonstration with this address. Raises Conflict "not_a_demo" if there is none,
    but somebody's account."""
    found, user = await asyncio.gather(
        db[COLLECTION].find_one({"_id": email}), find_user_by_email(db, email)
    )
    if found is not None:
        return _read(found)
    if user is not None:
        raise Conflict("not_a_demo", "The account with this address is no demonstration.")
    return None


async def set_demo(db: Database, demo: Demo) -> None:
    """What is left of it has changed."""
    await db[COLLECTION].replace_one({"_id": demo.email}, _document(demo))


async def delete_demo(db: Database, demo: Demo) -> None:
    """Nothing of it is there any more."""
    await db[COLLECTION].delete_one({"_id": demo.email})


async def visits_of_demos(db: Database) -> Counter[date]:
    """How many visits of each UTC day are demonstrations'."""
    visits: Counter[date] = Counter()
    async for found in db[COLLECTION].find({}, {"visits": 1}):
        visits.update(_visits(found))
    return visits


def _document(demo: Demo) -> dict[str, Any]:
    return {
        "_id": demo.email,
        "userId": demo.user_id,
        "tag": demo.tag,
        "until": demo.until,
        "eventDays": [day.isoformat() for day in demo.event_days],
        "viewDays": [day.isoformat() for day in demo.view_days],
        "eventIds": list(demo.event_ids),
        "visits": {day.isoformat(): count for day, count in demo.visits.items()},
        "isLeaving": demo.is_leaving,
    }


def _read(document: Mapping[str, Any]) -> Demo:
    return Demo(
        document["_id"],
        document["userId"],
        document["tag"],
        document["until"],
        tuple(map(date.fromisoformat, document["eventDays"])),
        tuple(map(date.fromisoformat, document["viewDays"])),
        tuple(document["eventIds"]),
        _visits(document),
        document["isLeaving"],
    )


def _visits(document: Mapping[str, Any]) -> dict[date, int]:
    return {date.fromisoformat(day): count for day, count in document["visits"].items()}
