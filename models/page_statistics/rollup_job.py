"""Close days and months that are over, and know which ones are closed.

Invariants:

- A day is closed once it has been over for `STORED_WITHIN` and each of its views is over; a month
  once each of its days is closed.
- A period is closed once, however many processes try, unless it is reopened. When any period is
  reopened, this process discards all that it knows and reads it again.
"""

import asyncio
from collections.abc import Callable
from datetime import date, datetime

from models.base.database import Database, Document
from models.base.driver_errors import answered_within
from models.page_statistics.day_tally import (
    DAY,
    SLICE,
    STORED_WITHIN,
    IsAlive,
    days_between,
    is_over,
    read_started,
    read_views,
    with_users,
)
from models.page_statistics.rollups import (
    close_period,
    day_id,
    find_closed,
    first_day,
    month_id,
    next_month,
    read_breakdown,
    reopen_stamp,
)
from scoring.tallies import Breakdown
from scoring.utc_days import midnight

ANSWER_WITHIN_S = 30.0
"""Long, because one read returns all views of `SLICE`, perhaps of a busy site."""
MAX_OPEN_VIEWS = 100


class ClosedPeriods:
    """The closed periods that this process knows; it also closes further ones."""

    def __init__(
        self,
        db: Database,
        *,
        is_alive: IsAlive,
        pause_s: float = 0.05,
    ) -> None:
        self._db = db
        self._is_alive = is_alive
        self._pause_s = pause_s
        """Pause between two reads, so that tracking is not delayed."""
        self._closed: set[str] = set()
        self._first: date | None = None
        self._reopen_stamp: str | None = None
        self._open: dict[date, list[object]] = {}
        """Views that were open at the last attempt to close their day; they are read first."""

    def is_closed(self, period: str) -> bool:
        """Return whether a day or month is known to be closed, by its id."""
        return period in self._closed

    @property
    def first(self) -> date | None:
        """The day of the first view ever; None if there is none."""
        return self._first

    @property
    def reopen_stamp(self) -> str | None:
        """Changes whenever closed periods were reopened."""
        return self._reopen_stamp

    async def refresh(self, now: datetime) -> None:
        """Read which periods were closed or reopened, by any process."""
        stamp = await reopen_stamp(self._db)
        is_current = stamp == self._reopen_stamp
        closed = self._closed if is_current else set()
        first = (self._first if is_current else None) or await first_day(self._db)
        periods = [day_id(day) for day in _days_over(first, now)]
        periods += [month_id(month) for month in _months_over(first, now)]
        closed |= await find_closed(self._db, [each for each in periods if each not in closed])
        self._closed, self._first, self._reopen_stamp = closed, first, stamp

    async def close_due(self, now: Callable[[], datetime]) -> int:
        """Close all periods that can be closed, and return their number.

        Raises:
            StorageUnavailable: The database did not answer; what was closed stays closed.
            StatementRefused: The database refused a statement; likewise.
        """
        async with answered_within(ANSWER_WITHIN_S):
            await self.refresh(now())
        closed = 0
        for day in _days_over(self._first, now()):
            if not self.is_closed(day_id(day)):
                closed += await self._close_day(day, now)
        for month in _months_over(self._first, now()):
            days = [day_id(day) for day in self._days_of(month)]
            if not self.is_closed(month_id(month)) and self._closed.issuperset(days):
                closed += await self._close_month(month, now)
        return closed

    def _days_of(self, month: date) -> list[date]:
        """Return the days of a month that are not before the first view ever."""
        first = month if self._first is None else max(month, self._first)
        return list(days_between(first, next_month(month)))

    async def _close_day(self, day: date, now: Callable[[], datetime]) -> bool:
        stamp = await self._stamp_of(day_id(day))
        open_views = self._open.get(day)
        if open_views:
            # One of these suffices to fail; reading the whole day for that would be wasted.
            async with answered_within(ANSWER_WITHIN_S):
                views = await read_views(self._db, open_views)
            if not self._all_over(day, views, now()):
                return False
        breakdown = Breakdown()
        since, until = midnight(day), midnight(day) + DAY
        while since < until:
            async with answered_within(ANSWER_WITHIN_S):
                views = await read_started(self._db, since, since + SLICE)
                if not self._all_over(day, views, now()):
                    return False
                for view in await with_users(self._db, views):
                    breakdown.add(view)
            since += SLICE
            await asyncio.sleep(self._pause_s if views else 0)
        self._open.pop(day, None)
        return await self._close(day_id(day), breakdown, now(), stamp)

    def _all_over(self, day: date, views: list[Document], now: datetime) -> bool:
        open_views = [
            view["_id"] for view in views if not is_over(view, is_alive=self._is_alive, now=now)
        ]
        self._open[day] = open_views[:MAX_OPEN_VIEWS]
        return not open_views

    async def _close_month(self, month: date, now: Callable[[], datetime]) -> bool:
        stamp = await self._stamp_of(month_id(month))
        breakdown = Breakdown()
        for day in self._days_of(month):
            async with answered_within(ANSWER_WITHIN_S):
                of_day = await read_breakdown(self._db, day_id(day))
            if of_day is None:
                return False
            breakdown.merge(of_day)
            await asyncio.sleep(self._pause_s)
        return await self._close(month_id(month), breakdown, now(), stamp)

    async def _stamp_of(self, period: str) -> str | None:
        async with answered_within(ANSWER_WITHIN_S):
            return await reopen_stamp(self._db, period)

    async def _close(
        self, period: str, breakdown: Breakdown, now: datetime, stamp: str | None
    ) -> bool:
        before = self._reopen_stamp  # `refresh` may run while this waits
        async with answered_within(ANSWER_WITHIN_S):
            done = await close_period(self._db, period, breakdown, now, stamp=stamp)
        if done and before == self._reopen_stamp:
            self._closed.add(period)
        return done


def _days_over(first: date | None, now: datetime) -> list[date]:
    """Return the days that have been over for long enough, from the first one on."""
    return [] if first is None else list(days_between(first, (now - STORED_WITHIN).date()))


def _months_over(first: date | None, now: datetime) -> list[date]:
    days = _days_over(first, now)
    months = sorted({day.replace(day=1) for day in days})
    return [month for month in months if days[-1] >= next_month(month) - DAY]
