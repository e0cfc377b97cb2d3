"""Build the sessions of a learner's year. Pure.

Invariants:

- The same seed, user and day give the same sessions; later on that day they only continue.
- All sessions lie in the past and do not overlap. Each is as the server would have stored it:
  counters, timeline and score agree, and a silence is idle only beyond the idle threshold.
"""

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from focusup.demo.profile import (
    NOTES,
    PHASES,
    STREAK_DAYS,
    SUBJECTS,
    YEAR_DAYS,
    ZONE,
    Phase,
    Subject,
)
from focusup.demo.seeded_random import dice, id_of
from models.base.database import Document
from models.base.schema_types import milliseconds
from models.sessions.idle_modes import idle_after_s
from models.sessions.past_sessions import past_session
from models.sessions.session import NewSession, ended_fields
from scoring.local_days import ONE_DAY, date_of, instant_us
from scoring.streaks import NO_GOALS, Goals, GoalsSince, goals_on
from scoring.timeline import SECOND_US, Kind, Run

INTERACTIVE_S = 15.0
ABANDONED_AFTER = timedelta(minutes=30)
LATEST_START = time(23)
HOURS = {7: 5, 8: 7, 9: 5, 10: 3, 14: 2, 15: 3, 16: 3, 17: 2, 19: 4, 20: 7, 21: 4, 22: 1}
"""Mornings and evenings above all."""
EARLY = (7, 8, 9)
"""Then the first session of a day is over before midnight, whatever happens."""
WEEKDAY, WEEKEND = 1.25, 0.45

Outcome = Literal["completed", "abandoned", "cancelled"]


class Plan(NamedTuple):
    """A session before it is lived."""

    key: str
    subject: Subject
    target_minutes: int
    outcome: Outcome
    least_active_s: int
    days_ago: int


def goals_of(now: datetime) -> list[GoalsSince]:
    """The goals that were set in the year up to `now`, and since when."""
    today = date_of(instant_us(now), ZONE)
    return [
        GoalsSince(today - phase.days_ago * ONE_DAY, phase.goals)
        for phase in PHASES
        if phase.goals != NO_GOALS
    ]


def first_day(now: datetime) -> datetime:
    """When the year begins."""
    today = date_of(instant_us(now), ZONE)
    return _at(today - (YEAR_DAYS - 1) * ONE_DAY, time(6))


def sessions_of(user_id: str, seed: int, now: datetime) -> Iterator[Document]:
    """The sessions that were over by `now`, in order of time."""
    today = date_of(instant_us(now), ZONE)
    goals = goals_of(now)
    for days_ago in reversed(range(YEAR_DAYS)):
        day = today - days_ago * ONE_DAY
        for document in _day(user_id, seed, day, days_ago, goals_on(day, goals)):
            if document["updatedAt"] <= now:
                yield document


def _day(user_id: str, seed: int, day: date, days_ago: int, goals: Goals) -> Iterator[Document]:
    chance = dice(seed, "day", day)
    free_at = _at(day, time(5))
    for number, start in enumerate(_starts(chance, day, days_ago)):
        needed_s = _needed_s(goals) if number == 0 and days_ago < STREAK_DAYS else 0
        plan = _plan(chance, f"{day}/{number}", days_ago, needed_s)
        created_at = max(start, free_at)
        if created_at > _at(day, LATEST_START):
            return
        document = _lived(chance, user_id, plan, created_at)
        yield document
        free_at = document["updatedAt"] + timedelta(minutes=chance.uniform(3, 25))


def _needed_s(goals: Goals) -> int:
    """What the first session of a day has to have for the day to count for the streak."""
    return (goals.daily_minutes or 0) * 60 + 30


def _starts(chance: Random, day: date, days_ago: int) -> list[datetime]:
    mean = _phase(days_ago).sessions * (WEEKEND if day.weekday() >= 5 else WEEKDAY)
    count = int(mean) + (chance.random() < mean % 1)
    hours = chance.choices(list(HOURS), list(HOURS.values()), k=count)
    if days_ago < STREAK_DAYS:
        hours = [chance.choice(EARLY), *hours[1:]]
    return sorted(
        _at(day, time(hour, chance.randrange(60), chance.randrange(60))) for hour in hours
    )


def _phase(days_ago: int) -> Phase:
    return next(phase for phase in reversed(PHASES) if phase.days_ago >= days_ago)


