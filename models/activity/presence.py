"""Record when users were last seen: collection `user_presence`, one document for each user."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from models.accounts.user_directory import note_users
from models.base.database import Database
from models.base.indexes import IndexSpec
from models.base.schema_types import milliseconds
from models.base.upserts import count_seen_within, note_sightings

COLLECTION = "user_presence"
INDEXES = (
    IndexSpec(
        keys=(("last_seen_at", 1),),
        query="users active now",
    ),
)


async def record_presence(db: Database, seen: Mapping[str, None], now: datetime) -> None:
    """Record that these users, the keys of `seen`, sent a heartbeat just now."""
    now = milliseconds(now)
    new = await note_sightings(
        db[COLLECTION],
        seen,
        again=[{"$set": {"last_seen_at": {"$max": ["$last_seen_at", now]}}}],
        first=lambda id_, _: {"_id": id_, "last_seen_at": now},
    )
    await note_users(db, new, now)


async def count_within(db: Database, now: datetime, age: timedelta) -> int:
    """Return how many users were last seen less than `age` ago."""
    return await count_seen_within(db[COLLECTION], now, age)
