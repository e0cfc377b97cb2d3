"""Test that visits and presence have one document each, whose last instant never goes back."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase
from pydantic import ValidationError

from models.accounts import user_directory
from models.activity import presence, visits
from models.activity.visits import TrackVisit, Visitor, VisitorHashes
from models.base.upserts import note_sightings
from tests.support.embedded import embedded_database

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
Database = AsyncIOMotorDatabase[dict[str, Any]]
ADA, BOB = Visitor("1" * 32, "2" * 32), Visitor("3" * 32, "4" * 32)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        yield db


async def row(db: Database, id_: str) -> dict[str, Any]:
    found = await db[visits.COLLECTION].find_one({"_id": id_})
    assert found is not None
    return found


async def test_a_visit_is_one_row_and_a_second_call_only_touches_it(db: Database) -> None:
    await visits.record_visits(db, {"v": ADA}, NOW)
    first = await row(db, "v")
    assert first == {
        "_id": "v",
        "first_seen_at": NOW,
        "last_seen_at": NOW,
        "day_seen_at": NOW,
        "ip_hash": ADA.ip_hash,
        "ua_hash": ADA.ua_hash,
    }
    await visits.record_visits(db, {"v": BOB}, NOW + SECOND)
    assert await row(db, "v") == {**first, "last_seen_at": NOW + SECOND}
    assert await db[visits.COLLECTION].count_documents({}) == 1


async def test_it_never_goes_back(db: Database) -> None:
    for instant in (NOW, NOW - SECOND, NOW - timedelta(days=2)):
        await visits.record_visits(db, {"v": ADA}, instant)
        await presence.record_presence(db, {"u": None}, instant)
    assert (await row(db, "v"))["last_seen_at"] == NOW
    assert (await row(db, "v"))["day_seen_at"] == NOW
    user = await db[presence.COLLECTION].find_one({"_id": "u"})
    assert user == {"_id": "u", "last_seen_at": NOW}


async def test_known_and_new_ones_are_noted_together(db: Database) -> None:
    await visits.record_visits(db, {f"{n}": ADA for n in range(0, 600, 2)}, NOW)
    await visits.record_visits(db, {f"{n}": BOB for n in range(600)}, NOW + SECOND)
    rows = await db[visits.COLLECTION].find().to_list(None)
    assert len(rows) == 600
    assert {each["last_seen_at"] for each in rows} == {NOW + SECOND}
    assert sum(each["first_seen_at"] == NOW for each in rows) == 300


async def test_one_that_another_server_inserts_meanwhile_is_seen_as_well(db: Database) -> None:
    collection = db["rows"]

    def first(id_: str, _: None) -> dict[str, Any]:
        return {"_id": id_, "last_seen_at": NOW}

    again = [{"$set": {"last_seen_at": NOW}}]
    await collection.insert_one({"_id": "b", "last_seen_at": NOW - SECOND})

    class Blind:
        """Does not see what is there yet, as a read before the other's write would not."""

        def __init__(self) -> None:
            self.updates = 0

        async def update_many(self, *arguments: Any) -> Any:
            self.updates += 1
            if self.updates == 1:
                return await collection.update_many({"_id": {"$in": []}}, again)
            return await collection.update_many(*arguments)

        def find(self, *_: Any) -> Any:
            return collection.find({"_id": {"$in": []}})

        def __getattr__(self, name: str) -> Any:
            return getattr(collection, name)

    blind: Any = Blind()
    seen = dict.fromkeys("abc")
    assert await note_sightings(blind, seen, again=again, first=first) == ["a", "c"]
    rows = await collection.find().to_list(None)
    assert {each["_id"]: each["last_seen_at"] for each in rows} == dict.fromkeys("abc", NOW)


async def test_who_sends_a_heartbeat_is_known(db: Database) -> None:
    await presence.record_presence(db, {"ada": None, "bob": None}, NOW)
    await presence.record_presence(db, {"ada": None}, NOW + SECOND)
    rows = await db[user_directory.COLLECTION].find().to_list(None)
    assert {each["_id"]: each["first_seen_at"] for each in rows} == {"ada": NOW, "bob": NOW}


# --- ids and hashes --------------------------------------------------------------------------


@pytest.mark.parametrize("id_", ["x", "x" * 128, "a b", "~!$.{}"])
def test_printable_ids_are_taken(id_: str) -> None:
    assert TrackVisit(session_id=id_).session_id == id_


@pytest.mark.parametrize("id_", ["", "x" * 129, "a\n", "a\tb", "\0", "é", "\x7f", 7, None])
def test_others_are_refused(id_: Any) -> None:
    with pytest.raises(ValidationError):
        TrackVisit(session_id=id_)


def test_hashes_are_keyed_and_the_same_again() -> None:
    hashes = VisitorHashes("s" * 32)
    ada = hashes.visitor("203.0.113.7", "Browser/1.0")
    assert ada == hashes.visitor("203.0.113.7", "Browser/1.0")
    assert all(len(part) == 32 and int(part, 16) for part in ada)
    other = VisitorHashes("t" * 32).visitor("203.0.113.7", "Browser/1.0")
    assert not set(ada) & set(other)
    same_text = hashes.visitor("x", "x")
    assert same_text.ip_hash != same_text.ua_hash
    assert hashes.visitor("", "\udcff").ua_hash  # whatever a header holds
