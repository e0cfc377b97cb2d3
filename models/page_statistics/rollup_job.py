"""Which days and months are closed, and the closing of those that are over.

What must always hold: a day is closed when it has been over for `LATE` and so is each of
its views; a month when each of its days is closed; once, however many processes try, unless
it is reopened. What this process knows is replaced as a whole then.
"""

import asyncio
from collections.abc import Callable
from datetime import date, datetime

from models.base.database import Database, Document
from models.base.driver_errors import answered_within
from models.page_statistics.day_tally import (
    DAY,
    LATE,
    SLICE,
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
    read_whole,
    reopened,
)
from scoring.tallies import Breakdown
from scoring.utc_days import midnight

ANSWER_WITHIN_S = 30.0
"""Three hours of the busiest site are read at once."""
REMEMBERED_OPEN = 100


class Periods:
    """What is closed, as far as this process knows, and the closing of more."""

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
        """Between two reads: counting comes first."""
        self._closed: set[str] = set()
        self._first: date | None = None
        self._reopened: str | None = None
        self._open: dict[date, list[object]] = {}
        """Views that were open at the last try to close their day."""

    def is_closed(self, period: str) -> bool:
        return period in self._closed

    @property
    def first(self) -> date | None:
        """The day of the first view of all."""
        return self._first

    @property
    def reopened(self) -> str | None:
        """Changes when periods that were closed are not any more."""
        return self._reopened

    async def look(self, now: datetime) -> None:
        """Learn what has been closed and reopened, by whomever."""
        stamp = await reopened(self._db)
        same = stamp == self._reopened
        closed = self._closed if same else set()
        first = (self._first if same else None) or await first_day(self._db)
        periods = [day_id(day) for day in _over(first, now)]
        periods += [month_id(month) for month in _months_over(first, now)]
        closed |= await find_closed(self._db, [each for each in periods if each not in closed])
        self._closed, self._first, self._reopened = closed, first, stamp

    async def close_due(self, now: Callable[[], datetime]) -> int:
        """Close all that can be closed; how many that were.

        Raises StorageUnavailable, StatementRefused; what was closed stays closed.
        """
        async with answered_within(ANSWER_WITHIN_S):
            await self.look(now())
        closed = 0
        for day in _over(self._first, now()):
            if not self.is_closed(day_id(day)):
                closed += await self._close_day(day, now)
        for month in _months_over(self._first, now()):
            days = [day_id(day) for day in self._days_of(month)]
            if not self.is_closed(month_id(month)) and self._closed.issuperset(days):
                closed += await self._close_month(month, now)
        return closed

    def _days_of(self, month: date) -> list[date]:
        """Those of its days that are not before the first of all."""
        first = month if self._first is None else max(month, self._first)
        return list(days_between(first, next_month(month)))

    async def _close_day(self, day: date, now: Callable[[], datetime]) -> bool:
        stamp = await self._stamp_of(day_id(day))
        waited_for = self._open.get(day)
        if waited_for:
            async with answered_within(ANSWER_WITHIN_S):
                views = await read_views(self._db, waited_for)
            if not self._all_over(day, views, now()):
                return False
        breakdown = Breakdown()
        since, until = midnight(day), midnight(day) + DAY
        while since < until:
            async with answered_within(ANSWER_WITHIN_S):
                views = await read_started(self._db, since, since + SLICE)
                if not self._all_over(day, views, now()):
                    return False
                for seen in await with_users(self._db, views):
                    breakdown.add(seen)
            since += SLICE
            await asyncio.sleep(self._pause_s if views else 0)
        self._open.pop(day, None)
        return await self._close(day_id(day), breakdown, now(), stamp)

    def _all_over(self, day: date, views: list[Document], now: datetime) -> bool:
        is_open = [
            view["_id"] for view in views if not is_over(view, is_alive=self._is_alive, now=now)
        ]
        self._open[day] = is_open[:REMEMBERED_OPEN]
        return not is_open

    async def _close_month(self, month: date, now: Callable[[], datetime]) -> bool:
        stamp = await self._stamp_of(month_id(month))
        breakdown = Breakdown()
        for day in self._days_of(month):
            async with answered_within(ANSWER_WITHIN_S):
                of_day = await read_whole(self._db, day_id(day))
            if of_day is None:
                return False
            breakdown.merge(of_day)
            await asyncio.sleep(self._pause_s)
        return await self._close(month_id(month), breakdown, now(), stamp)

    async def _stamp_of(self, period: str) -> str | None:
        async with answered_within(ANSWER_WITHIN_S):
            return await reopened(self._db, period)

    async def _close(
        self, period: str, breakdown: Breakdown, now: datetime, stamp: str | None
    ) -> bool:
        known = self._reopened
        async with answered_within(ANSWER_WITHIN_S):
            done = await close_period(self._db, period, breakdown, now, stamp=stamp)
        if done and known == self._reopened:
            self._closed.add(period)
        return done


def _over(first: date | None, now: datetime) -> list[date]:
    """The days that are over, from the first one on."""
    return [] if first is None else list(days_between(first, (now - LATE).date()))


def _months_over(first: date | None, now: datetime) -> list[date]:
    over = _over(first, now)
    months = sorted({day.replace(day=1) for day in over})
    return [month for month in months if over[-1] >= next_month(month) - DAY]
