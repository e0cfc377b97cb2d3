"""A learner's year: whatever the seed and the instant, it could have been lived."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from focusup.demo.profile import STREAK_DAYS, YEAR_DAYS, ZONE
from focusup.demo.year import first_day, goals_of, sessions_of
from models.sessions.idle_modes import idle_after_s
from models.sessions.session import paused_and_away, score_fields, view
from models.sessions.timeline import counts_in, paused_us_in
from models.study.day_summary import DaySummary, lived_of
from models.study.periods import NO_DATES
from scoring.local_days import date_of, instant_us
from scoring.streaks import counted_days, streaks
from scoring.study_days import tally
from scoring.timeline import SECOND_US, Kind, counts_of, paused_us_of, unpack

USER = "a" * 24
SECOND = timedelta(seconds=1)
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
INSTANTS = st.integers(0, 6 * 366 * 86_400).map(lambda s: BEGIN + s * SECOND)
SEEDS = st.integers(0, 10**6)
# Shrinking a whole year takes minutes, and a smaller seed says nothing more.
FEW = settings(max_examples=15, deadline=None, phases=(Phase.reuse, Phase.generate))


def year(seed: int, now: datetime, user: str = USER) -> list[dict[str, Any]]:
    return list(sessions_of(user, seed, now))


@FEW
@given(SEEDS, INSTANTS)
def test_a_year_could_have_been_lived(seed: int, now: datetime) -> None:
    """All of it is held against one year: to make one costs more than the checks."""
    sessions = year(seed, now)
    assert_each_could_have_been_stored_by_the_server(sessions, now)
    assert_a_silence_is_idle_only_once_it_is_longer_than_the_mode_allows(sessions)
    assert_study_goes_on_all_year(sessions, now)


def assert_each_could_have_been_stored_by_the_server(
    sessions: list[dict[str, Any]], now: datetime
) -> None:
    for document in sessions:
        runs = unpack(document["timeline"], counts_in(document))
        assert counts_of(runs) == counts_in(document)
        assert paused_us_of(runs) == paused_us_in(document)
        assert document["elapsedSeconds"] == document["activeSeconds"] + document["idleSeconds"] > 0
        paused, away = paused_and_away(document, now)
        lived = (document["endedAt"] - document["startedAt"]) // SECOND
        assert document["elapsedSeconds"] + paused + away == lived
        rest_us = (document["endedAt"] - document["startedAt"]) // SECOND * SECOND_US
        assert runs[-1].end_us - SECOND_US <= rest_us
        assert document.items() >= score_fields(document).items()
        assert document["_id"].generation_time == document["createdAt"].replace(microsecond=0)
        assert document["createdAt"] <= document["startedAt"] < document["lastActiveAt"]
        assert document["lastActiveAt"] <= document["lastBookedAt"] <= document["endedAt"]
        assert document["endedAt"] <= document["updatedAt"] <= now
        assert view(document, now=now, tracked=False).status == document["status"]


def assert_a_silence_is_idle_only_once_it_is_longer_than_the_mode_allows(
    sessions: list[dict[str, Any]],
) -> None:
    for document in sessions:
        allowed_us = idle_after_s(document["idleMode"], 15.0) * SECOND_US
        runs = unpack(document["timeline"], counts_in(document))
        assert runs[0].kind == Kind.ACTIVE
        for before, run in pairwise(runs):
            if run.kind == Kind.IDLE:  # which follows the sign with which the work began
                assert before.kind == Kind.ACTIVE
                assert before.length_us >= allowed_us
                assert before.end_us == run.start_us
            else:
                assert before.kind != run.kind or before.end_us < run.start_us


def assert_study_goes_on_all_year(sessions: list[dict[str, Any]], now: datetime) -> None:
    assert 300 <= len(sessions) <= 600
    assert len({each["_id"] for each in sessions}) == len(sessions)
    for before, after in pairwise(sessions):
        assert before["updatedAt"] < after["createdAt"]
    assert sessions[0]["createdAt"] >= first_day(now) > now - timedelta(days=YEAR_DAYS)
    statuses = {each["status"] for each in sessions}
    assert statuses == {"completed", "abandoned", "cancelled"}
    studied = DaySummary()
    studied.add_days(tally(map(lived_of, sessions)), NO_DATES)
    today = date_of(instant_us(now), ZONE)
    days = counted_days(studied.marks.values(), goals_of(now), ZONE)
    # Today may still be to come.
    assert streaks(days, today, ZONE).current in (STREAK_DAYS - 1, STREAK_DAYS)
    weekend = sum(each["startedAt"].weekday() >= 5 for each in sessions)
    assert weekend / 2 < (len(sessions) - weekend) / 5
    studied_on = {date_of(instant_us(each["startedAt"]), ZONE) for each in sessions}
    free = max(after - before for before, after in pairwise(sorted(studied_on)))
    assert free >= timedelta(days=12), "no holiday"


@FEW
@given(SEEDS, INSTANTS, st.timedeltas(timedelta(), timedelta(hours=24)))
def test_it_is_the_same_all_day_and_only_goes_on(
    seed: int, now: datetime, later: timedelta
) -> None:
    sessions = year(seed, now)
    same_day = date_of(instant_us(now + later), ZONE) == date_of(instant_us(now), ZONE)
    again = year(seed, now + later if same_day else now)
    assert again[: len(sessions)] == sessions
    assert same_day or len(again) == len(sessions)
    first = list(islice(sessions_of(USER, seed + 1, now), 20))
    assert first != sessions[:20]
    ids = {each["_id"] for each in sessions}
    assert ids.isdisjoint(each["_id"] for each in year(seed, now, "b" * 24))


def test_goals_are_set_and_raised() -> None:
    now = datetime(2026, 3, 30, 12, tzinfo=UTC)
    goals = goals_of(now)
    assert [each.since for each in goals] == sorted({each.since for each in goals})
    minutes = [each.goals.daily_minutes or 0 for each in goals]
    assert minutes[0] < minutes[1] < max(minutes)
    assert goals[-1].since <= now.date() - timedelta(days=STREAK_DAYS - 1)
