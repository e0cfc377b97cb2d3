"""Report statistics of page views over whole UTC days.

Invariants:

- A report equals what reading all views of the range would give, as they were at `asOf` (medians
  within 1 %; numbers of visitors and users exact below 1,024).
- Each day comes from one source: the rollup of its month if the month is closed and within the
  range, else its own rollup if it is closed, else its views.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache

from models.base.database import Database
from models.base.schema_types import page_name
from models.page_statistics.day_tally import DAY, IsAlive, days_between
from models.page_statistics.open_days import OpenDay
from models.page_statistics.reports import (
    MOST_DAYS,
    MOST_DAYS_BY_HOUR,
    Moment,
    PageRow,
    PagesQuery,
    PagesReport,
    StatsRange,
    UserSeconds,
    UsersReport,
    ViewStats,
    choose_sources,
    date_range,
    mean,
    rank_key,
    stats_of,
    stats_of_summary,
)
from models.page_statistics.rollup_cache import CachedPeriods, RollupCache
from models.page_statistics.rollup_job import ClosedPeriods
from models.page_statistics.rollups import SUMMARY, day_id, read_periods
from scoring.tallies import Breakdown, Tally, ViewCounts
from scoring.utc_days import midnight

FRESH_FOR = timedelta(seconds=5)
"""How long views that were read are reused."""
MAX_CACHED_NAMES = 20_000
"""Names are cached, because normalizing those of 10,000 pages takes 20 ms."""


class PageStats:
    """Answers queries about page views; `periods` is of the same database."""

    def __init__(self, db: Database, periods: ClosedPeriods, *, is_alive: IsAlive) -> None:
        self._db = db
        self._periods = periods
        self._is_alive = is_alive
        self._past = RollupCache(db)
        self._live: dict[date, OpenDay] = {}
        self._read_at: dict[date, datetime] = {}
        self._refreshed_at: datetime | None = None
        self._reopen_stamp: str | None = None
        self._reading = asyncio.Lock()

    async def pages(self, query: PagesQuery, now: datetime) -> PagesReport:
        """Return the pages of a range, ranked, with the sums of all pages.

        Raises:
            Invalid: "invalid_query": the range is empty or too long.
        """
        first, end = date_range(query, now, MOST_DAYS_BY_HOUR if query.by == "hour" else MOST_DAYS)
        past, live, as_of = await self._sources(first, end, now)
        of_spellings = _counts_of_pages(past, live.values())
        spellings, counts = _group_by_name(of_spellings)
        by_rank = sorted(counts, key=lambda page: (rank_key(query.sort, counts[page]), page))
        ranked = by_rank[: query.limit]
        spelled = await past.pages(each for page in ranked for each in spellings[page])
        total = past.total()
        for day in live.values():
            total.merge(day.total)
            for page in spelled.keys() & day.pages.keys():
                spelled[page].merge(day.pages[page])
        tallies = {page: _merge_spellings(spelled, spellings[page]) for page in ranked}
        series = self._by_hour if query.by == "hour" else self._by_day
        return PagesReport(
            from_=first.isoformat(),
            to=end.isoformat(),
            as_of=as_of,
            page_count=len(counts),
            pages=[PageRow(page=page, **stats_of(tallies[page])) for page in ranked],
            total=ViewStats(**stats_of(total)),
            series=await series(first, end, live),
        )

    async def users(self, query: StatsRange, now: datetime) -> UsersReport:
        """Return the mean time of users in a range, and the sums from which it is computed.

        Raises:
            Invalid: "invalid_query": the range is empty or too long.
        """
        first, end = date_range(query, now)
        past, live, as_of = await self._sources(first, end, now)
        total, users = past.total(), past.users()
        for day in live.values():
            total.merge(day.total)
            users.merge(day.users)
        number = users.count()

        def per_user(total: int) -> UserSeconds:
            return UserSeconds(total=total, per_user=mean(total, number))

        return UsersReport(
            from_=first.isoformat(),
            to=end.isoformat(),
            as_of=as_of,
            users=number,
            visitors=total.visitors.count(),
            views=total.counts.views,
            never_visible=total.counts.never_visible,
            visible_seconds=per_user(total.counts.visible_seconds),
            engaged_seconds=per_user(total.counts.engaged_seconds),
        )

    # --- private --------------------------------------------------------------------------

    async def _sources(
        self, first: date, end: date, now: datetime
    ) -> tuple[CachedPeriods, dict[date, Breakdown], datetime]:
        """Return the closed part of a range, its live days, and the instant they were read at.

        One call runs at a time, so that concurrent queries do not read the same days.
        """
        async with self._reading:
            if self._refreshed_at is None or now - self._refreshed_at >= FRESH_FOR:
                await self._periods.refresh(now)
                self._refreshed_at = now
            if self._periods.reopen_stamp != self._reopen_stamp:
                self._reopen_stamp = self._periods.reopen_stamp
                self._past, self._live, self._read_at = RollupCache(self._db), {}, {}
            first_day = self._periods.first or now.date() + DAY
            found = choose_sources(
                max(first, first_day), min(end, now.date() + DAY), self._periods.is_closed
            )
            for day in [day for day in self._live if self._periods.is_closed(day_id(day))]:
                del self._live[day]
                del self._read_at[day]
            for day in found.live:
                read_at = self._read_at.get(day)
                if read_at is None or now - read_at >= FRESH_FOR:
                    open_day = self._live.setdefault(
                        day, OpenDay(self._db, day, is_alive=self._is_alive)
                    )
                    await open_day.refresh(now)
                    self._read_at[day] = now
            live = {day: Breakdown() for day in found.live}
            for day, breakdown in live.items():
                self._live[day].add_to(breakdown)
            as_of = min((self._read_at[day] for day in live), default=now)
            return await self._past.of(found.periods), live, as_of

    async def _by_day(self, first: date, end: date, live: dict[date, Breakdown]) -> list[Moment]:
        closed = [day_id(day) for day in days_between(first, end) if day not in live]
        summaries = await read_periods(self._db, filter(self._periods.is_closed, closed), SUMMARY)
        series = []
        for day in days_between(first, end):
            if day in live:
                stats = stats_of(live[day].total)
            elif day_id(day) in summaries:
                stats = stats_of_summary(summaries[day_id(day)])
            else:
                stats = stats_of(Tally())
            series.append(Moment(at=midnight(day), **stats))
        return series

    async def _by_hour(self, first: date, end: date, live: dict[date, Breakdown]) -> list[Moment]:
        closed = filter(self._periods.is_closed, map(day_id, days_between(first, end)))
        hours = {
            (day, each["hour"]): stats_of_summary(each)
            for day, found in (await read_periods(self._db, closed, ("hours",))).items()
            for each in found["hours"]
        }
        for day, breakdown in live.items():
            hours |= {
                (day_id(day), hour): stats_of(tally) for hour, tally in breakdown.hours.items()
            }
        nothing = stats_of(Tally())
        return [
            Moment(
                at=midnight(day) + timedelta(hours=hour),
                **hours.get((day_id(day), hour), nothing),
            )
            for day in days_between(first, end)
            for hour in range(24)
        ]


@lru_cache(maxsize=MAX_CACHED_NAMES)
def _name(page: str) -> str:
    return page_name(page)


def _group_by_name(
    of_spellings: Mapping[str, ViewCounts],
) -> tuple[dict[str, list[str]], dict[str, ViewCounts]]:
    """Return the stored spellings of each page, and the page's counts.

    Versions before names were normalized have stored each spelling as a page of its own.
    """
    spellings: dict[str, list[str]] = {}
    for page in of_spellings:
        spellings.setdefault(_name(page), []).append(page)
    counts = {}
    for name, pages in spellings.items():
        counts[name] = of_spellings[pages[0]]
        for page in pages[1:]:
            merged = ViewCounts(counts[name].values())
            merged.merge(of_spellings[page])
            counts[name] = merged
    return spellings, counts


def _merge_spellings(spelled: Mapping[str, Tally], pages: Sequence[str]) -> Tally:
    first, *others = (spelled[page] for page in pages)
    for each in others:
        first.merge(each)
    return first


def _counts_of_pages(past: CachedPeriods, live: Iterable[Breakdown]) -> dict[str, ViewCounts]:
    found = dict(past.counts)
    for day in live:
        for page, tally in day.pages.items():
            merged = ViewCounts(tally.counts.values())
            merged.merge(found.get(page, ViewCounts()))
            found[page] = merged
    return found
