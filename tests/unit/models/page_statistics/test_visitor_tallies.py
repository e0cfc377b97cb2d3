"""Test that each view counts once in a visitor's sums, whenever they are requested."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.page_statistics import visitor_tallies
from models.page_statistics.visitor_tallies import (
    WITHOUT_USER,
    Tally,
    owner_key,
    tally_of,
    user_key,
)
from models.pageviews.page_view import page_views
from tests.support.views import a_view, is_open

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VISITOR = "a" * 32

hours = st.floats(0, 24 * 9, allow_nan=False)
views_of_it = st.lists(
    st.tuples(
        hours,
        st.sampled_from([None, "ada", "bob"]),
        st.integers(0, 9),
        st.sampled_from(["over", "open", "beacon"]),
    ),
    max_size=25,
)


def naive(views: list[dict[str, Any]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for view in views:
        found[owner_key(VISITOR, view)] += view["visibleSeconds"]
    return {key: seconds for key, seconds in found.items() if seconds}


def told(tally: Tally) -> dict[str, int]:
    return {key: sums.visible_seconds for key, sums in tally.items() if sums.visible_seconds}


@settings(max_examples=60, deadline=None)
@given(views_of_it, st.lists(hours, min_size=1, max_size=4), st.integers(1, 8))
async def test_a_stored_tally_and_the_rest_are_all_views(
    made: list[tuple[float, str | None, int, str]], asked: list[float], store_after: int
) -> None:
    db: AsyncIOMotorDatabase[dict[str, Any]] = AsyncMongoMockClient(tz_aware=True)["focusup"]
    views = []
    for after, user, visible, kind in sorted(made, key=lambda each: each[0]):
        fields = {"over": {}, "open": is_open("alive"), "beacon": {"source": "beacon"}}[kind]
        if kind == "beacon":
            fields = {**fields, "endedAt": None}
        at = NOW + timedelta(milliseconds=round(after * 3_600_000))
        views.append(a_view(at, visitor=VISITOR, user=user, visible=visible, **fields))
    stored = 0
    for after in sorted(asked):
        now = NOW + timedelta(hours=after)
        while stored < len(views) and views[stored]["startedAt"] <= now:
            await page_views(db).insert_one(views[stored])
            stored += 1
        # What is not over may still grow.
        for view in views[:stored]:
            age = now - view["startedAt"]
            if view["endedAt"] is None and age < timedelta(hours=12):
                view["visibleSeconds"] += 1
                await page_views(db).replace_one({"_id": view["_id"]}, view)
        before, visitor_tallies.STORE_AFTER_VIEWS = visitor_tallies.STORE_AFTER_VIEWS, store_after
        try:
            found = await tally_of(
                db, VISITOR, first_seen=NOW, is_alive=lambda owner: owner == "alive", now=now
            )
        finally:
            visitor_tallies.STORE_AFTER_VIEWS = before
        assert told(found) == naive(views[:stored])


async def test_a_tally_names_no_user_and_settled_views_are_not_read_again() -> None:
    db: AsyncIOMotorDatabase[dict[str, Any]] = AsyncMongoMockClient(tz_aware=True)["focusup"]
    await page_views(db).insert_many(
        [a_view(NOW, visitor=VISITOR, user=user) for user in ("ada", None)]
    )
    later = NOW + timedelta(days=2)
    first = await tally_of(db, VISITOR, first_seen=NOW, is_alive=lambda _: False, now=later)
    assert set(first) == {WITHOUT_USER, user_key(VISITOR, "ada")}
    stored = await db[visitor_tallies.COLLECTION].find_one({"_id": VISITOR})
    assert "ada" not in str(stored)
    await page_views(db).delete_many({})
    again = await tally_of(db, VISITOR, first_seen=NOW, is_alive=lambda _: False, now=later)
    assert again == first
