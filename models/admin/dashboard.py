"""Compute the figures of the admin dashboard, which docs/tracking.md defines.

Invariants:

- Figures are those of the instant at which they are read.
- Days and months are UTC and include the present one; without events, their figures are zero.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.accounts.user_directory import UsersQuery, UserTotals, list_users
from models.activity import events, presence, visits
from models.admin.session_metrics import FocusMetrics, focus_metrics
from models.base.database import Database
from models.base.schema_types import WireModel
from scoring.utc_days import Span, days_between, last_days, last_months

DAYS, MONTHS = 7, 6


class DayActivity(WireModel):
    """Logins and signups of a day."""

    date: str
    logins: int
    signups: int


class MonthLogins(WireModel):
    """Logins of a month, such as `2026-01`."""

    month: str
    logins: int


class DailyActivity(WireModel):
    """What users did on a day."""

    date: str
    logins: int
    app_opens: int
    actions: int


class Metrics(WireModel):
    """Visits, presence and activity, in UTC.

    `totalVisitors` is the same as `totalVisits`. Days and months come oldest first, with
    the present one last.
    """

    total_visits: int
    total_visitors: int
    visitors_now: int
    visitors_today: int
    active_visits: int
    active_users_now: int
    activity_by_day: list[DayActivity]
    monthly_logins: list[MonthLogins]
    daily_activity: list[DailyActivity]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The figures that admins may read."""

    db: Database
    now_ttl: timedelta
    """How long after a heartbeat a user, or a visit, counts as present now."""
    active_visit_ttl: timedelta
    """How long after it was last seen a visit counts as active."""
    count_tracked: Callable[[], Awaitable[int]]
    """Returns how many sessions all processes track now."""

    async def read(self, now: datetime) -> Metrics:
        """Return visits, presence and activity."""
        total, today, present, active, users, by_day = await asyncio.gather(
            visits.count_ever(self.db, now),
            visits.count_today(self.db, now),
            visits.count_within(self.db, now, self.now_ttl),
            visits.count_within(self.db, now, self.active_visit_ttl),
            presence.count_within(self.db, now, self.now_ttl),
            self._events(now),
        )
        days = [(day.name, by_day[day.name]) for day in last_days(now, DAYS)]
        return Metrics(
            total_visits=total,
            total_visitors=total,
            visitors_now=present,
            visitors_today=today,
            active_visits=active,
            active_users_now=users,
            activity_by_day=[
                DayActivity(date=date, logins=count["login"], signups=count["signup"])
                for date, count in days
            ],
            monthly_logins=[
                MonthLogins(month=month.name, logins=_within(month, by_day)["login"])
                for month in last_months(now, MONTHS)
            ],
            daily_activity=[
                DailyActivity(
                    date=date,
                    logins=count["login"],
                    app_opens=count["app_open"],
                    actions=count["action"],
                )
                for date, count in days
            ],
        )

    async def focus(self, now: datetime) -> FocusMetrics:
        """Return the figures of focus sessions."""
        return await focus_metrics(self.db, now, tracked_now=await self.count_tracked())

    async def users(self, query: UsersQuery, now: datetime) -> tuple[list[UserTotals], str | None]:
        """Return one page of users, and the cursor of the next page (None for the last)."""
        return await list_users(self.db, query, now)

    async def cache_counts(self, now: datetime) -> None:
        """Count once and discard the result, so that later reads find cached counts."""
        await asyncio.gather(
            visits.count_ever(self.db, now), visits.count_today(self.db, now), self._events(now)
        )

    async def _events(self, now: datetime) -> dict[str, Counter[str]]:
        """Return the events by type, for each day of the last six months."""
        days = days_between(last_months(now, MONTHS)[0].since, now)
        counts = await events.count_by_type(self.db, days, now)
        return {day.name: count for day, count in zip(days, counts, strict=True)}


def _within(month: Span, by_day: dict[str, Counter[str]]) -> Counter[str]:
    return sum(
        (count for day, count in by_day.items() if day.startswith(month.name)), start=Counter()
    )
