"""Days as a learner lives them: local dates and their hours, in an IANA time zone. Pure.

What must always hold: a second belongs to the local date and hour in which it begins; so
parts of a run that are told apart by day or hour add up to the run, and a day has the 23,
24 or 25 hours (or any other length) that the zone's rules give it. A day may begin later
than at midnight (`starts_at`, in minutes): then the hours before that belong to the date
before.

Instants are whole microseconds since 1970-01-01T00:00Z.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from scoring.timeline import SECOND_US

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ONE_DAY = timedelta(days=1)
QUARTER_US = 15 * 60 * SECOND_US
"""Clocks are changed at whole quarters of an hour."""


class LocalDay(NamedTuple):
    """A date in a zone: its hours begin at these instants, and the last one ends at
    `end_us`. When clocks are put back an hour is longer; when put forward, one is missing."""

    date: date
    begins_us: tuple[int, ...]
    hours: tuple[int, ...]
    end_us: int

    @property
    def start_us(self) -> int:
        return self.begins_us[0]


class Part(NamedTuple):
    """Consecutive seconds within one hour of one date."""

    date: date
    hour: int
    start_us: int
    seconds: int


def instant_us(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def utc_datetime(at_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_us)


class LocalClock(NamedTuple):
    """Where a learner is, and when their days begin, in minutes after midnight."""

    zone: str
    starts_at: int = 0

    def date_of(self, at_us: int) -> date:
        """Return the date at an instant."""
        return date_of(at_us, self.zone, self.starts_at)


def date_of(at_us: int, zone: str, starts_at: int = 0) -> date:
    """The local date at an instant."""
    day = utc_datetime(at_us).astimezone(ZoneInfo(zone)).date()
    if starts_at:
        # Where clocks change at this hour, it is passed twice, or never: the first time counts.
        while at_us < day_start_us(day, zone, starts_at):
            day -= ONE_DAY
    return day


@lru_cache(maxsize=20_000)
def local_day(day: date, zone: str, starts_at: int = 0) -> LocalDay:
    """A date that exists in the zone; raises ValueError for one that was skipped."""
    here = ZoneInfo(zone)
    at_us, end_us = day_start_us(day, zone, starts_at), day_start_us(day + ONE_DAY, zone, starts_at)
    begins: list[int] = []
    hours: list[int] = []
    while at_us < end_us:
        local = utc_datetime(at_us).astimezone(here)
        if not hours or hours[-1] != local.hour:
            begins.append(at_us)
            hours.append(local.hour)
        at_us = min((at_us // QUARTER_US + 1) * QUARTER_US, end_us)
    if not begins:
        raise ValueError(f"there was no {day} in {zone}")
    return LocalDay(day, tuple(begins), tuple(hours), end_us)


def midnight_us(day: date, zone: str) -> int:
    """When the date begins: the first of two midnights, and where clocks were put forward
    over midnight, that instant."""
    return day_start_us(day, zone)


@lru_cache(maxsize=20_000)
def day_start_us(day: date, zone: str, starts_at: int = 0) -> int:
    """Return when the date begins, `starts_at` minutes after midnight by the clock on the wall."""
    clock = time(starts_at // 60, starts_at % 60)
    return instant_us(datetime.combine(day, clock, ZoneInfo(zone)).astimezone(UTC))


class Calendar:
    """The dates of a zone. It remembers the last one, since who asks in order of time asks
    for the same one again and again."""

    __slots__ = ("_day", "starts_at", "zone")

    def __init__(self, zone: str, starts_at: int = 0) -> None:
        self.zone = zone
        self.starts_at = starts_at
        self._day: LocalDay | None = None

    def day_at(self, at_us: int) -> LocalDay:
        day = self._day
        if day is None or not day.begins_us[0] <= at_us < day.end_us:
            wanted = date_of(at_us, self.zone, self.starts_at)
            day = self._day = local_day(wanted, self.zone, self.starts_at)
        return day

    def parts_of(self, start_us: int, seconds: int) -> Iterator[Part]:
        """These seconds by date and hour."""
        while seconds > 0:
            day = self.day_at(start_us)
            slot = bisect_right(day.begins_us, start_us)
            until_us = day.begins_us[slot] if slot < len(day.begins_us) else day.end_us
            count = min(seconds, -((start_us - until_us) // SECOND_US))
            yield Part(day.date, day.hours[slot - 1], start_us, count)
            start_us += count * SECOND_US
            seconds -= count
