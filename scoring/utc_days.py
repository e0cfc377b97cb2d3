"""Divide time into the days and months of UTC, by which the dashboard counts. Pure.

Invariants:

- Consecutive spans neither overlap nor have a gap between them.
- The last span holds `now`; the instant at which a span ends belongs to the next one.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

DAY = timedelta(days=1)


class Span(NamedTuple):
    """The time from `since` (included) to `until` (excluded)."""

    name: str
    """Such as `2026-01-31` or `2026-01`."""
    since: datetime
    until: datetime


def day_of(now: datetime) -> Span:
    """Return the day that holds `now`."""
    since = _midnight(now)
    return Span(f"{since:%Y-%m-%d}", since, since + DAY)


def last_days(now: datetime, count: int) -> list[Span]:
    """Return the last `count` days, today included, oldest first."""
    today = _midnight(now)
    return [day_of(today - DAY * back) for back in reversed(range(count))]


def last_months(now: datetime, count: int) -> list[Span]:
    """Return the last `count` months, the present one included, oldest first."""
    first = _midnight(now).replace(day=1)
    months: list[Span] = []
    for _ in range(count):
        after = (first + 31 * DAY).replace(day=1)
        months.append(Span(f"{first:%Y-%m}", first, after))
        first = (first - DAY).replace(day=1)
    return months[::-1]


def days_between(since: datetime, now: datetime) -> list[Span]:
    """Return the days from the midnight `since` up to the day that holds `now`."""
    days: list[Span] = []
    while since <= now:
        days.append(day_of(since))
        since += DAY
    return days


def midnight(day: date) -> datetime:
    """Return the instant at which a day starts."""
    return datetime.combine(day, time(), UTC)


def _midnight(at: datetime) -> datetime:
    return midnight(at.astimezone(UTC).date())
