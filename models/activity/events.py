"""What users do, as a study app reports it: collection `activity_events`.

What must always hold: an event is stored once and never changed; it gets its instant from
the server, and its user from a valid token alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from bson import ObjectId
from pydantic import StringConstraints

from models.base.database import Database
from models.base.incremental_counts import Count, counted, forget, is_whole
from models.base.indexes import IndexSpec
from models.base.schema_types import ONE_SPELLING, WireModel, milliseconds
from models.base.upserts import (
    insert_new,
)
from scoring.utc_days import Span

COLLECTION = "activity_events"
COUNTED_AS = "events"

EventType = Literal["login", "signup", "app_open", "action"]
ActionName = Annotated[str, StringConstraints(max_length=128), ONE_SPELLING]
INDEXES = (
    IndexSpec(
        keys=(("created_at", 1),),
        query="events of a stretch of time by type",
    ),
    IndexSpec(keys=(("user_id", 1), ("_id", -1)), query="one user's events: export, leaving"),
)


class TrackEvent(WireModel):
    """Body of `POST /api/track-event`."""

    type: EventType
    action_name: ActionName | None = None


class Event(NamedTuple):
    event_type: EventType
    action_name: str | None
    user_id: str | None


async def insert_events(db: Database, events: Mapping[ObjectId, Event], now: datetime) -> None:
    """Store these; those that are there already stay as they are."""
    created_at = milliseconds(now)
    documents = [
        {"_id": id_, **event._asdict(), "created_at": created_at} for id_, event in events.items()
    ]
    await insert_new(db[COLLECTION], documents)


async def count_by_type(db: Database, spans: Sequence[Span], now: datetime) -> list[Counter[str]]:
    """How many events of each type there are in each span."""
    return await counted(db, COUNTED_AS, spans, _counts(db), now)


async def whole_days(db: Database, days: Sequence[Span]) -> list[Span]:
    """Those of these days that may be forgotten: retention has removed nothing of them."""
    return [day for day in days if await is_whole(db, COUNTED_AS, day, _counts(db))]


async def forget_days(db: Database, days: Sequence[Span]) -> None:
    """Events of these days were added or removed: they are counted anew."""
    await forget(db, COUNTED_AS, days)


def _counts(db: Database) -> Count:
    async def count(since: datetime, until: datetime) -> Counter[str]:
        found = db[COLLECTION].aggregate(
            [
                {"$match": {"created_at": {"$gte": since, "$lt": until}}},
                {"$group": {"_id": "$event_type", "rows": {"$sum": 1}}},
            ]
        )
        return Counter({row["_id"]: row["rows"] for row in await found.to_list(None)})

    return count
