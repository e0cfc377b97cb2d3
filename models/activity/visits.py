"""Visits: collection `visitor_sessions`, one row for each `sessionId` that a client made.

What must always hold: the address and the user agent of a visitor are stored as keyed
hashes only, and never change; `day_seen_at` is the first instant of the latest UTC day on
which the visit was seen, so `date(last_seen_at)` is today exactly where it is of today.
Visits of a demonstration, which come and go with a past, have a field `demo`; they are not
counted with the others, which is done once, but known by number (`models.accounts.demos`).
No user is stored: who is signed in is seen by presence and events.
"""

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

from pydantic import StringConstraints

from models.accounts.demos import visits_of_demos
from models.base.database import Database, Document
from models.base.incremental_counts import Count, counted
from models.base.indexes import IndexSpec
from models.base.schema_types import WireModel, milliseconds
from models.base.upserts import (
    count_seen_within,
    note_sightings,
)
from scoring.utc_days import Span, day_of

COLLECTION = "visitor_sessions"
EVER = Span("ever", datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
HASH_CHARS = 32

VisitId = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,128}$")]
INDEXES = (
    IndexSpec(
        keys=(("last_seen_at", 1),),
        query="visits now and active visits",
    ),
    IndexSpec(keys=(("first_seen_at", 1),), query="visits ever: those since it was counted"),
    IndexSpec(keys=(("day_seen_at", 1),), query="visits today: those since it was counted"),
)


class TrackVisit(WireModel):
    """Body of `POST /api/track-visit`."""

    session_id: VisitId


class Visitor(NamedTuple):
    """Who made the call, as far as that is stored."""

    ip_hash: str
    ua_hash: str


class VisitorHashes:
    """Keyed hashes, so that nobody who has the database alone can try out all addresses."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"focusup visit", "sha256")

    def visitor(self, address: str, user_agent: str) -> Visitor:
        return Visitor(self._hash("ip", address), self._hash("ua", user_agent))

    def _hash(self, kind: str, text: str) -> str:
        message = f"{kind}\0{text}".encode(errors="surrogateescape")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:HASH_CHARS]


async def note_visits(db: Database, seen: Mapping[str, Visitor], now: datetime) -> None:
    """Each of these visits has been seen just now."""
    now = milliseconds(now)
    today = day_of(now).since
    again = {
        "last_seen_at": {"$max": ["$last_seen_at", now]},
        "day_seen_at": {"$cond": [{"$lt": ["$day_seen_at", today]}, now, "$day_seen_at"]},
    }

    def first(id_: str, visitor: Visitor) -> Document:
        return {
            "_id": id_,
            "first_seen_at": now,
            "last_seen_at": now,
            "day_seen_at": now,
            **visitor._asdict(),
        }

    await note_sightings(db[COLLECTION], seen, again=[{"$set": again}], first=first)


async def count_ever(db: Database, now: datetime) -> int:
    """All visits there ever were."""
    real, of_demos = await asyncio.gather(
        _running(db, "first_seen_at", EVER, now), visits_of_demos(db)
    )
    return real + of_demos.total()


async def count_today(db: Database, now: datetime) -> int:
    """Those last seen on the UTC day of `now`."""
    today = day_of(now)
    real, of_demos = await asyncio.gather(
        _running(db, "day_seen_at", today, now), visits_of_demos(db)
    )
    return real + of_demos[today.since.date()]


async def count_within(db: Database, now: datetime, age: timedelta) -> int:
    """Those last seen less than `age` ago."""
    return await count_seen_within(db[COLLECTION], now, age)


async def _running(db: Database, field: str, span: Span, now: datetime) -> int:
    (total,) = await counted(db, f"visits.{field}", [span], _counts(db, field), now)
    return total["rows"]


def _counts(db: Database, field: str) -> Count:
    async def count(since: datetime, until: datetime) -> Counter[str]:
        # Which are a demonstration's is told here: beside the range, a filter of anything
        # else makes the embedded database scan.
        found = db[COLLECTION].aggregate(
            [
                {"$match": {field: {"$gte": since, "$lt": until}}},
                {"$group": {"_id": "$demo", "rows": {"$sum": 1}}},
            ]
        )
        return Counter(
            rows=sum(row["rows"] for row in await found.to_list(None) if row["_id"] is None)
        )

    return count
