"""Test that statistics, from rollups or views, equal a plain walk over all views."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase

from models.base.errors import Invalid
from models.base.indexes import ensure_indexes
from models.page_statistics import rollups as rollup_module
from models.page_statistics.day_tally import ABANDONED_AFTER, DAY, DEAD_AFTER, STORED_WITHIN
from models.page_statistics.reports import (
    PagesQuery,
    PagesReport,
    StatsRange,
    ViewStats,
    choose_sources,
)
from models.page_statistics.rollup_job import ClosedPeriods
from models.page_statistics.rollups import COLLECTION as ROLLUPS
from models.page_statistics.rollups import (
    FIRST,
    close_period,
    complete_days,
    day_id,
    find_closed,
    lower_first_day,
    read_breakdown,
    reopen,
    reopen_stamp,
    rollups,
)
from models.page_statistics.statistics import FRESH_FOR, PageStats
from models.pageviews.page_view import BEACON_LIFE, COLLECTION, INDEXES, page_views
from models.pageviews.visitors import VISITORS
from scoring.tallies import Breakdown, Tally
from tests.support.embedded import embedded_database
from tests.support.views import SECOND, View, a_view, began, is_open, naive

Database = AsyncIOMotorDatabase[dict[str, Any]]
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
NOON = MIDNIGHT + timedelta(hours=12)
ALIVE = "alive"


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with embedded_database(tmp_path) as db:
        await ensure_indexes(db, {COLLECTION: INDEXES})
        yield db


def is_alive(owner: str) -> bool:
    return owner == ALIVE


def periods_of(db: Database) -> ClosedPeriods:
    return ClosedPeriods(db, is_alive=is_alive, pause_s=0)


def stats_of(db: Database, periods: ClosedPeriods | None = None) -> PageStats:
    return PageStats(db, periods or periods_of(db), is_alive=is_alive)


def asked(first: date, end: date, **fields: Any) -> PagesQuery:
    return PagesQuery(from_=first, to=end, **fields)


def assert_is(found: ViewStats, views: list[View]) -> None:
    expected = naive(views)
    for name in ("visible_seconds", "engaged_seconds"):
        of_median = expected[name]["median"]
        median = getattr(found, name).median
        assert median == (None if of_median is None else pytest.approx(of_median, rel=0.01))
        expected[name]["median"] = median
    assert found.model_dump(by_alias=False, include=set(ViewStats.model_fields)) == expected


def assert_report(report: PagesReport, views: list[View], first: date, end: date) -> None:
    wanted = began(views, first, end)
    assert_is(report.total, wanted)
    assert {row.page for row in report.pages} == {view["page"] for view in wanted}
    for row in report.pages:
        assert_is(row, [view for view in wanted if view["page"] == row.page])
    ranks = [(-row.visible_seconds.total, row.page) for row in report.pages]
    assert ranks == sorted(ranks)
    step = DAY if len(report.series) == (end - first).days else timedelta(hours=1)
    for moment in report.series:
        inside = [v for v in wanted if moment.at <= v["startedAt"] < moment.at + step]
        assert_is(moment, inside)


def random_views(seed: int, first: datetime, end: datetime, number: int) -> list[View]:
    chance = random.Random(seed)
    span_s = int((end - first).total_seconds())
    found = []
    for _ in range(number):
        visible = chance.choice((0, chance.randrange(1, 120), chance.randrange(1, 20_000)))
        found.append(
            a_view(
                first + timedelta(seconds=chance.randrange(span_s)),
                page=f"/{chance.randrange(12)}",
                visitor=f"{chance.randrange(60):032x}",
                visible=visible,
                engaged=chance.randint(0, visible),
            )
        )
    return found


async def test_rolled_up_and_read_are_the_same_as_a_walk(db: Database) -> None:
    first, today = date(2026, 1, 20), date(2026, 4, 10)
    end = today + DAY
    now = datetime(2026, 4, 10, 9, tzinfo=UTC)
    views = random_views(1, datetime(2026, 1, 20, 7, tzinfo=UTC), now, 2500)
    await page_views(db).insert_many(views)
    raw, closed = stats_of(db), periods_of(db)
    assert await closed.close_due(lambda: now) == (today - first).days + 3  # three months
    assert closed.is_closed("2026-02")
    assert not closed.is_closed("2026-04")
    for begin, end in (
        (first, today + DAY),
        (first, date(2026, 4, 1)),
        (date(2026, 1, 30), date(2026, 4, 3)),
        (date(2026, 2, 1), date(2026, 3, 1)),
        (date(2025, 12, 1), date(2026, 1, 21)),
        (date(2026, 4, 9), date(2026, 6, 1)),
        (date(2025, 1, 1), date(2025, 1, 3)),
    ):
        query = asked(begin, end, limit=100)
        assert_report(await stats_of(db, closed).pages(query, now), views, begin, end)
    end = today + DAY
    begin = date(2026, 4, 1)
    query = asked(begin, end, by="hour", limit=100)
    assert_report(await stats_of(db, closed).pages(query, now), views, begin, end)
    # Nothing is read twice: neither the job nor another process closes them again.
    assert await closed.close_due(lambda: now) == 0
    assert await periods_of(db).close_due(lambda: now) == 0
    begin = date(2026, 4, 8)
    query = asked(begin, end, limit=100)
    assert_report(await raw.pages(query, now), views, begin, end)


async def test_a_view_belongs_to_the_day_in_which_it_began(db: Database) -> None:
    before = a_view(MIDNIGHT - timedelta(milliseconds=1), visible=300, engaged=300)
    at = a_view(MIDNIGHT, page="/other")
    await page_views(db).insert_many([before, at])
    periods, now = periods_of(db), MIDNIGHT + DAY + STORED_WITHIN
    assert await periods.close_due(lambda: now) == 3  # two days and February
    for first, views in ((date(2026, 2, 28), [before]), (date(2026, 3, 1), [at])):
        report = await stats_of(db, periods).pages(asked(first, first + DAY), now)
        assert_report(report, views, first, first + DAY)
        assert [moment.at.date() for moment in report.series] == [first]


async def test_a_day_with_an_open_view_is_not_closed(db: Database) -> None:
    across = a_view(MIDNIGHT - 10 * SECOND, visible=0, engaged=0, **is_open())
    await page_views(db).insert_one(across)
    periods, now = periods_of(db), MIDNIGHT + STORED_WITHIN
    stats = stats_of(db, periods)
    yesterday = asked(date(2026, 2, 28), date(2026, 3, 1))
    assert await periods.close_due(lambda: now) == 0
    assert (await stats.pages(yesterday, now)).total.never_visible == 1

    counted = {"visibleSeconds": 40, "engagedSeconds": 30, "updatedAt": now}
    await page_views(db).update_one({"_id": across["_id"]}, {"$set": counted})
    now += FRESH_FOR
    report = await stats.pages(yesterday, now)
    assert (report.total.never_visible, report.total.visible_seconds.total) == (0, 40)
    assert await periods.close_due(lambda: now) == 0

    ended = {"visibleSeconds": 50, "endedAt": now, "status": "ended", "owner": None}
    await page_views(db).update_one({"_id": across["_id"]}, {"$set": ended})
    now += FRESH_FOR
    assert await periods.close_due(lambda: now) == 2  # the day, and its month
    report = await stats.pages(yesterday, now)
    assert_report(report, [{**across, **counted, **ended}], date(2026, 2, 28), date(2026, 3, 1))


@pytest.mark.parametrize(
    ("fields", "closed_after"),
    [
        ({"owner": "dead"}, STORED_WITHIN),
        ({"owner": ALIVE}, ABANDONED_AFTER),
        ({"owner": None}, STORED_WITHIN),
        ({"owner": None, "source": "beacon"}, BEACON_LIFE),
    ],
)
async def test_a_view_without_an_end(db: Database, fields: View, closed_after: timedelta) -> None:
    view = a_view(MIDNIGHT - SECOND, **{**is_open(), **fields})
    await page_views(db).insert_one(view | {"updatedAt": MIDNIGHT})
    too_early = MIDNIGHT + closed_after - 2 * SECOND
    periods = periods_of(db)
    await periods.close_due(lambda: too_early)
    assert not periods.is_closed("2026-02-28")
    due = MIDNIGHT + closed_after
    await periods.close_due(lambda: due)
    assert periods.is_closed("2026-02-28")
    assert periods.is_closed("2026-02")


async def test_a_view_of_a_dead_process_waits_until_it_is_silent(db: Database) -> None:
    now = MIDNIGHT + STORED_WITHIN
    silent_since = now - DEAD_AFTER + SECOND
    view = a_view(MIDNIGHT - SECOND, **is_open("dead"))
    await page_views(db).insert_one(view | {"updatedAt": silent_since})
    periods = periods_of(db)
    assert await periods.close_due(lambda: now) == 0
    assert await periods.close_due(lambda: now + SECOND) == 2


async def test_views_are_read_on_and_each_counts_once(db: Database) -> None:
    stats, now, views = stats_of(db), NOON, []
    today = asked(date(2026, 3, 1), date(2026, 3, 2), limit=100)
    chance = random.Random(7)
    for _ in range(30):
        fresh = random_views(chance.randrange(10**6), now - FRESH_FOR, now + SECOND, 8)
        for view in fresh[:4]:
            view.update(is_open())
        await page_views(db).insert_many(fresh)
        views += fresh
        for view in chance.sample(views, 5):
            if view["endedAt"] is None:
                view.update(visibleSeconds=view["visibleSeconds"] + 5, updatedAt=now)
                view.update({"endedAt": now} if chance.random() < 0.5 else {})
                await page_views(db).replace_one({"_id": view["_id"]}, view)
        report = await stats.pages(today, now)
        assert report.as_of == now
        assert_report(report, views, date(2026, 3, 1), date(2026, 3, 2))
        now += FRESH_FOR * chance.choice((1, 1, 3))


async def test_it_says_as_of_when_it_is_kept_for_some_seconds(db: Database) -> None:
    await page_views(db).insert_one(a_view(NOON - SECOND))
    stats, query = stats_of(db), StatsRange()
    assert (await stats.users(query, NOON)).views == 1
    await page_views(db).insert_one(a_view(NOON))
    report = await stats.users(query, NOON + FRESH_FOR - SECOND)
    assert (report.views, report.as_of) == (1, NOON)
    report = await stats.users(query, NOON + FRESH_FOR)
    assert (report.views, report.as_of) == (2, NOON + FRESH_FOR)


async def test_a_deleted_open_view_is_gone(db: Database) -> None:
    view = a_view(NOON - SECOND, **is_open())
    await page_views(db).insert_one(view)
    stats = stats_of(db)
    assert (await stats.users(StatsRange(), NOON)).views == 1
    await page_views(db).delete_one({"_id": view["_id"]})
    assert (await stats.users(StatsRange(), NOON + FRESH_FOR)).views == 0


@pytest.mark.parametrize("closed", [False, True])
async def test_a_user_is_who_the_visitor_is_joined_to(db: Database, closed: bool) -> None:
    ada_at_home, ada_at_work, stranger = "a" * 32, "b" * 32, "c" * 32
    await db[VISITORS].insert_many(
        [{"_id": ada_at_home, "userId": "ada"}, {"_id": stranger, "userId": None}]
    )
    await page_views(db).insert_many(
        [
            a_view(MIDNIGHT, visitor=ada_at_home, visible=10, engaged=4),  # before she logged in
            a_view(MIDNIGHT, visitor=ada_at_home, user="ada", visible=20, engaged=4),
            a_view(MIDNIGHT, visitor=ada_at_work, user="ada", visible=30, engaged=4),
            a_view(MIDNIGHT, visitor=stranger, visible=40, engaged=4),
            a_view(MIDNIGHT, visitor="d" * 32, visible=0, engaged=0),
        ]
    )
    now = MIDNIGHT + DAY + STORED_WITHIN
    periods = periods_of(db)
    assert await periods.close_due(lambda: now) == 1
    if not closed:
        await rollups(db).delete_many({"_id": {"$ne": FIRST}})
        periods = periods_of(db)
    query = StatsRange(from_=date(2026, 3, 1), to=date(2026, 3, 2))
    report = await stats_of(db, periods).users(query, now)
    assert (report.users, report.visitors, report.views, report.never_visible) == (3, 4, 5, 1)
    assert (report.visible_seconds.total, report.visible_seconds.per_user) == (100, 33.33)
    assert (report.engaged_seconds.total, report.engaged_seconds.per_user) == (16, 5.33)


async def test_of_nothing_there_is_no_average(db: Database) -> None:
    stats = stats_of(db)
    report = await stats.users(StatsRange(), NOON)
    assert (report.users, report.visible_seconds.per_user) == (0, None)
    assert (report.from_, report.to) == ("2026-01-31", "2026-03-02")
    pages = await stats.pages(PagesQuery(), NOON)
    assert (pages.pages, pages.page_count, len(pages.series)) == ([], 0, 30)
    assert await rollups(db).count_documents({}) == 0


async def test_two_processes_close_the_same_days_and_one_of_each_stays(db: Database) -> None:
    views = random_views(3, MIDNIGHT, MIDNIGHT + 3 * DAY, 400)
    await page_views(db).insert_many(views)
    now = MIDNIGHT + 4 * DAY
    closed = await asyncio.gather(*(periods_of(db).close_due(lambda: now) for _ in range(3)))
    assert sum(closed) == 3
    builds = {}
    async for document in rollups(db).find({"build": {"$exists": True}}):
        builds[document["_id"]] = document["build"]
    async for row in rollups(db).find({"_id": {"$regex": "/"}}):
        period, build, _ = row["_id"].split("/")
        assert builds[period] == build
    first, end = date(2026, 3, 1), date(2026, 3, 4)
    report = await stats_of(db).pages(asked(first, end, limit=100), now)
    assert_report(report, views, first, end)


async def test_a_build_that_was_cut_off_is_seen_by_nobody(db: Database) -> None:
    views = random_views(4, MIDNIGHT, MIDNIGHT + DAY, 50)
    await page_views(db).insert_many(views)
    wrong = Breakdown()
    day = day_id(date(2026, 3, 1))
    await close_period(db, day, wrong, NOON)
    await rollups(db).update_one({"_id": day}, {"$set": {"build": "cut"}})
    await rollups(db).insert_one({"_id": f"{day}/cut/000000"})
    await rollups(db).delete_one({"_id": day})
    now = MIDNIGHT + DAY + STORED_WITHIN
    assert await periods_of(db).close_due(lambda: now) == 1
    first, end = date(2026, 3, 1), date(2026, 3, 2)
    assert_report(await stats_of(db).pages(asked(first, end), now), views, first, end)
    assert await rollups(db).find_one({"_id": f"{day}/cut/000000"}) is None


async def test_closed_days_do_not_need_their_views_any_more(db: Database) -> None:
    views = random_views(5, MIDNIGHT, MIDNIGHT + DAY, 100)
    await page_views(db).insert_many(views)
    now = MIDNIGHT + 2 * DAY
    await periods_of(db).close_due(lambda: now)
    await page_views(db).delete_many({})
    first, end = date(2026, 3, 1), date(2026, 3, 2)
    assert_report(await stats_of(db).pages(asked(first, end), now), views, first, end)


async def test_what_is_reopened_is_tallied_again_by_all_who_knew_it(db: Database) -> None:
    first, today = date(2026, 1, 20), date(2026, 4, 10)
    end = today + DAY
    now = datetime(2026, 4, 10, 9, tzinfo=UTC)
    views = random_views(6, datetime(2026, 2, 3, 7, tzinfo=UTC), now, 400)
    await page_views(db).insert_many(views)
    closing, other = periods_of(db), periods_of(db)
    stats = stats_of(db, other)
    await closing.close_due(lambda: now)
    query = asked(first, end, limit=100)
    assert_report(await stats.pages(query, now), views, first, end)

    more_views = random_views(7, datetime(2026, 1, 20, 7, tzinfo=UTC), now, 300)
    await page_views(db).insert_many(more_views)
    days = {view["startedAt"].date() for view in more_views}
    periods = {day_id(day) for day in days} | {day_id(day)[:7] for day in days}
    await lower_first_day(db, first)
    await reopen(db, periods)
    now += FRESH_FOR
    assert_report(await stats.pages(query, now), views + more_views, first, end)
    assert await closing.close_due(lambda: now) >= len(days) - 1 + 3  # three months
    assert_report(await stats.pages(query, now + FRESH_FOR), views + more_views, first, end)
    assert_report(await stats_of(db).pages(query, now), views + more_views, first, end)
    assert await complete_days(db, days) == list(days)

    await page_views(db).delete_many({"_id": {"$in": [view["_id"] for view in more_views]}})
    gone = [day for day in days if day != today]
    assert not set(await complete_days(db, gone))
    await reopen(db, periods)
    now += 2 * FRESH_FOR
    assert_report(await stats.pages(query, now), views, first, end)
    await closing.close_due(lambda: now)
    assert_report(await stats.pages(query, now + FRESH_FOR), views, first, end)
    known = {row["build"] async for row in rollups(db).find({"build": {"$exists": True}})}
    async for row in rollups(db).find({"_id": {"$regex": "/"}}):
        assert row["_id"].split("/")[1] in known  # nothing is left of former builds


@pytest.mark.parametrize("closed_before", [False, True])
async def test_a_closing_under_way_is_not_stored_once_its_day_is_reopened(
    db: Database, closed_before: bool
) -> None:
    views = random_views(8, MIDNIGHT, MIDNIGHT + DAY, 40)
    await page_views(db).insert_many(views)
    now, day = MIDNIGHT + 2 * DAY, day_id(MIDNIGHT.date())
    if closed_before:
        await periods_of(db).close_due(lambda: now)
        await reopen(db, [day])
    late = a_view(NOON)
    stamp = await reopen_stamp(db, day)
    await page_views(db).insert_one(late)
    await reopen(db, [day])  # after the closing has read
    assert not await close_period(db, day, Breakdown(), now, stamp=stamp)
    assert await find_closed(db, [day]) == set()
    assert await periods_of(db).close_due(lambda: now) == 1
    first, end = date(2026, 3, 1), date(2026, 3, 2)
    assert_report(await stats_of(db).pages(asked(first, end), now), [*views, late], first, end)


class Interrupted:
    """The collection, but `others` comes just before a call by which rows may be removed."""

    def __init__(self, db: Database, call: str, others: Callable[[], Awaitable[None]]) -> None:
        self._collection, self._call, self._others = db[ROLLUPS], call, others

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def find(self, *wanted: Any) -> AsyncIterator[View]:
        if self._call == "find":
            await self._others()
        async for row in self._collection.find(*wanted):
            yield row

    async def delete_many(self, wanted: View) -> None:
        if self._call == "delete_many":
            await self._others()
        await self._collection.delete_many(wanted)


@pytest.mark.parametrize("call", ["find", "delete_many"])
async def test_who_closes_a_day_removes_nothing_of_a_closing_under_way(
    db: Database, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, day, pages = MIDNIGHT + 2 * DAY, day_id(MIDNIGHT.date()), Breakdown()
    pages.pages["/home"] = Tally()
    store, are_in, may_store = rollup_module._store, asyncio.Event(), asyncio.Event()
    rival: list[asyncio.Task[bool]] = []

    async def once_it_may(db: Database, period: str, document: View, stamp: str | None) -> bool:
        if rival and asyncio.current_task() is rival[0]:
            are_in.set()
            await may_store.wait()
        return await store(db, period, document, stamp)

    async def others() -> None:
        """Reopen the day, and close it again as far as its rows."""
        monkeypatch.undo()
        monkeypatch.setattr(rollup_module, "_store", once_it_may)
        await reopen(db, [day])
        stamp = await reopen_stamp(db, day)
        rival.append(asyncio.create_task(close_period(db, day, pages, now, stamp=stamp)))
        await are_in.wait()

    await reopen(db, [day])
    stamp = await reopen_stamp(db, day)
    await rollups(db).insert_one({"_id": f"{day}/cutoff/000000"})
    interrupted = Interrupted(db, call, others)
    monkeypatch.setattr(rollup_module, "rollups", lambda _: interrupted)
    await close_period(db, day, pages, now, stamp=stamp)
    may_store.set()
    assert await rival[0]
    whole = await read_breakdown(db, day)
    assert whole is not None
    assert set(whole.pages) == {"/home"}
    assert await rollups(db).find_one({"_id": f"{day}/cutoff/000000"}) is None


async def test_pages_are_ranked_and_cut(db: Database) -> None:
    await page_views(db).insert_many(
        [
            a_view(NOON, page="/b", visible=50, engaged=1),
            a_view(NOON, page="/a", visible=20, engaged=20),
            a_view(NOON, page="/c", visible=20, engaged=2),
            a_view(NOON, page="/c", visible=20, engaged=2),
        ]
    )
    stats = stats_of(db)
    for sort, expected in (
        ("visibleSeconds", ["/b", "/c", "/a"]),
        ("engagedSeconds", ["/a", "/c", "/b"]),
        ("views", ["/c", "/a", "/b"]),
        ("page", ["/a", "/b", "/c"]),
    ):
        query = PagesQuery(sort=sort)  # type: ignore[arg-type]
        report = await stats.pages(query, NOON + SECOND)
        assert [row.page for row in report.pages] == expected
        query = PagesQuery(sort=sort, limit=1)  # type: ignore[arg-type]
        report = await stats.pages(query, NOON + SECOND)
        assert [row.page for row in report.pages] == expected[:1]
        assert (report.page_count, report.total.views) == (3, 4)


async def test_spellings_that_earlier_versions_kept_apart_are_one_page(db: Database) -> None:
    later = NOON + 3 * DAY
    spellings = ("/caf%C3%A9", "/cafe\u0301", "/café")
    views = [
        a_view(at, page=page, visible=number, engaged=0)
        for at in (NOON, later)
        for number, page in enumerate(spellings, 1)
    ]
    await page_views(db).insert_many(views)
    periods = periods_of(db)
    await periods.close_due(lambda: later)
    query = asked(NOON.date(), later.date() + DAY)
    report = await stats_of(db, periods).pages(query, later + timedelta(hours=1))
    assert [row.page for row in report.pages] == ["/café"]
    assert_is(report.pages[0], views)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (asked(date(2026, 3, 2), date(2026, 3, 2)), "later"),
        (asked(date(2000, 1, 1), date(2026, 3, 2)), "3660"),
        (asked(date(2026, 1, 1), date(2026, 3, 2), by="hour"), "31"),
    ],
)
async def test_a_range_that_cannot_be_is_refused(
    db: Database, query: PagesQuery, message: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await stats_of(db).pages(query, NOON)
    assert message in refused.value.errors[0]["message"]


def test_a_range_is_taken_from_as_few_periods_as_there_are() -> None:
    closed = {"2026-02", "2026-01-31", *(f"2026-02-{day:02d}" for day in range(1, 29))}
    found = choose_sources(date(2026, 1, 30), date(2026, 3, 2), closed.__contains__)
    assert found.periods == ["2026-01-31", "2026-02"]
    assert found.live == [date(2026, 1, 30), date(2026, 3, 1)]
    part = choose_sources(date(2026, 2, 1), date(2026, 2, 28), closed.__contains__)
    assert (len(part.periods), part.live) == (27, [])
