"""Test streaks against examples and a plain count."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.local_days import date_of, instant_us
from scoring.streaks import (
    CountedDay,
    Goals,
    GoalsSince,
    Streaks,
    counted_days,
    goals_on,
    streaks,
    week_of,
)
from scoring.study_days import StudySession, tally
from scoring.timeline import SECOND_US, Kind, Run

BERLIN, TOKYO, LA = "Europe/Berlin", "Asia/Tokyo", "America/Los_Angeles"
NEW_YORK, LONDON, AUCKLAND = "America/New_York", "Europe/London", "Pacific/Auckland"
HONOLULU, KIRITIMATI, CAIRO = "Pacific/Honolulu", "Pacific/Kiritimati", "Africa/Cairo"


class Case(NamedTuple):
    said: str
    sessions: str
    """`date time [zone] [minutes] [status]`, separated by `;`, by the clock where one was."""
    today: str
    expected: tuple[int, int]
    zone: str = "UTC"
    goals: Sequence[GoalsSince] = ()


def lived(text: str, default_zone: str) -> StudySession:
    day, clock, *more = text.split()
    zone, minutes, status = default_zone, 25.0, "completed"
    for word in more:
        if "/" in word:
            zone = word
        elif word[0].isdigit():
            minutes = float(word)
        else:
            status = word
    local = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZoneInfo(zone))
    origin_us = instant_us(local.astimezone(UTC))
    seconds = round(minutes * 60)
    return StudySession(
        id=text,
        zone=zone,
        status=status,
        origin_us=origin_us,
        end_us=None if status == "active" else origin_us + seconds * SECOND_US,
        runs=[Run(Kind.ACTIVE, 0, seconds * SECOND_US)],
        paused_seconds=0,
        away_seconds=0,
        focus_score=None,
        content=None,
        tags=(),
    )


def since(day: str, daily: int | None = None, sessions: int | None = None) -> GoalsSince:
    return GoalsSince(
        date.fromisoformat(day), Goals(daily_minutes=daily, sessions_per_day=sessions)
    )


WEEK = "; ".join(f"2026-05-{day:02} 10:00" for day in range(4, 11))
CASES = [
    Case("I have just signed up.", "", "2026-05-04", (0, 0)),
    Case("I did my first session today.", "2026-05-04 10:00", "2026-05-04", (1, 1)),
    Case("I did one yesterday, and today is not over.", "2026-05-03 10:00", "2026-05-04", (1, 1)),
    Case("I did nothing yesterday.", "2026-05-02 10:00", "2026-05-04", (0, 1)),
    Case("I did three today.", "2026-05-04 08:00; 2026-05-04 09:00; 2026-05-04 10:00", "2026-05-04", (1, 1)),
    Case("I studied all week.", WEEK, "2026-05-10", (7, 7)),
    Case("I studied all last week, and it is Monday morning.", WEEK, "2026-05-11", (7, 7)),
    Case("I missed Monday after a week.", WEEK, "2026-05-12", (0, 7)),
    Case("I missed Wednesday.", "2026-05-04 10:00; 2026-05-05 10:00; 2026-05-07 10:00; 2026-05-08 10:00", "2026-05-08", (2, 2)),
    Case("My best streak was before the gap.", WEEK + "; 2026-05-12 10:00", "2026-05-12", (1, 7)),
    Case("I gave up each session today, but studied all the same.", "2026-05-03 10:00; 2026-05-04 10:00 abandoned", "2026-05-04", (2, 2)),
    Case("I cancelled the only one of Tuesday after 25 minutes.", "2026-05-04 10:00; 2026-05-05 10:00 cancelled; 2026-05-06 10:00", "2026-05-06", (3, 3)),
    Case("I am in the middle of today's session.", "2026-05-03 10:00; 2026-05-04 10:00 active", "2026-05-04", (2, 2)),
    Case("I gave one up and completed another.", "2026-05-04 10:00 abandoned; 2026-05-04 11:00", "2026-05-04", (1, 1)),
    Case("I studied on February 28 and 29.", "2028-02-28 10:00; 2028-02-29 10:00; 2028-03-01 10:00", "2028-03-01", (3, 3)),
    Case("I missed February 29.", "2028-02-28 10:00; 2028-03-01 10:00", "2028-03-01", (1, 1)),
    Case("There is no February 29 this year.", "2026-02-28 10:00; 2026-03-01 10:00", "2026-03-01", (2, 2)),
    Case("It went on over New Year.", "2025-12-31 23:00; 2026-01-01 10:00", "2026-01-01", (2, 2)),
    Case("I finished after midnight, and studied on both days.", "2026-05-04 23:50", "2026-05-05", (2, 2)),
    Case("I began before midnight and finished after it; nothing else that day.", "2026-05-03 10:00; 2026-05-04 23:50", "2026-05-05", (3, 3)),
    Case("I study late: 23:30 one day and 0:30 after the next.", "2026-05-04 23:30 20; 2026-05-06 00:30", "2026-05-06", (1, 1)),
    Case("I studied 90 s before midnight and 60 s after it.", "2026-05-04 23:58:30 2.5", "2026-05-05", (2, 2)),
    Case("I studied for 59 seconds.", "2026-05-04 10:00 0.983", "2026-05-04", (0, 0)),
    Case("I opened a session and closed it at once.", "2026-05-04 10:00 0", "2026-05-04", (0, 0)),
    Case("I want a session a day and closed one at once.", "2026-05-04 10:00 0", "2026-05-04", (0, 0), goals=[since("2026-05-01", None, 1)]),
    # clocks
    Case("Clocks went forward that night.", "2026-03-28 10:00; 2026-03-29 10:00; 2026-03-30 10:00", "2026-03-30", (3, 3), BERLIN),
    Case("I missed the day of 23 hours.", "2026-03-28 10:00; 2026-03-30 10:00", "2026-03-30", (1, 1), BERLIN),
    Case("Clocks went back that night.", "2026-10-24 10:00; 2026-10-25 10:00; 2026-10-26 10:00", "2026-10-26", (3, 3), BERLIN),
    Case("I missed the day of 25 hours.", "2026-10-24 10:00; 2026-10-26 10:00", "2026-10-26", (1, 1), BERLIN),
    Case("I studied in the hour that came twice.", "2026-10-24 10:00; 2026-10-25 02:10", "2026-10-25", (2, 2), BERLIN),
    Case("I studied over the hour that was missing.", "2026-03-28 22:00; 2026-03-29 01:50 40", "2026-03-29", (2, 2), BERLIN),
    Case("Here the clocks change at midnight.", "2026-04-23 10:00; 2026-04-24 10:00; 2026-04-25 10:00", "2026-04-25", (3, 3), CAIRO),
    Case("At 23:30 here it is tomorrow in UTC.", "2026-05-04 23:30 20; 2026-05-05 23:30 20", "2026-05-05", (2, 2), NEW_YORK),
    Case("Today is the learner's today, not the server's.", "2026-05-03 23:30 20", "2026-05-04", (1, 1), HONOLULU),
    # travel
    Case("I flew from Berlin to New York and studied each day.", f"2026-05-04 10:00 {BERLIN}; 2026-05-05 20:00 {NEW_YORK}", "2026-05-05", (2, 2), NEW_YORK),
    Case("I flew home from New York over night.", f"2026-05-04 20:00 {NEW_YORK}; 2026-05-05 21:00 {BERLIN}", "2026-05-05", (2, 2), BERLIN),
    Case("I flew to Tokyo and lost most of a day over the date line.", f"2026-05-04 20:00 {LA}; 2026-05-06 09:00 {TOKYO}", "2026-05-06", (2, 2), TOKYO),
    Case("I flew to Tokyo and then rested a whole day.", f"2026-05-04 20:00 {LA}; 2026-05-07 09:00 {TOKYO}", "2026-05-07", (1, 1), TOKYO),
    Case("I landed in Tokyo and have not studied yet.", f"2026-05-04 20:00 {LA}", "2026-05-06", (1, 1), TOKYO),
    Case("In Auckland it was the 6th; in Los Angeles it is the 5th again.", f"2026-05-05 10:00 {AUCKLAND}; 2026-05-06 08:00 {AUCKLAND}", "2026-05-05", (2, 2), LA),
    Case("I lived the 5th twice and studied on both.", f"2026-05-04 10:00 {AUCKLAND}; 2026-05-05 10:00 {AUCKLAND}; 2026-05-05 10:00 {LA}; 2026-05-06 10:00 {LA}", "2026-05-06", (3, 3), LA),
    Case("A train to London and a missed day is a missed day.", f"2026-05-04 10:00 {BERLIN}; 2026-05-06 10:00 {LONDON}", "2026-05-06", (1, 1), LONDON),
    Case("From Berlin to Paris nothing changes, so a missed day is one.", f"2026-05-04 10:00 {BERLIN}; 2026-05-06 10:00 Europe/Paris", "2026-05-06", (1, 1), "Europe/Paris"),
    Case("I flew from Honolulu to Kiritimati, a whole day ahead.", f"2026-05-04 10:00 {HONOLULU}; 2026-05-06 10:00 {KIRITIMATI}", "2026-05-06", (2, 2), KIRITIMATI),
    Case("I changed my zone in the settings; what I did stays where I did it.", f"2026-05-04 23:30 20 {LA}; 2026-05-05 23:30 20 {LA}", "2026-05-06", (2, 2), TOKYO),
    # goals
    Case("My goal is 30 minutes, and I did 30.", "2026-05-04 10:00 30", "2026-05-04", (1, 1), goals=[since("2026-05-01", 30)]),
    Case("I did 29 of 30 minutes.", "2026-05-04 10:00 29", "2026-05-04", (0, 0), goals=[since("2026-05-01", 30)]),
    Case("Two sessions of 15 make my 30.", "2026-05-04 10:00 15; 2026-05-04 11:00 15 abandoned", "2026-05-04", (1, 1), goals=[since("2026-05-01", 30)]),
    Case("I raised my goal today; yesterday still counts.", "2026-05-03 10:00 30; 2026-05-04 10:00 60", "2026-05-04", (2, 2), goals=[since("2026-05-01", 30), since("2026-05-04", 60)]),
    Case("I raised it today and have not reached it yet.", "2026-05-03 10:00 30; 2026-05-04 10:00 30", "2026-05-04", (1, 1), goals=[since("2026-05-01", 30), since("2026-05-04", 60)]),
    Case("I set a goal today; before that a session was enough.", "2026-05-02 10:00 5; 2026-05-03 10:00 5; 2026-05-04 10:00 45", "2026-05-04", (3, 3), goals=[since("2026-05-04", 45)]),
    Case("I took my goal back, and a short session counts again.", "2026-05-03 10:00 60; 2026-05-04 10:00 5", "2026-05-04", (2, 2), goals=[since("2026-05-01", 60), since("2026-05-04")]),
    Case("I want two sessions a day and did one.", "2026-05-04 10:00", "2026-05-04", (0, 0), goals=[since("2026-05-01", None, 2)]),
    Case("I want two a day, and both were completed.", "2026-05-04 10:00; 2026-05-04 12:00", "2026-05-04", (1, 1), goals=[since("2026-05-01", None, 2)]),
    Case("I want 40 minutes in two sessions; one long one is not enough.", "2026-05-04 10:00 60", "2026-05-04", (0, 0), goals=[since("2026-05-01", 40, 2)]),
    Case("Two apps counted the same half hour, which is no hour.", "2026-05-04 10:00 30; 2026-05-04 10:00 30.0", "2026-05-04", (0, 0), goals=[since("2026-05-01", 60)]),
    Case("I am at my goal in a session that still runs.", "2026-05-04 10:00 60 active", "2026-05-04", (1, 1), goals=[since("2026-05-01", 60)]),
    # late edits
    Case("I was abandoned on Tuesday, and it was reassigned to reach the goal.", "2026-05-04 10:00 30; 2026-05-05 10:00 30 abandoned; 2026-05-06 10:00 30", "2026-05-06", (3, 3), goals=[since("2026-05-01", 30)]),
    Case("I deleted the only session of Tuesday.", "2026-05-04 10:00; 2026-05-06 10:00", "2026-05-06", (1, 1)),
    Case("I deleted one of two sessions of Tuesday.", "2026-05-04 10:00; 2026-05-05 10:00; 2026-05-06 10:00", "2026-05-06", (3, 3)),
    Case("Its minutes were corrected from 30 to 10.", "2026-05-03 10:00 30; 2026-05-04 10:00 10; 2026-05-05 10:00 30", "2026-05-05", (1, 1), goals=[since("2026-05-01", 30)]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.said for case in CASES])
def test_as_people_tell_it(case: Case) -> None:
    sessions = [lived(text.strip(), case.zone) for text in case.sessions.split(";") if text]
    marks = [each.mark(day) for day, each in tally(sessions).items()]
    days = counted_days(marks, case.goals, case.zone)
    assert streaks(days, date.fromisoformat(case.today), case.zone) == case.expected


def test_there_are_at_least_forty_and_no_two_are_the_same() -> None:
    assert len(CASES) >= 40
    assert len({case.said for case in CASES}) == len(CASES)


# --- what holds for all --------------------------------------------------------------------

DATES = st.integers(0, 40).map(lambda number: date(2026, 3, 1) + timedelta(days=number))


@given(st.sets(DATES), DATES)
def test_in_one_zone_a_streak_is_consecutive_dates(dates: set[date], today: date) -> None:
    found = streaks([CountedDay(day, BERLIN, BERLIN) for day in sorted(dates)], today, BERLIN)
    lengths, length = [0], 0
    for day in sorted(dates):
        length = length + 1 if day - timedelta(days=1) in dates else 1
        lengths.append(length)
    assert found.longest == max(lengths)
    if not dates or max(dates) < today - timedelta(days=1):
        assert found.current == 0
    else:
        assert found.current == lengths[-1]


STAYS = st.tuples(st.integers(30, 100), st.sampled_from([LA, NEW_YORK, BERLIN, TOKYO]))


@given(st.lists(STAYS, max_size=8))
def test_who_studies_each_day_of_a_journey_never_loses_the_streak(
    stays: list[tuple[int, str]],
) -> None:
    """Sessions at most 20 hours apart, wherever one is meanwhile."""
    at = datetime(2026, 5, 4, 12, tzinfo=UTC)
    places: list[tuple[datetime, str]] = []
    for hours, zone in stays:
        until = at + timedelta(hours=hours)
        while at < until:
            places.append((at, zone))
            at += timedelta(hours=20)
    zones_of: dict[date, list[str]] = {}
    for instant, zone in places:
        zones_of.setdefault(date_of(instant_us(instant), zone), []).append(zone)
    days = [CountedDay(day, zones[0], zones[-1]) for day, zones in sorted(zones_of.items())]
    if places:
        last, zone = places[-1]
        today = date_of(instant_us(last), zone)
        assert streaks(days, today, zone) == Streaks(len(days), len(days))


@given(st.lists(st.tuples(DATES, st.integers(1, 99)), unique_by=lambda pair: pair[0]), DATES)
def test_the_goals_of_a_date_are_the_last_that_were_set_by_then(
    pairs: list[tuple[date, int]], day: date
) -> None:
    history = [GoalsSince(when, Goals(minutes)) for when, minutes in sorted(pairs)]
    before = [minutes for when, minutes in sorted(pairs) if when <= day]
    assert goals_on(day, history).daily_minutes == (before[-1] if before else None)


@given(DATES)
def test_weeks_begin_on_mondays(day: date) -> None:
    monday = week_of(day)
    assert monday.weekday() == 0
    assert 0 <= (day - monday).days < 7
