"""Days and months of UTC: the spans that the dashboard counts by.

What must always hold: spans that follow each other neither overlap nor leave anything
out; the last one holds `now`, and the instant at which a span ends belongs to the next.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

DAY = timedelta(days=1)


class Span(NamedTuple):
    """From `since` (included) to `until` (excluded)."""

    name: str
    """`2026-01-31` or `2026-01`."""
    since: datetime
    until: datetime


def day_of(now: datetime) -> Span:
    """The day that holds `now`."""
    since = _midnight(now)
    return Span(f"{since:%Y-%m-%d}", since, since + DAY)


def last_days(now: datetime, count: int) -> list[Span]:
    """So many days, the oldest first."""
    today = _midnight(now)
    return [day_of(today - DAY * back) for back in reversed(range(count))]


def last_months(now: datetime, count: int) -> list[Span]:
    """So many months, the oldest first."""
    first = _midnight(now).replace(day=1)
    months: list[Span] = []
    for _ in range(count):
        after = (first + 31 * DAY).replace(day=1)
        months.append(Span(f"{first:%Y-%m}", first, after))
        first = (first - DAY).replace(day=1)
    return months[::-1]


def days_between(since: datetime, now: datetime) -> list[Span]:
    """The days from this midnight on, up to the one that holds `now`."""
    days: list[Span] = []
    while since <= now:
        days.append(day_of(since))
        since += DAY
    return days


def midnight(day: date) -> datetime:
    """When the day begins."""
    return datetime.combine(day, time(), UTC)


def _midnight(at: datetime) -> datetime:
    return midnight(at.astimezone(UTC).date())
