"""Indexes are made once, and made anew when they are not as they should be."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError

from focusup.database import open_database
from focusup.settings import Settings
from focusup.wiring.data import INDEXES, indexes_of, prepare
from models.base.indexes import IndexSpec, ensure_indexes, with_retention
from tests.support.embedded import embedded_database
from tests.support.requirements import embedded_only


async def test_making_them_again_makes_nothing(tmp_path: Path) -> None:
    async with embedded_database(tmp_path) as db:
        assert await ensure_indexes(db, INDEXES) is True
        assert await ensure_indexes(db, INDEXES) is False
        for collection, specs in INDEXES.items():
            found = await db[collection].index_information()
            assert set(found) == {"_id_", *(spec.name for spec in specs)}


async def test_one_with_other_options_is_made_anew(tmp_path: Path) -> None:
    async with embedded_database(tmp_path) as db:
        await db["things"].create_index([("email", 1)], name="email_1")
        spec = IndexSpec(keys=(("email", 1),), query="find by e-mail", unique=True)
        assert await ensure_indexes(db, {"things": [spec]}) is True
        await db["things"].insert_one({"email": "a"})
        with pytest.raises(DuplicateKeyError):
            await db["things"].insert_one({"email": "a"})


async def test_options_outlive_a_kill_right_after_they_were_made(tmp_path: Path) -> None:
    embedded_only("SecantusDB is killed before its first checkpoint")
    opened = await open_database(uri=None, name="focusup", data_dir=tmp_path)
    try:
        await prepare(opened)
        before = await opened.db["users"].index_information()
        os.kill(int((tmp_path / "secantusdb.pid").read_text()), signal.SIGKILL)
        await asyncio.sleep(1)
        assert await opened.db["users"].index_information() == before
        assert before["email_1"]["unique"] is True
    finally:
        await opened.close()


async def ttl_of(db: Any, collection: str) -> dict[str, Any]:
    found = await db[collection].index_information()
    return {name: index.get("expireAfterSeconds") for name, index in found.items()}


async def test_a_retention_that_is_set_changed_and_unset(tmp_path: Path) -> None:
    async with embedded_database(tmp_path) as db:
        for days in (None, 30, 90, None):
            settings = Settings(
                _env_file=None, retention_days_visits=days or 0, retention_days_events=0
            )
            await ensure_indexes(db, indexes_of(settings))
            assert await ensure_indexes(db, indexes_of(settings)) is False
            expected = None if days is None else days * 86_400
            found = await ttl_of(db, "visitor_sessions")
            assert found["last_seen_at_1"] == expected
            assert [value for value in found.values() if value] == [expected] * bool(days)
            assert not any((await ttl_of(db, "activity_events")).values())


async def test_a_ttl_index_that_is_no_longer_wanted_is_dropped(tmp_path: Path) -> None:
    ours = IndexSpec(keys=(("at", 1),), query="by time", expire_after_s=60)
    other = IndexSpec(keys=(("name", 1),), query="by name")
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, {"things": [ours, other]})
        await db["things"].create_index([("colour", 1)])  # an operator's own
        await ensure_indexes(db, {"things": [other]})
        assert await ttl_of(db, "things") == {"_id_": None, "name_1": None, "colour_1": None}


def test_a_retention_makes_the_index_of_its_field_expire_or_adds_one() -> None:
    by_at = IndexSpec(keys=(("at", 1),), query="by time")
    by_name = IndexSpec(keys=(("name", 1),), query="by name")
    specs = {"things": (by_at, by_name), "others": (by_name,)}
    kept = {("things", "at"): 2, ("others", "at"): 3, ("new", "at"): 4, ("things", "name"): None}
    found = with_retention(specs, kept)
    ages = {
        (collection, spec.name): spec.expire_after_s
        for collection, indexes in found.items()
        for spec in indexes
    }
    assert ages == {
        ("things", "at_1"): 2 * 86_400,
        ("things", "name_1"): None,
        ("others", "name_1"): None,
        ("others", "at_1"): 3 * 86_400,
        ("new", "at_1"): 4 * 86_400,
    }
