"""Record and count visits: collection `visitor_sessions`, one document for each `sessionId`.

Clients make these ids. No user is stored: presence and events tell which users are signed in.

Invariants:

- Address and user agent of a visitor are stored only as keyed hashes, which never change.
- `day_seen_at` is the first instant at which the visit was seen on the latest UTC day that it was
  seen on. So it lies in today exactly if `last_seen_at` does.
- Visits of a demonstration have a field `demo`. They are added and removed with past instants,
  so they are not part of the cached counts; their number is stored (`models.accounts.demos`).
"""

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple, NotRequired, TypedDict, cast

from pydantic import StringConstraints

from models.accounts.demos import visits_of_demos
from models.base.database import Database, Document
from models.base.incremental_counts import Count, counted
from models.base.indexes import IndexSpec
from models.base.schema_types import WireModel, milliseconds
from models.base.upserts import count_seen_within, note_sightings
from scoring.utc_days import Span, day_of

COLLECTION = "visitor_sessions"
ALL_TIME = Span("ever", datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
"""Its name is stored: part of the id of the cached count."""
HASH_CHARS = 32

VisitId = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,128}$")]
INDEXES = (
    IndexSpec(
        keys=(("last_seen_at", 1),),
        query="visits now and active visits",
    ),
    IndexSpec(keys=(("first_seen_at", 1),), query="visits of all time: those not counted yet"),
    IndexSpec(keys=(("day_seen_at", 1),), query="visits today: those not counted yet"),
)


class TrackVisit(WireModel):
    """Body of `POST /api/track-visit`."""

    session_id: VisitId


class Visitor(NamedTuple):
    """What is stored of the client that reported a visit."""

    ip_hash: str
    ua_hash: str


class VisitDocument(TypedDict):
    """A document of `visitor_sessions`; its id was made by the client."""

    _id: str
    first_seen_at: datetime
    last_seen_at: datetime
    day_seen_at: datetime
    ip_hash: str
    ua_hash: str
    demo: NotRequired[str]
    """The tag of the demonstration that added it."""


class VisitorHashes:
    """Makes keyed hashes: without the secret, addresses cannot be found by trying all of them."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"focusup visit", "sha256")

    def visitor(self, address: str, user_agent: str) -> Visitor:
        """Return the hashes of an address and a user agent."""
        return Visitor(self._hash("ip", address), self._hash("ua", user_agent))

    def _hash(self, kind: str, text: str) -> str:
        message = f"{kind}\0{text}".encode(errors="surrogateescape")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:HASH_CHARS]


async def record_visits(db: Database, seen: Mapping[str, Visitor], now: datetime) -> None:
    """Record that visits were seen just now, by their ids."""
    now = milliseconds(now)
    today = day_of(now).since
    again = {
        "last_seen_at": {"$max": ["$last_seen_at", now]},
        "day_seen_at": {"$cond": [{"$lt": ["$day_seen_at", today]}, now, "$day_seen_at"]},
    }

    def first(id_: str, visitor: Visitor) -> Document:
        visit: VisitDocument = {
            "_id": id_,
            "first_seen_at": now,
            "last_seen_at": now,
            "day_seen_at": now,
            "ip_hash": visitor.ip_hash,
            "ua_hash": visitor.ua_hash,
        }
        return cast("Document", visit)

    await note_sightings(db[COLLECTION], seen, again=[{"$set": again}], first=first)


async def count_ever(db: Database, now: datetime) -> int:
    """Return the number of all visits."""
    real, of_demos = await asyncio.gather(
        _count(db, "first_seen_at", ALL_TIME, now), visits_of_demos(db)
    )
    return real + of_demos.total()


async def count_today(db: Database, now: datetime) -> int:
    """Return how many visits were last seen on the UTC day of `now`."""
    today = day_of(now)
    real, of_demos = await asyncio.gather(
        _count(db, "day_seen_at", today, now), visits_of_demos(db)
    )
    return real + of_demos[today.since.date()]


async def count_within(db: Database, now: datetime, age: timedelta) -> int:
    """Return how many visits were last seen less than `age` ago."""
    return await count_seen_within(db[COLLECTION], now, age)


async def _count(db: Database, field: str, span: Span, now: datetime) -> int:
    """Return how many visits, but for demonstrations, have `field` in a span."""
    (total,) = await counted(db, f"visits.{field}", [span], _counts(db, field), now)
    return total["rows"]


def _counts(db: Database, field: str) -> Count:
    """Return the function that counts visits, but for demonstrations, between two instants."""

    async def count(since: datetime, until: datetime) -> Counter[str]:
        # Demonstrations are grouped and dropped, not filtered: any filter beside the range makes
        # the embedded database scan the collection.
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
