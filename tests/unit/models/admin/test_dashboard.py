"""Test every figure of the dashboard, with documents at and just across each boundary."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.activity import events, presence, visits
from models.activity.events import Event, EventType
from models.activity.visits import Visitor
from models.admin.dashboard import Dashboard, Metrics
from models.base import incremental_counts
from models.base.indexes import ensure_indexes
from scoring.utc_days import last_days
from tests.support.embedded import embedded_database

Database = AsyncIOMotorDatabase[dict[str, Any]]
MS = timedelta(milliseconds=1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
VISITOR = Visitor("a" * 32, "b" * 32)
INDEXES = {
    visits.COLLECTION: visits.INDEXES,
    presence.COLLECTION: presence.INDEXES,
    events.COLLECTION: events.INDEXES,
}


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, INDEXES)
        yield db


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dashboard(db: Database) -> Dashboard:
    async def nothing() -> int:
        return 0

    return Dashboard(db, 5 * MINUTE, 10 * MINUTE, nothing)


async def read(db: Database, now: datetime) -> Metrics:
    return await dashboard(db).read(now)


async def visit(db: Database, *instants: datetime) -> str:
    """One visit seen at these instants."""
    id_ = str(ObjectId())
    for instant in instants:
        await visits.record_visits(db, {id_: VISITOR}, instant)
    return id_


async def event(db: Database, type_: EventType, *instants: datetime) -> None:
    for instant in instants:
        await events.insert_events(db, {ObjectId(): Event(type_, None, None)}, instant)


# --- visits ------------------------------------------------------------------------------


async def test_total_visits_are_the_rows(db: Database) -> None:
    for instant in (NOON - 400 * DAY, NOON - DAY, NOON - MINUTE, NOON):
        await visit(db, instant)
    await visit(db, NOON - DAY, NOON - HOUR, NOON)  # seen again, one row
    found = await read(db, NOON)
    assert found.total_visits == found.total_visitors == 5


async def test_visitors_now_were_seen_within_five_minutes(db: Database) -> None:
    edge = NOON - 5 * MINUTE
    await visit(db, edge - MS)
    await visit(db, edge)
    assert (await read(db, NOON)).visitors_now == 0
    await visit(db, edge + MS)
    await visit(db, NOON)
    await visit(db, NOON - DAY, NOON - 4 * MINUTE)
    assert (await read(db, NOON)).visitors_now == 3


async def test_a_visit_is_active_for_ten_minutes(db: Database) -> None:
    edge = NOON - 10 * MINUTE
    await visit(db, edge - MS)
    await visit(db, edge)
    assert (await read(db, NOON)).active_visits == 0
    await visit(db, edge + MS)
    await visit(db, edge - HOUR, NOON)
    found = await read(db, NOON)
    assert (found.active_visits, found.visitors_now) == (2, 1)


@pytest.mark.parametrize("midnight", ["2026-04-01", "2027-01-01", "2028-02-29", "2028-03-01"])
async def test_visitors_today_were_seen_on_this_utc_day(db: Database, midnight: str) -> None:
    since = at(midnight)
    for instant in (since - DAY - MS, since - DAY, since - MS):
        await visit(db, instant)
    assert (await read(db, since - MS)).visitors_today == 2
    assert (await read(db, since)).visitors_today == 0
    await visit(db, since)
    await visit(db, since - HOUR, since + MS)  # of the day before, and back
    await visit(db, since, since + 20 * HOUR)  # twice on this day
    for now in (since + MS, since + 9 * MINUTE, since + HOUR, since + DAY - MS):
        assert (await read(db, now)).visitors_today == 3
    await visit(db, since + DAY - MS)
    assert (await read(db, since + DAY - MS)).visitors_today == 4
    assert (await read(db, since + DAY)).visitors_today == 0


async def test_the_windows_are_those_that_are_set(db: Database) -> None:
    await visit(db, NOON - 3 * MINUTE)
    await presence.record_presence(db, {"ada": None}, NOON - 3 * MINUTE)
    narrow = Dashboard(db, 2 * MINUTE, 3 * MINUTE, dashboard(db).count_tracked)
    found = await narrow.read(NOON)
    assert (found.visitors_now, found.active_visits, found.active_users_now) == (0, 0, 0)


# --- presence ----------------------------------------------------------------------------


async def test_active_users_are_distinct_and_seen_within_five_minutes(db: Database) -> None:
    edge = NOON - 5 * MINUTE
    await presence.record_presence(db, {"ada": None}, edge - MS)
    await presence.record_presence(db, {"bob": None}, edge)
    assert (await read(db, NOON)).active_users_now == 0
    await presence.record_presence(db, {"cyd": None}, edge + MS)
    await presence.record_presence(db, {"ada": None, "cyd": None}, NOON)
    assert (await read(db, NOON)).active_users_now == 2


# --- events ------------------------------------------------------------------------------


async def test_without_anything_there_are_zeros(db: Database) -> None:
    found = await read(db, NOON)
    counts = found.model_dump(by_alias=True)
    assert [day["date"] for day in counts["activityByDay"]] == [
        f"2026-03-{day}" for day in range(25, 32)
    ]
    assert [day["date"] for day in counts["dailyActivity"]] == [
        day["date"] for day in counts["activityByDay"]
    ]
    assert [month["month"] for month in counts["monthlyLogins"]] == [
        *("2025-10", "2025-11", "2025-12", "2026-01", "2026-02", "2026-03")
    ]
    numbers = [
        value
        for part in ("activityByDay", "dailyActivity", "monthlyLogins")
        for row in counts[part]
        for value in row.values()
        if isinstance(value, int)
    ]
    assert set(numbers) == {0}
    assert len(numbers) == 7 * 2 + 7 * 3 + 6


@pytest.mark.parametrize("now", ["2026-03-31T12:00", "2028-03-01T00:00", "2027-01-01T23:59:59.999"])
async def test_activity_by_day_holds_seven_days(db: Database, now: str) -> None:
    today = at(now).replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - 6 * DAY
    await event(db, "login", first - MS, first, first + DAY - MS, first + DAY, today)
    await event(db, "signup", today - MS, today, at(now))
    await event(db, "action", today)
    found = (await read(db, at(now))).activity_by_day
    assert [day.logins for day in found] == [2, 1, 0, 0, 0, 0, 1]
    assert [day.signups for day in found] == [0, 0, 0, 0, 0, 1, 2]


async def test_daily_activity_tells_each_type(db: Database) -> None:
    today = at("2028-03-01")
    for type_ in ("login", "signup", "app_open", "action"):
        await event(db, type_, today - 6 * DAY - MS, today - DAY, today - MS)
    await event(db, "login", today)
    await event(db, "app_open", today, today + HOUR)
    await event(db, "action", today, today + HOUR, today + 2 * HOUR)
    found = (await read(db, today + 3 * HOUR)).daily_activity
    assert [(day.date, day.logins, day.app_opens, day.actions) for day in found[-2:]] == [
        ("2028-02-29", 2, 2, 2),
        ("2028-03-01", 1, 2, 3),
    ]
    assert sum(day.actions for day in found) == 5


@pytest.mark.parametrize(
    ("now", "first"),
    [
        ("2026-03-31T12:00", "2025-10-01"),
        ("2028-02-29T23:59:59.999", "2027-09-01"),
        ("2028-03-01T00:00", "2027-10-01"),
        ("2026-01-01T00:00", "2025-08-01"),
    ],
)
async def test_monthly_logins_hold_six_months(db: Database, now: str, first: str) -> None:
    month = at(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    await event(db, "login", at(first) - MS, at(first), month - MS, month, at(now))
    await event(db, "signup", month)
    found = (await read(db, at(now))).monthly_logins
    assert found[0].month == first[:7]
    assert [each.logins for each in found] == [1, 0, 0, 0, 1, 2]


# --- what is remembered comes out as if it were counted ------------------------------------


async def counted_in_python(db: Database, now: datetime) -> dict[str, Any]:
    """From all rows, with no help of ours."""
    seen = [row["last_seen_at"] for row in await db[visits.COLLECTION].find().to_list(None)]
    users = [row["last_seen_at"] for row in await db[presence.COLLECTION].find().to_list(None)]
    by_day: Counter[tuple[str, str]] = Counter()
    logins: Counter[str] = Counter()
    for row in await db[events.COLLECTION].find().to_list(None):
        by_day[f"{row['created_at']:%Y-%m-%d}", row["event_type"]] += 1
        logins[f"{row['created_at']:%Y-%m}"] += row["event_type"] == "login"
    days = [f"{now - DAY * back:%Y-%m-%d}" for back in range(6, -1, -1)]
    number = now.year * 12 + now.month - 1
    months = [f"{n // 12}-{n % 12 + 1:02}" for n in range(number - 5, number + 1)]
    return {
        "totalVisits": len(seen),
        "totalVisitors": len(seen),
        "visitorsNow": sum(each > now - 5 * MINUTE for each in seen),
        "visitorsToday": sum(each.date() == now.date() for each in seen),
        "activeVisits": sum(each > now - 10 * MINUTE for each in seen),
        "activeUsersNow": sum(each > now - 5 * MINUTE for each in users),
        "activityByDay": [
            {"date": d, "logins": by_day[d, "login"], "signups": by_day[d, "signup"]} for d in days
        ],
        "monthlyLogins": [{"month": m, "logins": logins[m]} for m in months],
        "dailyActivity": [
            {
                "date": d,
                "logins": by_day[d, "login"],
                "appOpens": by_day[d, "app_open"],
                "actions": by_day[d, "action"],
            }
            for d in days
        ],
    }


@pytest.mark.parametrize("seed", range(3))
async def test_it_is_the_same_as_counting_all_rows_at_any_time(db: Database, seed: int) -> None:
    """Days go by, over month ends and a leap day, with readings at odd moments between."""
    chance = random.Random(seed)
    now = at("2028-02-26T21:13") + timedelta(seconds=chance.randrange(86_400))
    known: list[str] = []
    steps = (MS, 40 * MS, MINUTE, 5 * MINUTE, 11 * MINUTE, HOUR, 7 * HOUR, 30 * HOUR)
    types: tuple[EventType, ...] = ("login", "signup", "app_open", "action")
    for _ in range(60):
        now += chance.choice(steps)
        if chance.random() < 0.2:  # to a boundary, or just across
            day = now.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
            now = max(now, day + chance.choice((-1, 0, 1)) * MS)
        for _ in range(chance.randrange(4)):
            known.append(await visit(db, now))
        for id_ in chance.sample(known, min(len(known), 2)):
            await visits.record_visits(db, {id_: VISITOR}, now)
        await presence.record_presence(db, {f"user{chance.randrange(5)}": None}, now)
        for type_ in chance.sample(types, chance.randrange(5)):
            await event(db, type_, now)
        if chance.random() < 0.5:
            found = (await read(db, now)).model_dump(by_alias=True)
            assert found == await counted_in_python(db, now)
    assert await db[incremental_counts.COLLECTION].count_documents({}) > 3


async def test_what_arrives_late_is_counted_while_it_may(db: Database) -> None:
    midnight = at("2026-04-01")
    await event(db, "login", midnight - MINUTE)
    await dashboard(db).cache_counts(midnight + 9 * MINUTE)
    await event(db, "login", midnight - MINUTE)  # nine minutes on its way
    assert (await read(db, midnight + HOUR)).activity_by_day[-2].logins == 2


async def test_settled_days_are_not_counted_again(db: Database) -> None:
    await event(db, "login", NOON - 2 * DAY, NOON - 40 * DAY)
    await visit(db, NOON - DAY)
    await dashboard(db).cache_counts(NOON)
    await db[events.COLLECTION].delete_many({})  # as retention does
    await db[visits.COLLECTION].delete_many({})
    found = await read(db, NOON + HOUR)
    assert [day.logins for day in found.activity_by_day] == [0, 0, 0, 0, 1, 0, 0]
    assert [month.logins for month in found.monthly_logins] == [0, 0, 0, 0, 1, 1]
    assert found.total_visits == 1


async def test_two_processes_that_remember_do_not_disturb_each_other(db: Database) -> None:
    await event(db, "login", *(NOON - n * 7 * MINUTE for n in range(20)))
    for now in (NOON, NOON - 30 * MINUTE, NOON + MINUTE):  # clocks apart, one behind
        await dashboard(db).cache_counts(now)
    assert (await read(db, NOON + HOUR)).activity_by_day[-1].logins == 20


async def test_what_was_forgotten_is_counted_anew(db: Database) -> None:
    await event(db, "login", NOON - DAY)
    await dashboard(db).cache_counts(NOON)
    await event(db, "login", NOON - DAY - HOUR)  # a row of the past
    assert (await read(db, NOON)).activity_by_day[-2].logins == 1
    yesterday = last_days(NOON, 2)[0]
    await events.forget_days(db, [yesterday])
    for _ in range(2):
        assert (await read(db, NOON + MINUTE)).activity_by_day[-2].logins == 2
    assert await events.complete_days(db, [yesterday]) == [yesterday]
    await db[events.COLLECTION].delete_many({})
    assert await events.complete_days(db, [yesterday]) == []


async def test_a_count_that_was_remembered_without_a_stamp_is_remembered_on(db: Database) -> None:
    await visit(db, NOON - DAY)
    await dashboard(db).cache_counts(NOON)
    await db[incremental_counts.COLLECTION].update_many({}, {"$unset": {"stamp": ""}})
    for hours in (1, 2):  # what gets a stamp is fenced from then on
        await visit(db, NOON + hours * HOUR - 30 * MINUTE)
        await dashboard(db).cache_counts(NOON + hours * HOUR)
        stored = await db[incremental_counts.COLLECTION].find_one(
            {"_id": "visits.first_seen_at/ever"}
        )
        assert stored is not None
        assert stored["counts"] == {"rows": 1 + hours}
        assert stored["until"] == NOON + hours * HOUR - 10 * MINUTE


@pytest.mark.parametrize("remembered_before", [False, True])
async def test_a_count_under_way_is_not_remembered_once_it_is_forgotten(
    db: Database, remembered_before: bool
) -> None:
    (day,) = last_days(NOON, 1)
    if remembered_before:
        await event(db, "login", NOON - 5 * HOUR)
        await dashboard(db).cache_counts(NOON - 4 * HOUR)

    async def slow(since: datetime, until: datetime) -> Counter[str]:
        """Meanwhile somebody adds a row, and says so."""
        await event(db, "login", NOON - HOUR)
        await events.forget_days(db, [day])
        return Counter(login=0)

    await incremental_counts.counted(db, events.COUNTED_AS, [day], slow, NOON)
    (count,) = await events.count_by_type(db, [day], NOON)
    rows = await db[events.COLLECTION].count_documents({})
    assert count["login"] == rows > 0
