"""Divide time into local dates and their hours, in an IANA time zone. Pure.

Instants are whole microseconds since 1970-01-01T00:00Z. `starts_at` is when days start, in
minutes after midnight; the hours before it belong to the previous date.

Invariants:

- A second belongs to the local date and hour in which it begins, so the parts of a run by day or
  hour add up to the run.
- A day has as many hours as the rules of the zone give it: 23, 24, 25, or another number.
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
"""Offsets of zones change at whole quarters of an hour, so hours start at such an instant."""


class LocalDay(NamedTuple):
    """A date in a zone, with its hours.

    When clocks are put back, an hour is longer; when they are put forward, an hour is missing.
    """

    date: date
    begins_us: tuple[int, ...]
    """The instants at which its hours begin."""
    hours: tuple[int, ...]
    """The number of each hour, 0 to 23, in the same order."""
    end_us: int

    @property
    def start_us(self) -> int:
        """The instant at which the date starts."""
        return self.begins_us[0]


class Part(NamedTuple):
    """Consecutive seconds within one hour of one date."""

    date: date
    hour: int
    start_us: int
    seconds: int


def instant_us(at: datetime) -> int:
    """Return an aware datetime as microseconds since 1970."""
    return (at - EPOCH) // MICROSECOND


def utc_datetime(at_us: int) -> datetime:
    """Return microseconds since 1970 as a datetime in UTC."""
    return EPOCH + timedelta(microseconds=at_us)


class LocalClock(NamedTuple):
    """The time zone of a learner, and when their days start."""

    zone: str
    starts_at: int = 0
    """Minutes after midnight."""

    def date_of(self, at_us: int) -> date:
        """Return the date at an instant."""
        return date_of(at_us, self.zone, self.starts_at)


def date_of(at_us: int, zone: str, starts_at: int = 0) -> date:
    """Return the local date at an instant."""
    day = utc_datetime(at_us).astimezone(ZoneInfo(zone)).date()
    if starts_at:
        # Not a subtraction of `starts_at`: where clocks change at that hour, it comes twice or
        # never. The day starts when it comes first.
        while at_us < day_start_us(day, zone, starts_at):
            day -= ONE_DAY
    return day


@lru_cache(maxsize=20_000)
def local_day(day: date, zone: str, starts_at: int = 0) -> LocalDay:
    """Return a date with its hours.

    Raises:
        ValueError: The zone skipped this date, when it moved over the date line.
    """
    zone_info = ZoneInfo(zone)
    at_us, end_us = day_start_us(day, zone, starts_at), day_start_us(day + ONE_DAY, zone, starts_at)
    begins: list[int] = []
    hours: list[int] = []
    while at_us < end_us:
        local = utc_datetime(at_us).astimezone(zone_info)
        if not hours or hours[-1] != local.hour:
            begins.append(at_us)
            hours.append(local.hour)
        at_us = min((at_us // QUARTER_US + 1) * QUARTER_US, end_us)
    if not begins:
        raise ValueError(f"there was no {day} in {zone}")
    return LocalDay(day, tuple(begins), tuple(hours), end_us)


def midnight_us(day: date, zone: str) -> int:
    """Return the instant of a date's midnight.

    Of two midnights it is the first; if clocks are put forward over midnight, it is the instant
    of that change.
    """
    return day_start_us(day, zone)


@lru_cache(maxsize=20_000)
def day_start_us(day: date, zone: str, starts_at: int = 0) -> int:
    """Return the instant at which a date starts, `starts_at` minutes after its midnight."""
    clock = time(starts_at // 60, starts_at % 60)
    return instant_us(datetime.combine(day, clock, ZoneInfo(zone)).astimezone(UTC))


class Calendar:
    """The dates of a zone.

    It caches the last date, because callers go through sessions in order of time.
    """

    __slots__ = ("_day", "starts_at", "zone")

    def __init__(self, zone: str, starts_at: int = 0) -> None:
        self.zone = zone
        self.starts_at = starts_at
        self._day: LocalDay | None = None

    def day_at(self, at_us: int) -> LocalDay:
        """Return the local date at an instant, with its hours."""
        day = self._day
        if day is None or not day.begins_us[0] <= at_us < day.end_us:
            date_ = date_of(at_us, self.zone, self.starts_at)
            day = self._day = local_day(date_, self.zone, self.starts_at)
        return day

    def parts_of(self, start_us: int, seconds: int) -> Iterator[Part]:
        """Divide consecutive seconds, from `start_us` on, by date and hour."""
        while seconds > 0:
            day = self.day_at(start_us)
            slot = bisect_right(day.begins_us, start_us)
            until_us = day.begins_us[slot] if slot < len(day.begins_us) else day.end_us
            # The second that runs over the end of the hour began in it: rounded up.
            count = min(seconds, -((start_us - until_us) // SECOND_US))
            yield Part(day.date, day.hours[slot - 1], start_us, count)
            start_us += count * SECOND_US
            seconds -= count
