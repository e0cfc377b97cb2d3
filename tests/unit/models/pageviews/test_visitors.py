"""Test keys of visitors, and which views belong to one browser session."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.base.indexes import ensure_indexes
from models.pageviews import visitors
from models.pageviews.page_view import new_view, page_views
from models.pageviews.visitors import GAP, Arrival, LatestView, VisitorKeys, arrive
from tests.support.embedded import embedded_database

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEYS = VisitorKeys("a secret of at least 32 bytes....")
Database = AsyncIOMotorDatabase[dict[str, Any]]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, visitors.INDEXES)
        yield db


def test_a_key_names_its_visitor() -> None:
    key = KEYS.new()
    visitor_id = KEYS.read(key)
    assert visitor_id is not None
    assert KEYS.key_of(visitor_id) == key
    assert KEYS.new() != key


def test_the_key_of_another_secret_names_nobody() -> None:
    assert KEYS.read(VisitorKeys("another secret of at least 32 bytes").new()) is None


@given(st.text(max_size=80), st.integers(0, 64))
def test_no_other_text_names_anybody(text: str, at: int) -> None:
    key = KEYS.key_of("0" * 32)
    assert KEYS.read(text) is None
    changed = key[:at] + ("1" if key[at] != "1" else "2") + key[at + 1 :]
    assert KEYS.read(changed) is None


async def come(
    db: Database, after: timedelta, *, user: str | None = None, is_open: bool = False
) -> Arrival:
    return await arrive(
        db,
        "v",
        user_id=user,
        user_agent="Mozilla",
        is_open=lambda _: is_open,
        now=NOW + after,
    )


async def view(db: Database, arrival: Arrival, *, ended_after: timedelta | None) -> ObjectId:
    id_ = ObjectId()
    document = new_view(
        view_id=id_,
        visitor_id="v",
        user_id=None,
        browser_session_id=arrival.browser_session_id,
        page="/a",
        params={},
        title=None,
        previous_view_id=None,
        source="socket",
        coefficient=1.0,
        visible=True,
        stamp="p.1",
        owner=None if ended_after is not None else "p",
        now=NOW,
    )
    if ended_after is not None:
        document["endedAt"] = NOW + ended_after
    await page_views(db).insert_one(document)
    latest = {"v": LatestView(id_, arrival.browser_session_id)}
    await visitors.record_latest_views(db, latest, NOW)
    return id_


@pytest.mark.parametrize(("gap", "same"), [(GAP, True), (GAP + timedelta(seconds=1), False)])
async def test_a_gap_of_more_than_30_minutes_begins_a_session(
    db: Database, gap: timedelta, same: bool
) -> None:
    first = await come(db, timedelta())
    assert first.last_view_id is None
    long = timedelta(hours=2)
    seen = await view(db, first, ended_after=long)
    second = await come(db, long + gap)
    assert (second.browser_session_id == first.browser_session_id) is same
    assert second.last_view_id == (seen if same else None)
    assert await db["browser_sessions"].count_documents({"visitorId": "v"}) == (1 if same else 2)


async def test_a_view_that_is_still_open_leaves_no_gap(db: Database) -> None:
    first = await come(db, timedelta())
    await view(db, first, ended_after=None)
    much_later = timedelta(days=1)
    assert (await come(db, much_later, is_open=True))[2] == first.browser_session_id
    assert (await come(db, 2 * much_later, is_open=False))[2] != first.browser_session_id


async def test_a_visitor_stays_joined_to_the_user(db: Database) -> None:
    assert (await come(db, timedelta())).user_id is None
    assert (await come(db, timedelta(), user="ada")).user_id == "ada"
    assert (await come(db, timedelta())).user_id == "ada"
    found = await visitors.find_visitor(db, "v")
    assert found is not None
    assert (found["userId"], found["firstSeenAt"]) == ("ada", NOW)
