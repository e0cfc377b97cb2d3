"""Compute what a learner sees of their days, and the queries for it. Pure.

Invariants:

- Every series over a range has the same totals, whatever it is grouped by, except that seconds by
  hand belong to no hour.
- A date without sessions is present, with zeros.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from models.accounts.settings import GoalsBody, Learner
from models.base.errors import FieldError, Invalid
from models.base.schema_types import Day, WireModel
from models.sessions.session import FINAL
from models.study.day_summary import DaySummary
from models.study.periods import Dates
from scoring.local_days import ONE_DAY
from scoring.streaks import (
    DayMark,
    Goals,
    counted_days,
    counts_for_streak,
    goals_on,
    streaks,
    week_of,
)
from scoring.study_days import NOTHING, DayTally, Share, StudyDays, sum_of_days

DEFAULT_DAYS, MOST_DAYS = 30, 400
WEEK, HOURS = 7, 24

By = Literal["day", "week", "month", "hourOfWeek", "content", "tag"]


class SeriesQuery(WireModel):
    """A range of dates: `from` (included) to `to` (excluded), in the learner's time zone.

    The default is the last 30 days, including today.
    """

    by: By = "day"
    from_: Annotated[Day | None, Field(alias="from")] = None
    to: Day | None = None


class CalendarQuery(WireModel):
    """A year; the default is the current one."""

    year: Annotated[int, Field(ge=2000, le=2099)] | None = None


class Progress(WireModel):
    """Progress toward a goal; `goal` and `reached` are null where no goal is set."""

    done: int
    goal: int | None
    reached: bool | None


class PeriodProgress(WireModel):
    """A day, or the days of a week up to now."""

    date: date
    focused_seconds: int
    completed_sessions: int
    minutes: Progress


class Today(PeriodProgress):
    """Today, in the learner's time zone."""

    sessions: Progress


class SessionCounts(WireModel):
    """Numbers of sessions by status."""

    active: int
    paused: int
    completed: int
    abandoned: int
    cancelled: int


class Sums(WireModel):
    """Totals of sessions.

    A second in which two sessions were tracked counts once; seconds by hand are added. Ended
    sessions are those with at least one second, and so are scores. Rates are null where there is
    nothing to divide by.
    """

    focused_seconds: int
    manual_seconds: Annotated[int, Field(description="Of the focused seconds, those by hand.")]
    idle_seconds: int
    elapsed_seconds: int
    paused_seconds: int
    away_seconds: int
    ended_sessions: int
    completed_sessions: int
    completion_rate: float | None
    mean_focus_score: float | None
    best_focus_score: int | None
    last_focus_score: int | None
    tab_switches: int
    tab_switches_per_hour: float | None


class UserStats(Sums):
    """Totals of all the learner's sessions; streaks are in days."""

    sessions: SessionCounts
    current_streak: int
    longest_streak: int
    time_zone: str
    goals: GoalsBody
    today: Today
    week: PeriodProgress


class Point(Sums):
    """A date, or the first date of a week or month within the range."""

    date: date


class HourOfWeek(WireModel):
    """An hour of the week: `weekday` 1 (Monday) to 7, `hour` 0 to 23.

    Hours before `dayStartsAt` belong to the day before; seconds by hand belong to no hour.
    """

    weekday: int
    hour: int
    focused_seconds: int


class Shared(WireModel):
    """The totals of one subject or tag in a range."""

    name: str | None
    """Null stands for sessions without a content."""
    focused_seconds: int
    ended_sessions: int


class Series(WireModel):
    """The statistics of a range.

    `points` are by day, week and month; `hours` has all 168 hours of the week; `shares` are by
    subject or tag, the longest first. A session with two tags is in both.
    """

    by: By
    from_: Annotated[date, Field(alias="from")]
    to: date
    total: Sums
    points: list[Point] | None = None
    hours: list[HourOfWeek] | None = None
    shares: list[Shared] | None = None


class CalendarDay(WireModel):
    """A date; `counts` says whether it counts for a streak."""

    date: date
    focused_seconds: int
    completed_sessions: int
    counts: bool


class CalendarYear(WireModel):
    """Every date of a year."""

    year: int
    days: list[CalendarDay]


def user_stats(studied: DaySummary, learner: Learner, now: datetime) -> UserStats:
    """Return the statistics of `GET /api/stats/me`."""
    marks, today = studied.marks, learner.today(now)
    counted = counted_days(marks.values(), learner.goals, learner.zone)
    found = streaks(counted, today, learner.zone)
    first = week_of(today, learner.first_weekday)
    nothing = DayMark(first, 0, 0, None, None)
    week = nothing
    for day in _dates(first, today + ONE_DAY):
        week = week.plus(marks.get(day, nothing))
    here = marks.get(today, nothing)
    goals = learner.goals_now
    statuses = studied.total.ended + studied.total.empty + studied.open
    return UserStats(
        **_sums(studied.total).model_dump(by_alias=False),
        sessions=SessionCounts(
            **{status: statuses[status] for status in ("active", "paused", *sorted(FINAL))}
        ),
        current_streak=found.current,
        longest_streak=found.longest,
        time_zone=learner.zone,
        goals=goals_body(goals),
        today=Today(
            **_progress(today, here, goals.daily_minutes),
            sessions=_toward(here.completed, goals.sessions_per_day),
        ),
        week=PeriodProgress(**_progress(first, week, goals.weekly_minutes)),
    )


