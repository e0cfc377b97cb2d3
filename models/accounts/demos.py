"""Store demonstrations: collection `demos`, one document each, by the address of the account.

Invariants:

- An account without a document here belongs to a real user, and is never taken for a demonstration.
- The document is inserted before any other data of the demonstration, and deleted last, so an
  interrupted command can be repeated, also when the account is already deleted.
- The document holds the number of the demonstration's visits, which are subtracted from counts.
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
    """A document of `demos`."""

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
    """Store a demonstration; raise Conflict `email_taken` if one has this address."""
    try:
        await db[COLLECTION].insert_one(_document(demo))
    except DuplicateKeyError:
        raise Conflict("email_taken", "The address was taken just now; try again.") from None


async def find_demo(db: Database, email: str) -> Demo | None:
    """Return the demonstration of an address, or None.

    Raises:
        Conflict: `not_a_demo`, the address belongs to the account of a real user.
    """
    found, user = await asyncio.gather(
        db[COLLECTION].find_one({"_id": email}), find_user_by_email(db, email)
    )
    if found is not None:
        return _read(found)
    if user is not None:
        raise Conflict("not_a_demo", "The account with this address is no demonstration.")
    return None


async def set_demo(db: Database, demo: Demo) -> None:
    """Store what is left of a demonstration."""
    await db[COLLECTION].replace_one({"_id": demo.email}, _document(demo))


async def delete_demo(db: Database, demo: Demo) -> None:
    """Delete the document of a demonstration, when nothing else of it is left."""
    await db[COLLECTION].delete_one({"_id": demo.email})


async def visits_of_demos(db: Database) -> Counter[date]:
    """Return how many visits of each UTC day belong to demonstrations."""
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
