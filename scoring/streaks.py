"""Goals and streaks: which of a learner's days count, and how many in a row do. Pure.

What must always hold:

- a day counts if it met the daily goals that were set on that date; without any, if at least
  a minute of it was focused. So a goal that is raised today breaks no streak of the past;
- a streak is a run of days that follow each other. One date follows another if it is the
  next; and if the time zone changed between them, also when no whole day lay between the
  end of the one and the begin of the other, each by its own clock: a date that a journey
  over the date line leaves out, or cuts short, breaks nothing;
- today breaks no streak before it is over.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from scoring.local_days import ONE_DAY, midnight_us
from scoring.study_days import DayMark
from scoring.timeline import SECOND_US

WHOLE_DAY_US = 23 * 3600 * SECOND_US
"""The shortest day that clocks make."""

MIN_FOCUSED_SECONDS = 60
"""Of focus, on a day that counts without goals."""


class Goals(NamedTuple):
    """What a learner wants to reach; None is not set."""

    daily_minutes: int | None = None
    weekly_minutes: int | None = None
    sessions_per_day: int | None = None


class GoalsSince(NamedTuple):
    """Goals, and the first date for which they were set."""

    since: date
    goals: Goals


class Streaks(NamedTuple):
    """Days."""

    current: int
    longest: int


class CountedDay(NamedTuple):
    """A date that counts, and the zones in which its first and its last moment were lived."""

    date: date
    first_zone: str
    last_zone: str


NO_GOALS = Goals()


def goals_on(day: date, history: Sequence[GoalsSince]) -> Goals:
    """Those that were set on this date; `history` is in order of time."""
    found = NO_GOALS
    for each in history:
        if each.since > day:
            break
        found = each.goals
    return found


def counts_for_streak(day: DayMark, goals: Goals) -> bool:
    """Whether such a day counts for a streak."""
    if goals.daily_minutes is None and goals.sessions_per_day is None:
        return day.focused >= MIN_FOCUSED_SECONDS
    return day.focused >= (goals.daily_minutes or 0) * 60 and day.completed >= (
        goals.sessions_per_day or 0
    )


def counted_days(
    marks: Iterable[DayMark], history: Sequence[GoalsSince], default_zone: str
) -> list[CountedDay]:
    """The days that count, in order."""
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
    """The streak that goes on, and the longest there was. `days` are in order; `today` is
    the date in `zone`, where the learner is now."""
    longest = length = 0
    last: CountedDay | None = None
    for day in days:
        length = length + 1 if last is not None and _follows(last, day) else 1
        longest = max(longest, length)
        last = day
    if last is None:
        return Streaks(0, 0)
    goes_on = last.date >= today or _follows(last, CountedDay(today, zone, zone))
    return Streaks(length if goes_on else 0, longest)


def _follows(before: CountedDay, after: CountedDay) -> bool:
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
        first_weekday: With which weekday weeks begin, 0 for Monday (ISO 8601) to 6.
    """
    return day - timedelta(days=(day.weekday() - first_weekday) % 7)