def goals_body(goals: Goals) -> GoalsBody:
    """Return goals as clients see them."""
    return GoalsBody(**goals._asdict())


def range_of(query: SeriesQuery, today: date) -> Dates:
    """Return the requested dates; raise Invalid if there are none or too many."""
    until = query.to or (today + ONE_DAY)
    since = query.from_ or (until - DEFAULT_DAYS * ONE_DAY)
    if not 0 < (until - since).days <= MOST_DAYS:
        message = f"must be before `to`, by {MOST_DAYS} days at most"
        errors = [FieldError(field="from", message=message)]
        raise Invalid("invalid_query", "The range is empty or too long.", errors)
    return Dates(since, until)


def series(days: StudyDays, by: By, dates: Dates, first_weekday: int = 0) -> Series:
    """Return the statistics of a range.

    Weeks begin with `first_weekday` (0 is Monday).
    """
    since, until = dates
    found = Series(by=by, from_=since, to=until, total=_sums(sum_of_days(days.values())))
    match by:
        case "hourOfWeek":
            found.hours = _hours_of_week(days)
        case "content":
            found.shares = _shares(tally.contents for tally in days.values())
        case "tag":
            found.shares = _shares(tally.tags for tally in days.values())
        case "day":
            found.points = _points(days, _dates(since, until), lambda day: day)
        case "week":
            found.points = _points(
                days, _dates(since, until), lambda day: week_of(day, first_weekday)
            )
        case "month":
            found.points = _points(days, _dates(since, until), lambda day: day.replace(day=1))
    return found


def calendar(studied: DaySummary, learner: Learner, year: int) -> CalendarYear:
    """Return every date of a year."""
    days = []
    for day in _dates(date(year, 1, 1), date(year + 1, 1, 1)):
        mark = studied.marks.get(day, DayMark(day, 0, 0, None, None))
        days.append(
            CalendarDay(
                date=day,
                focused_seconds=mark.focused,
                completed_sessions=mark.completed,
                counts=counts_for_streak(mark, goals_on(day, learner.goals)),
            )
        )
    return CalendarYear(year=year, days=days)


def _dates(since: date, until: date) -> list[date]:
    return [since + number * ONE_DAY for number in range((until - since).days)]


def _points(days: StudyDays, dates: list[date], label: Callable[[date], date]) -> list[Point]:
    totals: dict[date, DayTally] = {}
    for day in dates:
        total = totals.setdefault(label(day), DayTally())
        if day in days:
            total.merge(days[day])
    return [
        Point(date=day, **_sums(total).model_dump(by_alias=False)) for day, total in totals.items()
    ]


def _hours_of_week(days: StudyDays) -> list[HourOfWeek]:
    focused: Counter[tuple[int, int]] = Counter()
    for day, tally in days.items():
        for hour, seconds in tally.hours.items():
            focused[day.isoweekday(), hour] += seconds
    return [
        HourOfWeek(weekday=weekday, hour=hour, focused_seconds=focused[weekday, hour])
        for weekday in range(1, WEEK + 1)
        for hour in range(HOURS)
    ]


def _shares(found: Iterable[Mapping[Any, Share]]) -> list[Shared]:
    totals: dict[str | None, Share] = {}
    for shares in found:
        for name, share in shares.items():
            totals[name] = share.plus(totals.get(name, NOTHING))
    ranked = sorted(
        totals.items(), key=lambda item: (-item[1].focused, -item[1].ended, item[0] or "")
    )
    return [
        Shared(name=name, focused_seconds=share.focused, ended_sessions=share.ended)
        for name, share in ranked
    ]


def _sums(tally: DayTally) -> Sums:
    ended, elapsed = tally.sessions, tally.focused + tally.idle
    return Sums(
        focused_seconds=tally.focused,
        manual_seconds=tally.manual,
        idle_seconds=tally.idle,
        elapsed_seconds=elapsed,
        paused_seconds=tally.paused,
        away_seconds=tally.away,
        ended_sessions=ended,
        completed_sessions=tally.completed,
        completion_rate=round(tally.completed / ended, 4) if ended else None,
        mean_focus_score=round(tally.score_sum / ended, 1) if ended else None,
        best_focus_score=tally.best_score if ended else None,
        last_focus_score=tally.last_score[1] if tally.last_score else None,
        tab_switches=tally.tab_switches,
        tab_switches_per_hour=round(tally.tab_switches * 3600 / elapsed, 1) if elapsed else None,
    )


def _progress(day: date, mark: DayMark, minutes: int | None) -> dict[str, Any]:
    return {
        "date": day,
        "focused_seconds": mark.focused,
        "completed_sessions": mark.completed,
        "minutes": _toward(mark.focused // 60, minutes),
    }


def _toward(done: int, goal: int | None) -> Progress:
    return Progress(done=done, goal=goal, reached=None if goal is None else done >= goal)
