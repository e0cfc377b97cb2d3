"""Presence: collection `user_presence`, one row for each user who ever sent a heartbeat."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from models.accounts.user_directory import note_users
from models.base.database import Database
from models.base.indexes import IndexSpec
from models.base.schema_types import milliseconds
from models.base.upserts import (
    count_seen_within,
    note_sightings,
)

COLLECTION = "user_presence"
INDEXES = (
    IndexSpec(
        keys=(("last_seen_at", 1),),
        query="users active now",
    ),
)


async def note_presence(db: Database, seen: Mapping[str, None], now: datetime) -> None:
    """Each of these users is there just now."""
    now = milliseconds(now)
    new = await note_sightings(
        db[COLLECTION],
        seen,
        again=[{"$set": {"last_seen_at": {"$max": ["$last_seen_at", now]}}}],
        first=lambda id_, _: {"_id": id_, "last_seen_at": now},
    )
    await note_users(db, new, now)


async def count_within(db: Database, now: datetime, age: timedelta) -> int:
    """Users last seen less than `age` ago."""
    return await count_seen_within(db[COLLECTION], now, age)
