"""Test that numbers of beacons are accepted only as far as time has passed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.base.errors import Conflict, TooMany
from models.pageviews.beacons import (
    Beacons,
    Engagement,
    Sender,
    StoredEngagement,
    accepted_changes,
    view_id_of,
)
from models.pageviews.page_view import BEACON_LIFE, PAGES, page_views
from models.pageviews.visitors import VISITORS, Arrival, arrive
from tests.support.embedded import embedded_database
from tests.support.views import a_view, is_open

Database = AsyncIOMotorDatabase[dict[str, Any]]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ADA, BOB = "a" * 32, "b" * 32


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        yield db


def beacons_of(db: Database, *, full: bool = False) -> Beacons:
    def admit(said: Engagement, visitor_id: str, address: str, user_id: str | None) -> str:
        if full:
            raise TooMany("too_much_stored", "Too much was stored.", retry_after_s=60)
        return said.page

    async def arriving(visitor_id: str, user_id: str | None, user_agent: str) -> Arrival:
        return await arrive(
            db,
            visitor_id,
            user_id=user_id,
            user_agent=user_agent,
            is_open=lambda view: False,
            now=NOW,
        )

    return Beacons(db, arrive=arriving, admit=admit, coefficient=lambda page: 2.0)


def said(sequence: int, visible: int, engaged: int, view: str = "v1") -> Engagement:
    return Engagement(
        view=view,
        sequence=sequence,
        page="/home",
        visible_seconds=visible,
        engaged_seconds=engaged,
    )


async def take(
    beacons: Beacons, engagement: Engagement, after_s: float = 0, visitor: str = ADA
) -> StoredEngagement:
    return await beacons.store(
        engagement,
        Sender(visitor, user_id=None, user_agent="Browser/1", address=""),
        NOW + timedelta(seconds=after_s),
    )


def numbers(stored: StoredEngagement) -> tuple[int, int, int]:
    return stored.sequence, stored.visible_seconds, stored.engaged_seconds


async def test_the_first_call_begins_the_view_with_nothing(db: Database) -> None:
    stored = await take(beacons_of(db), said(3, 50, 40))
    assert numbers(stored) == (3, 0, 0)
    view = await page_views(db).find_one({"_id": stored.view_id})
    assert view is not None
    assert (view["visitorId"], view["source"], view["owner"]) == (ADA, "beacon", None)
    assert (view["page"], view["startedAt"], view["endedAt"]) == ("/home", NOW, None)
    assert (view["attentionCoefficient"], view["previousViewId"]) == (2.0, None)
    visitor = await db[VISITORS].find_one({"_id": ADA})
    assert visitor is not None
    assert visitor["lastViewId"] == stored.view_id
    assert await db[PAGES].find_one({"_id": "/home"}) is not None


async def test_a_later_call_replaces_as_far_as_time_has_passed(db: Database) -> None:
    beacons = beacons_of(db)
    await take(beacons, said(0, 0, 0))
    assert numbers(await take(beacons, said(1, 10, 8), 10)) == (1, 10, 8)
    assert numbers(await take(beacons, said(2, 500, 500), 12.5)) == (2, 12, 10)
    assert numbers(await take(beacons, said(3, 500, 500), 13)) == (3, 13, 11)
    assert numbers(await take(beacons, said(4, 12, 12), 20)) == (4, 12, 12)


async def test_an_old_call_and_the_same_again_change_nothing(db: Database) -> None:
    beacons = beacons_of(db)
    await take(beacons, said(0, 0, 0))
    await take(beacons, said(5, 10, 8), 10)
    for sequence in (5, 4, 0):
        assert numbers(await take(beacons, said(sequence, 15, 15), 30)) == (5, 10, 8)


async def test_a_view_takes_calls_only_so_long(db: Database) -> None:
    beacons = beacons_of(db)
    await take(beacons, said(0, 0, 0))
    life_s = BEACON_LIFE.total_seconds()
    assert numbers(await take(beacons, said(1, 5, 5), life_s - 1)) == (1, 5, 5)
    assert numbers(await take(beacons, said(2, 6, 6), life_s)) == (1, 5, 5)


async def test_views_are_told_apart_by_visitor_and_key(db: Database) -> None:
    beacons = beacons_of(db)
    first = await take(beacons, said(0, 0, 0))
    second = await take(beacons, said(0, 0, 0, "v2"))
    of_bob = await take(beacons, said(0, 0, 0), visitor=BOB)
    assert len({first.view_id, second.view_id, of_bob.view_id}) == 3
    view = await page_views(db).find_one({"_id": second.view_id})
    assert view is not None
    assert view["previousViewId"] == first.view_id


async def test_a_view_by_socket_is_never_touched(db: Database) -> None:
    view = a_view(NOW, **is_open()) | {"_id": view_id_of(ADA, "v1")}
    await page_views(db).insert_one(view)
    with pytest.raises(Conflict) as refused:
        await take(beacons_of(db), said(1, 5, 5), 10)
    assert refused.value.code == "not_a_beacon"
    assert await page_views(db).find_one({"_id": view["_id"]}) == view


async def test_a_view_beyond_a_budget_is_not_stored(db: Database) -> None:
    with pytest.raises(TooMany):
        await take(beacons_of(db, full=True), said(0, 0, 0))
    assert await page_views(db).count_documents({}) == 0


async def test_calls_at_once_count_once(db: Database) -> None:
    here, there = beacons_of(db), beacons_of(db)
    await asyncio.gather(*(take(each, said(0, 0, 0)) for each in (here, there) * 3))
    assert await page_views(db).count_documents({}) == 1
    calls = [take(each, said(n, 20, 20), 10) for n in range(1, 6) for each in (here, there)]
    await asyncio.gather(*calls)
    assert numbers(await take(here, said(0, 0, 0), 10)) == (5, 10, 10)


@given(
    st.lists(
        st.tuples(st.integers(0, 10), st.integers(0, 90), st.integers(0, 90), st.floats(0, 20)),
        max_size=20,
    )
)
def test_no_more_is_believed_than_time_has_passed(
    calls: list[tuple[int, int, int, float]],
) -> None:
    counters = {"visibleSeconds": 0, "engagedSeconds": 0}
    view: dict[str, Any] = {"startedAt": NOW, "calledAt": NOW, "sequence": 0, **counters}
    now = NOW
    for sequence, visible, engaged, passed_s in calls:
        now += timedelta(seconds=passed_s)
        before = view
        view = view | accepted_changes(view, said(sequence, visible, engaged), now)
        assert 0 <= view["engagedSeconds"] <= view["visibleSeconds"]
        assert view["visibleSeconds"] <= (now - NOW) // SECOND
        assert view["sequence"] >= before["sequence"]
        assert NOW <= view["calledAt"] <= now