def _plan(chance: Random, key: str, days_ago: int, least_active_s: int) -> Plan:
    phase = _phase(days_ago)
    (subject,) = chance.choices(SUBJECTS, phase.weights)
    target = round(chance.choice(subject.targets) * phase.longer / 5) * 5
    outcome: Outcome = "completed"
    if least_active_s:
        target = max(target, math.ceil(least_active_s / 300) * 5)
    elif chance.random() < 0.13:
        outcome = chance.choice(("abandoned", "cancelled"))
    return Plan(key, subject, target, outcome, least_active_s, days_ago)


def _lived(chance: Random, user_id: str, plan: Plan, created_at: datetime) -> Document:
    match plan.outcome:
        case "completed":
            length = chance.uniform(0.9, 1.1)
        case "abandoned":
            length = chance.uniform(0.3, 0.8)
        case "cancelled":
            length = chance.uniform(0.05, 0.2)
    counted_s = max(int(plan.target_minutes * 60 * length), 40)
    runs = list(_runs(chance, plan.subject, counted_s, plan.least_active_s))
    document = past_session(
        user_id,
        _body(chance, plan),
        runs,
        session_id=id_of(created_at, user_id, plan.key),
        created_at=created_at,
        started_at=created_at + timedelta(seconds=chance.uniform(0.4, 6)),
        stamp=f"demo.{plan.key}",
    )
    return _ended(chance, document, plan.outcome)


def _body(chance: Random, plan: Plan) -> NewSession:
    subject = plan.subject
    progress = 1 - plan.days_ago / YEAR_DAYS
    topic = subject.topics[min(int(progress * len(subject.topics)), len(subject.topics) - 1)]
    return NewSession(
        target_minutes=plan.target_minutes,
        content_id=subject.content_id,
        title=topic if chance.random() < 0.85 else None,
        tags=[tag for tag in subject.tags if tag != "exam" or _phase(plan.days_ago).sessions >= 3],
        notes=chance.choice(NOTES) if chance.random() < 0.07 else None,
        idle_mode=subject.idle_mode,
        time_zone=ZONE,
    )


def _runs(chance: Random, subject: Subject, counted_s: int, least_active_s: int) -> Iterator[Run]:
    """Stretches of work, and after each but the last one a silence, a pause or an absence.

    A stretch begins with a sign of activity, so it is active for as long as a silence may be.
    """
    shortest_s = math.ceil(idle_after_s(subject.idle_mode, INTERACTIVE_S))
    at_us = counted = active = 0
    while counted < counted_s or active < least_active_s:
        wanted = shortest_s + int(chance.expovariate(1 / subject.stretch_s))
        left = max(counted_s - counted, least_active_s - active)
        run = Run(Kind.ACTIVE, at_us, min(wanted, left) * SECOND_US, _switches(chance, subject))
        yield run
        at_us, counted, active = run.end_us, counted + run.seconds, active + run.seconds
        if wanted >= left:
            return
        what = chance.random()
        if what < 0.08:
            run = Run(Kind.PAUSED, at_us, chance.randrange(60_000, 900_000) * 1000)
        elif what < 0.12:  # the connection was lost, or the machine asleep
            at_us += chance.randrange(2_000, 240_000) * 1000
            continue
        else:
            silence_s = min(3 + int(chance.expovariate(1 / subject.silence_s)), 600)
            run = Run(Kind.IDLE, at_us, silence_s * SECOND_US)
            counted += run.seconds
        yield run
        at_us = run.end_us


def _switches(chance: Random, subject: Subject) -> int:
    return min(int(chance.expovariate(1 / subject.tab_switches)), 3)


def _ended(chance: Random, document: Document, outcome: Outcome) -> Document:
    """Return the moment of a stop, within a second that was not over yet."""
    rest = timedelta(milliseconds=chance.randrange(1000))
    booked_at: datetime = document["lastBookedAt"]
    document["carryMs"] = rest / timedelta(milliseconds=1)
    if outcome != "abandoned":
        return document | ended_fields(document, outcome, booked_at + rest)
    noticed_at = booked_at + rest + ABANDONED_AFTER + chance.randrange(60) * timedelta(seconds=1)
    document["leftAt"] = booked_at + rest
    return document | ended_fields(document, outcome, booked_at) | {"updatedAt": noticed_at}


def _at(day: date, clock: time) -> datetime:
    return milliseconds(datetime.combine(day, clock, ZoneInfo(ZONE)).astimezone(UTC))
