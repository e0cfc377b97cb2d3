"""What is older than its retention is removed, and nothing else, in every kind of data."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase

from focusup.settings import Settings
from focusup.wiring.data import indexes_of
from models.base.database import Document
from models.base.indexes import ensure_indexes
from tests.support.embedded import embedded_database
from tests.support.mongod import replica_set_or_skip
from tests.support.requirements import mongodb_test_uri

KINDS = {
    "sessions": ("endedAt", "retention_days_sessions"),
    "page_views": ("startedAt", "retention_days_page_views"),
    "browser_sessions": ("startedAt", "retention_days_page_views"),
    "visitors": ("lastSeenAt", "retention_days_page_views"),
    "visitor_tallies": ("countedAt", "retention_days_page_views"),
    "visitor_sessions": ("last_seen_at", "retention_days_visits"),
    "user_presence": ("last_seen_at", "retention_days_presence"),
    "activity_events": ("created_at", "retention_days_events"),
}
ANONYMOUS = {"retention_days_page_views", "retention_days_visits", "retention_days_events"}
DAYS = 30
WITHIN_S = 120


@asynccontextmanager
async def expiring_database() -> AsyncIterator[AsyncIOMotorDatabase[Document]]:
    """Yield a database that removes what expires, as the one that tests share does not."""
    if mongodb_test_uri() is None:
        async with embedded_database() as db:
            yield db
        return
    with replica_set_or_skip(nodes=1) as replicas:
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(replicas.uri, tz_aware=True)
        await client.admin.command("setParameter", 1, ttlMonitorEnabled=True)
        yield client["retention"]
        client.close()


async def left(db: AsyncIOMotorDatabase[Document]) -> dict[str, set[str]]:
    return {
        collection: {row["what"] async for row in db[collection].find()} for collection in KINDS
    }


async def test_old_rows_of_every_kind_are_removed(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    instants = {
        "old": now - timedelta(days=DAYS, minutes=1),
        "young": now - timedelta(days=DAYS, minutes=-5),
        "never": None,  # a session that has not ended
    }
    settings = Settings(
        _env_file=None,
        retention_days_sessions=DAYS,
        retention_days_page_views=DAYS,
        retention_days_visits=DAYS,
        retention_days_presence=DAYS,
        retention_days_events=DAYS,
    )
    async with expiring_database() as db:
        await ensure_indexes(db, indexes_of(settings))
        for collection, (field, _) in KINDS.items():
            await db[collection].insert_many(
                [{"_id": ObjectId(), field: at, "what": what} for what, at in instants.items()]
            )
        for _ in range(WITHIN_S):
            rows = await left(db)
            if not any("old" in those for those in rows.values()):
                break
            await asyncio.sleep(1)
        assert rows == {collection: {"young", "never"} for collection in KINDS}


def expiring(settings: Settings) -> set[tuple[str, str, int]]:
    """Collections, fields and ages."""
    return {
        (name, spec.keys[0][0], spec.expire_after_s)
        for name, indexes in indexes_of(settings).items()
        for spec in indexes
        if spec.expire_after_s is not None
    }


@pytest.mark.parametrize("setting", sorted({setting for _, setting in KINDS.values()}))
def test_each_setting_is_of_its_own_kinds(setting: str) -> None:
    settings = Settings(_env_file=None, **{setting: DAYS})  # type: ignore[arg-type]
    added = expiring(settings) - expiring(Settings(_env_file=None))
    assert added == {(name, at, DAYS * 86_400) for name, (at, of) in KINDS.items() if of == setting}


def test_what_learners_track_is_kept_and_anonymous_data_for_400_days_unless_it_is_set() -> None:
    kept = {name: age for name, _, age in expiring(Settings(_env_file=None)) if name in KINDS}
    anonymous = {name for name, (_, of) in KINDS.items() if of in ANONYMOUS}
    assert kept == dict.fromkeys(anonymous, 400 * 86_400)
