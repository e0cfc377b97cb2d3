"""Decide which days reach their goals, and count how many do in a row. Pure.

Invariants:

- A day counts if it met the daily goals that were set on that date; without goals, if at least
  a minute of it was focused. So raising a goal today breaks no past streak.
- A streak is a sequence of counted days that follow each other. One date follows another if it
  is the next date. If the time zone changed between them, it also follows when less than a whole
  day lay between the end of the one and the start of the other, each by its own clock: a date
  that was skipped or cut short by crossing the date line breaks no streak.
- Today breaks no streak before it is over.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from scoring.local_days import ONE_DAY, midnight_us
from scoring.timeline import SECOND_US

WHOLE_DAY_US = 23 * 3600 * SECOND_US
"""The shortest day: clocks are put forward by an hour."""

MIN_FOCUSED_SECONDS = 60
"""Focused seconds that make a day count when no goal is set."""


class DayMark(NamedTuple):
    """The excerpt of a date's tally that streaks and calendars use."""

    date: date
    focused: int
    """Seconds."""
    completed: int
    """Number of sessions."""
    first: tuple[int, str] | None
    """Instant, in microseconds since 1970, and time zone of the first second, entry or end."""
    last: tuple[int, str] | None
    """Instant and time zone of the last second, entry or end."""

    def plus(self, other: "DayMark") -> "DayMark":
        """Return the sum of two marks of the same date."""
        firsts = [each.first for each in (self, other) if each.first is not None]
        lasts = [each.last for each in (self, other) if each.last is not None]
        return DayMark(
            self.date,
            self.focused + other.focused,
            self.completed + other.completed,
            min(firsts, default=None),
            max(lasts, default=None),
        )

    def to_row(self) -> list[Any]:
        """Return the mark in its stored form."""
        sums = [self.date.isoformat(), self.focused, self.completed]
        return [*sums, *(self.first or ()), *(self.last or ())]

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> "DayMark":
        """Return the mark that was stored as this row."""
        day, focused, completed, *moments = row
        first = last = None
        if moments:
            first, last = (moments[0], moments[1]), (moments[2], moments[3])
        return cls(date.fromisoformat(day), focused, completed, first, last)


class Goals(NamedTuple):
    """The goals of a learner; None means that a goal is not set."""

    daily_minutes: int | None = None
    weekly_minutes: int | None = None
    sessions_per_day: int | None = None


class GoalsSince(NamedTuple):
    """Goals, and the first date on which they apply."""

    since: date
    goals: Goals


class Streaks(NamedTuple):
    """Lengths of streaks in days."""

    current: int
    longest: int


class CountedDay(NamedTuple):
    """A date that counts, and the time zones at its first and its last moment."""

    date: date
    first_zone: str
    last_zone: str


NO_GOALS = Goals()


def goals_on(day: date, history: Sequence[GoalsSince]) -> Goals:
    """Return the goals that applied on a date.

    Args:
        day: Any date.
        history: All goals ever set, in order of time.
    """
    found = NO_GOALS
    for each in history:
        if each.since > day:
            break
        found = each.goals
    return found


def counts_for_streak(day: DayMark, goals: Goals) -> bool:
    """Return whether a day counts for a streak under these goals."""
    if goals.daily_minutes is None and goals.sessions_per_day is None:
        return day.focused >= MIN_FOCUSED_SECONDS
    return day.focused >= (goals.daily_minutes or 0) * 60 and day.completed >= (
        goals.sessions_per_day or 0
    )


def counted_days(
    marks: Iterable[DayMark], history: Sequence[GoalsSince], default_zone: str
) -> list[CountedDay]:
    """Return the days that count, in order.

    Args:
        marks: In any order.
        history: All goals ever set, in order of time.
        default_zone: The time zone of days that have no moment.
    """
    return [
        CountedDay(
            mark.date,
            mark.first[1] if mark.first else default_zone,
            mark.last[1] if mark.last else default_zone,
        )
        for mark in sorted(marks)
        if counts_for_streak(mark, goals_on(mark.date, history))
    ]


def streaks(days: Iterable[CountedDay], today: date, zone: str) -> Streaks:
    """Return the current and the longest streak.

    Args:
        days: The days that count, in order.
        today: The present date in `zone`.
        zone: The time zone in which the learner is now.
    """
    longest = length = 0
    last: CountedDay | None = None
    for day in days:
        length = length + 1 if last is not None and _follows(last, day) else 1
        longest = max(longest, length)
        last = day
    if last is None:
        return Streaks(0, 0)
    # Today need not count yet: a streak up to yesterday is still current.
    is_current = last.date >= today or _follows(last, CountedDay(today, zone, zone))
    return Streaks(length if is_current else 0, longest)


def _follows(before: CountedDay, after: CountedDay) -> bool:
    """Return whether no whole day lies between two dates, each by the clock of its zone."""
    if after.date - before.date <= ONE_DAY:
        return True
    if before.last_zone == after.first_zone or after.date - before.date > 2 * ONE_DAY:
        return False
    over_us = midnight_us(before.date + ONE_DAY, before.last_zone)
    return midnight_us(after.date, after.first_zone) - over_us < WHOLE_DAY_US


def week_of(day: date, first_weekday: int = 0) -> date:
    """Return the first day of the week in which the date lies.

    Args:
        day: Any date.
        first_weekday: The weekday on which weeks begin, 0 for Monday (ISO 8601) to 6.
    """
    return day - timedelta(days=(day.weekday() - first_weekday) % 7)
