"""Plan which of a learner's sessions are read, and which periods are taken from the cache. Pure.

Sessions belong to the UTC day and month of their creation. A month that is over is cached as a
whole; the days of a month that is not yet cached are cached one by one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from models.base.database import Document
from scoring.local_days import ONE_DAY
from scoring.utc_days import midnight

SETTLED_AFTER = timedelta(minutes=10)
"""Longer than a write may be under way, and than the clocks of servers differ."""
CACHED_BY_DAY_FOR = 2 * ONE_DAY
"""How long after its end the days of a month are cached, until the month itself can be."""
MONTH_LENGTH = len("2026-11")


class Dates(NamedTuple):
    """The dates from `since` to before `until`."""

    since: date
    until: date


NO_DATES = Dates(date.min, date.min)


class Period(NamedTuple):
    """A UTC day or month: its name, `2026-11-20` or `2026-11`, and its dates."""

    name: str
    since: date
    until: date

    @property
    def is_month(self) -> bool:
        """Whether the period is a month."""
        return len(self.name) == MONTH_LENGTH

    def is_settled(self, now: datetime, known: Document | None) -> bool:
        """Return whether no write to its sessions can be under way any more.

        Args:
            now: The current instant, in UTC.
            known: The stored document of the period, if there is one.
        """
        over = midnight(self.until)
        touched_at: datetime = over if known is None else known["touchedAt"]
        return now - max(over, touched_at) >= SETTLED_AFTER


@dataclass(frozen=True, slots=True)
class Load:
    """Sessions to read: those created from `since` to before `until`."""

    since: date
    until: date
    by_day: bool
    """Whether sessions that were never started are counted for each day of its own."""
    to_cache: tuple[Period, ...]
    """The periods among them that can be cached once they are read."""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What a reading of a learner's days consists of."""

    cached: dict[Period, Document] = field(default_factory=dict)
    """The summaries to take from the cache."""
    loads: list[Load] = field(default_factory=list)


def plan_reading(
    months: Iterable[Period], known: Mapping[str, Document], now: datetime, today: date
) -> ReadPlan:
    """Decide which periods are taken from the cache, which are read, and which to cache.

    Args:
        months: All months that may have sessions.
        known: The stored documents of this learner, by name of the period.
        now: The current instant, in UTC.
        today: The UTC date of `now`.
    """
    plan = ReadPlan()
    for month in months:
        document = known.get(month.name)
        if document is not None and document["kept"]:
            plan.cached[month] = document["kept"]
        elif month.is_settled(now, document):
            plan.loads.append(Load(month.since, month.until, by_day=False, to_cache=(month,)))
        else:
            _plan_days(plan, month, known, now, today)
    return plan


def _plan_days(
    plan: ReadPlan, month: Period, known: Mapping[str, Document], now: datetime, today: date
) -> None:
    days = list(days_between(month.since, min(month.until, today + ONE_DAY)))
    for day in days:
        if (document := known.get(day.name)) is not None and document["kept"]:
            plan.cached[day] = document["kept"]
    may_cache = month.until >= today - CACHED_BY_DAY_FOR
    for since, until in _stretches([day for day in days if day not in plan.cached]):
        settled = tuple(
            day
            for day in days_between(since, until)
            if may_cache and day.is_settled(now, known.get(day.name))
        )
        plan.loads.append(Load(since, until, by_day=True, to_cache=settled))


def months_until(today: date, known: Iterable[str], first: date) -> Sequence[Period]:
    """Return the known months, and all from the one of `first` until that of `today`."""
    months = {name: named_month(name) for name in known}
    while first <= today:
        month = month_of(first)
        months[month.name] = month
        first = month.until
    return sorted(months.values())


def day_of(day: date) -> Period:
    """Return the day as a period."""
    return Period(day.isoformat(), day, day + ONE_DAY)


def month_of(day: date) -> Period:
    """Return the month in which a day lies."""
    first = day.replace(day=1)
    return Period(f"{day:%Y-%m}", first, (first + timedelta(days=31)).replace(day=1))


def named_month(name: str) -> Period:
    """Return the month of a name such as `2026-11`."""
    return month_of(date.fromisoformat(f"{name}-01"))


def days_between(since: date, until: date) -> Iterator[Period]:
    """Yield the days from `since` to before `until`."""
    return (day_of(since + number * ONE_DAY) for number in range((until - since).days))


def _stretches(days: Iterable[Period]) -> list[Dates]:
    """Join days that follow each other."""
    found: list[Dates] = []
    for day in days:
        if found and found[-1].until == day.since:
            found[-1] = Dates(found[-1].since, day.until)
        else:
            found.append(Dates(day.since, day.until))
    return found
