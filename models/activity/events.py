"""Store and count the events that a study app reports: collection `activity_events`.

Invariants:

- An event is stored once and never changed.
- Its instant comes from the server, its user from a valid token only.
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
from models.base.upserts import insert_new
from scoring.utc_days import Span

COLLECTION = "activity_events"
COUNTED_AS = "events"

EventType = Literal["login", "signup", "app_open", "action"]
ActionName = Annotated[str, StringConstraints(max_length=128), ONE_SPELLING]
INDEXES = (
    IndexSpec(
        keys=(("created_at", 1),),
        query="events of a span by type",
    ),
    IndexSpec(keys=(("user_id", 1), ("_id", -1)), query="one user's events: export, deletion"),
)


class TrackEvent(WireModel):
    """Body of `POST /api/track-event`."""

    type: EventType
    action_name: ActionName | None = None


class Event(NamedTuple):
    """An event, but for its id and instant; the fields are named as stored."""

    event_type: EventType
    action_name: str | None
    user_id: str | None


async def insert_events(db: Database, events: Mapping[ObjectId, Event], now: datetime) -> None:
    """Store events by their ids; events that are stored already stay unchanged."""
    created_at = milliseconds(now)
    documents = [
        {"_id": id_, **event._asdict(), "created_at": created_at} for id_, event in events.items()
    ]
    await insert_new(db[COLLECTION], documents)


async def count_by_type(db: Database, spans: Sequence[Span], now: datetime) -> list[Counter[str]]:
    """Return the number of events of each type, for each span."""
    return await counted(db, COUNTED_AS, spans, _counts(db), now)


async def complete_days(db: Database, days: Sequence[Span]) -> list[Span]:
    """Return the days whose events are all still stored, so that they can be counted again."""
    return [day for day in days if await is_whole(db, COUNTED_AS, day, _counts(db))]


async def forget_days(db: Database, days: Sequence[Span]) -> None:
    """Discard the cached counts of days whose events were added or removed."""
    await forget(db, COUNTED_AS, days)


def _counts(db: Database) -> Count:
    """Return the function that counts events by type between two instants."""

    async def count(since: datetime, until: datetime) -> Counter[str]:
        found = db[COLLECTION].aggregate(
            [
                {"$match": {"created_at": {"$gte": since, "$lt": until}}},
                {"$group": {"_id": "$event_type", "rows": {"$sum": 1}}},
            ]
        )
        return Counter({row["_id"]: row["rows"] for row in await found.to_list(None)})

    return count
