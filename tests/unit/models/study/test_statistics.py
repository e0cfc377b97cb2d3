"""Series over the same dates come to the same totals, whatever they are told by."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.accounts.settings import Learner
from models.base.errors import Invalid
from models.study.day_summary import DaySummary
from models.study.periods import Dates
from models.study.statistics import (
    MOST_DAYS,
    Series,
    SeriesQuery,
    Sums,
    calendar,
    range_of,
    series,
    user_stats,
)
from scoring.streaks import Goals, GoalsSince, week_of
from scoring.study_days import StudyDays, tally
from tests.unit.scoring.test_study_days import lived

TODAY = date(2026, 3, 30)
ALL = Dates(date(2026, 3, 20), date(2026, 4, 10))
ADDED_UP = (
    *("focused_seconds", "idle_seconds", "elapsed_seconds", "paused_seconds", "away_seconds"),
    *("ended_sessions", "completed_sessions", "tab_switches"),
)
SESSIONS = st.lists(lived(), max_size=8, unique_by=lambda each: each.id)


def sums_of(total: Sums) -> dict[str, int]:
    return {name: getattr(total, name) for name in ADDED_UP}


def studied_of(days: StudyDays) -> DaySummary:
    studied = DaySummary()
    studied.add_days(days, ALL)
    return studied


def told(days: StudyDays) -> dict[str, Series]:
    return {
        by: series(days, by, ALL) for by in ("day", "week", "month", "hourOfWeek", "content", "tag")
    }


@given(SESSIONS)
def test_days_weeks_and_months_come_to_the_total(sessions: list) -> None:  # type: ignore[type-arg]
    days = tally(sessions)
    for found in told(days).values():
        assert found.total == told(days)["day"].total
        if found.points is not None:
            for name in ADDED_UP:
                together = sum(getattr(point, name) for point in found.points)
                assert together == getattr(found.total, name), (found.by, name)


@given(SESSIONS)
def test_weeks_and_months_are_their_days(sessions: list) -> None:  # type: ignore[type-arg]
    found = told(tally(sessions))
    for by, label in (("week", week_of), ("month", lambda day: day.replace(day=1))):
        points = {point.date: sums_of(point) for point in found[by].points or ()}
        for point in found["day"].points or ():
            for name, value in sums_of(point).items():
                points[label(point.date)][name] -= value
        assert {value for each in points.values() for value in each.values()} <= {0}


@given(SESSIONS)
def test_hours_and_contents_come_to_the_focused_seconds(sessions: list) -> None:  # type: ignore[type-arg]
    found = told(tally(sessions))
    total = found["day"].total
    hours = found["hourOfWeek"].hours or []
    assert [(each.weekday, each.hour) for each in hours] == [
        (weekday, hour) for weekday in range(1, 8) for hour in range(24)
    ]
    of_hours = total.focused_seconds - total.manual_seconds
    assert sum(each.focused_seconds for each in hours) == of_hours
    shares = found["content"].shares or []
    assert sum(each.focused_seconds for each in shares) == total.focused_seconds
    assert sum(each.ended_sessions for each in shares) == total.ended_sessions


@given(SESSIONS, st.dates(date(2026, 3, 25), date(2026, 4, 5)))
def test_the_statistics_are_the_sum_of_all_days(sessions: list, today: date) -> None:  # type: ignore[type-arg]
    studied = studied_of(tally(sessions))
    now = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
    learner = Learner("ada", "UTC", (GoalsSince(date(2026, 1, 1), Goals(30, 60, 1)),))
    stats = user_stats(studied, learner, now)
    assert sums_of(stats) == sums_of(told(tally(sessions))["day"].total)
    completed = [each for each in sessions if each.status == "completed"]
    assert stats.sessions.completed == len(completed)
    assert stats.completed_sessions == len([each for each in completed if not each.is_empty])
    assert stats.today.date == today
    assert stats.week.date == week_of(today)
    points = {point.date: point for point in told(tally(sessions))["day"].points or ()}
    assert stats.today.focused_seconds == points[today].focused_seconds
    assert stats.today.minutes.done == points[today].focused_seconds // 60
    assert stats.today.minutes.reached == (points[today].focused_seconds >= 1800)
    week = [
        point.focused_seconds
        for day, point in points.items()
        if week_of(day) == stats.week.date and day <= today
    ]
    assert stats.week.focused_seconds == sum(week)


@given(SESSIONS)
def test_a_calendar_has_every_date_of_the_year(sessions: list) -> None:  # type: ignore[type-arg]
    studied = studied_of(tally(sessions))
    found = calendar(studied, Learner("ada", "UTC", ()), 2026)
    assert [each.date for each in found.days] == [
        date(2026, 1, 1) + number * timedelta(days=1) for number in range(365)
    ]
    assert sum(each.focused_seconds for each in found.days) == studied.total.focused
    assert [each.date for each in found.days if each.counts] == sorted(
        day for day, mark in studied.marks.items() if mark.focused >= 60
    )


def test_a_range_is_the_last_thirty_days_unless_it_is_given() -> None:
    assert range_of(SeriesQuery(), TODAY) == Dates(date(2026, 3, 1), date(2026, 3, 31))
    year = SeriesQuery(from_=date(2025, 1, 1), to=date(2025, 1, 1) + MOST_DAYS * timedelta(days=1))
    assert (range_of(year, TODAY).until - range_of(year, TODAY).since).days == MOST_DAYS
    with pytest.raises(Invalid):
        range_of(SeriesQuery(from_=date(2026, 4, 1)), TODAY)
