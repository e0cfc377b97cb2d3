"""Test that every second counts once, on its date, in whatever order sessions are tallied."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from scoring.local_days import date_of, instant_us
from scoring.manual_seconds import Entry
from scoring.study_days import (
    DayTally,
    Share,
    StudyDays,
    StudySession,
    group_overlapping,
    merge,
    tally,
)
from scoring.timeline import SECOND_US, Counts, Kind, Run

BASE_US = instant_us(datetime(2026, 3, 28, 22, tzinfo=UTC))  # Berlin's clocks change next night
ZONES = ["UTC", "Europe/Berlin", "Asia/Tokyo", "America/New_York"]


def session(
    *runs: tuple[Kind, int, int],
    origin_us: int = BASE_US,
    zone: str = "UTC",
    status: str = "completed",
    id_: str = "a",
    score: int | None = 50,
    content: str | None = None,
    tags: tuple[str, ...] = (),
    by_hand: tuple[Entry, ...] = (),
) -> StudySession:
    """Of runs (kind, begin in microseconds, seconds)."""
    found = [Run(kind, start_us, seconds * SECOND_US) for kind, start_us, seconds in runs]
    end_us = origin_us + (found[-1].end_us if found else 0)
    ended = status not in ("active", "paused")
    return StudySession(
        id=id_,
        zone=zone,
        status=status,
        origin_us=origin_us,
        end_us=end_us if ended else None,
        runs=found,
        paused_seconds=0,
        away_seconds=0,
        focus_score=score if ended else None,
        content=content,
        tags=tags,
        by_hand=by_hand,
    )


def by_hand(active: int, idle: int = 0, at_us: int = BASE_US, zone: str = "UTC") -> Entry:
    return Entry(at_us, zone, Counts(active, idle, 0))


ENTRIES = st.builds(
    by_hand,
    st.integers(0, 86_400),
    st.integers(0, 600),
    st.integers(BASE_US, BASE_US + 10**11),
    st.sampled_from(ZONES),
)


@st.composite
def lived(draw: st.DrawFn) -> StudySession:
    runs = []
    at_us = 0
    for _ in range(draw(st.integers(0, 4))):
        at_us += draw(st.integers(0, 5_000_000))
        seconds = draw(st.integers(1, 8) | st.integers(3600, 20_000))
        kind = draw(st.sampled_from([Kind.ACTIVE, Kind.IDLE, Kind.PAUSED]))
        runs.append((kind, at_us, seconds))
        at_us += seconds * SECOND_US
    return session(
        *runs,
        origin_us=BASE_US + draw(st.integers(0, 20_000_000) | st.integers(0, 10**11)),
        zone=draw(st.sampled_from(ZONES)),
        status=draw(st.sampled_from(["completed", "abandoned", "active"])),
        id_=draw(st.text("abc", min_size=6, max_size=6)),
        content=draw(st.sampled_from([None, "x", "y"])),
        tags=tuple(draw(st.sets(st.sampled_from("pq")))),
        by_hand=tuple(draw(st.lists(ENTRIES, max_size=2))),
    )


def seconds_of(sessions: list[StudySession]) -> Counter[tuple[str, Kind, date, int]]:
    """By brute force: (session, kind, date, hour) of every second that counts."""
    counted: Counter[tuple[str, Kind, date, int]] = Counter()
    taken: list[tuple[int, int]] = []
    ordered = sorted(sessions, key=lambda each: (each.origin_us, each.id))
    for kind in (Kind.ACTIVE, Kind.IDLE):
        for each in ordered:
            for run in (run for run in each.runs if run.kind == kind):
                for number in range(run.seconds):
                    at_us = each.origin_us + run.start_us + number * SECOND_US
                    if any(at_us < end and at_us + SECOND_US > begin for begin, end in taken):
                        continue
                    taken.append((at_us, at_us + SECOND_US))
                    local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
                    here = local.astimezone(ZoneInfo(each.zone))
                    counted[each.id, kind, here.date(), here.hour] += 1
    return counted


SHORT = st.lists(lived(), max_size=5, unique_by=lambda each: each.id).filter(
    lambda sessions: sum(run.seconds for each in sessions for run in each.runs) < 150
)


@given(SHORT)
def test_each_second_counts_once_on_its_date_and_hour(sessions: list[StudySession]) -> None:
    expected = seconds_of(sessions)
    days = tally(sessions)
    hours = {(day, hour): n for day, t in days.items() for hour, n in t.hours.items()}
    wanted: Counter[tuple[date, int]] = Counter()
    idle: Counter[date] = Counter()
    for each in sessions:
        for entry in each.by_hand:
            idle[date_of(entry.at_us, entry.zone)] += entry.counts.idle
    for (_, kind, day, hour), count in expected.items():
        if kind == Kind.ACTIVE:
            wanted[day, hour] += count
        else:
            idle[day] += count
    assert hours == wanted
    assert {day: t.idle for day, t in days.items() if t.idle} == +idle


@given(st.lists(lived(), max_size=6, unique_by=lambda each: each.id))
def test_the_parts_of_a_day_are_the_day(sessions: list[StudySession]) -> None:
    for day in tally(sessions).values():
        assert day.focused == day.hours.total() + day.manual
        assert day.focused == sum(share.focused for share in day.contents.values())
        assert day.sessions == sum(share.ended for share in day.contents.values())
        for share in day.tags.values():
            assert share.focused <= day.focused


@given(st.lists(lived(), max_size=6, unique_by=lambda each: each.id))
def test_no_stretch_of_time_holds_more_than_it_is_long(sessions: list[StudySession]) -> None:
    if not sessions:
        return
    days = tally([each._replace(by_hand=()) for each in sessions]).values()
    begin = min(each.origin_us for each in sessions)
    end = max(each.until_us for each in sessions)
    assert sum(day.focused + day.idle for day in days) * SECOND_US <= end - begin


@given(st.lists(lived(), max_size=6, unique_by=lambda each: each.id))
def test_those_that_do_not_overlap_can_be_added_up_in_any_order(
    sessions: list[StudySession],
) -> None:
    whole = tally(sessions)
    parts: StudyDays = {}
    for group in reversed(list(group_overlapping(sessions))):
        merge(parts, tally(group))
    assert parts == whole


@given(st.lists(lived(), max_size=6, unique_by=lambda each: each.id))
def test_groups_hold_everything_and_do_not_touch(sessions: list[StudySession]) -> None:
    groups = list(group_overlapping(sessions))
    assert sorted(each.id for group in groups for each in group) == sorted(
        each.id for each in sessions
    )
    for before, after in pairwise(groups):
        assert max(each.until_us for each in before) <= min(each.origin_us for each in after)


@given(st.lists(lived(), max_size=6, unique_by=lambda each: each.id))
def test_a_stored_day_is_the_day(sessions: list[StudySession]) -> None:
    for day in tally(sessions).values():
        assert DayTally.from_document(day.to_document()) == day


@given(st.lists(lived(), max_size=6, unique_by=lambda each: each.id))
def test_seconds_by_hand_are_added_and_hide_nothing(sessions: list[StudySession]) -> None:
    """On each day: tracked seconds as if nothing were entered, and the entries of that date."""
    tracked = tally([each._replace(by_hand=()) for each in sessions])
    entered: Counter[date] = Counter()
    for each in sessions:
        for entry in each.by_hand:
            entered[date_of(entry.at_us, entry.zone)] += entry.counts.active
    days = tally(sessions)
    nothing = DayTally()
    for day in days.keys() | tracked.keys() | entered.keys():
        found, before = days.get(day, nothing), tracked.get(day, nothing)
        assert found.focused == before.focused + entered[day]
        assert found.manual == entered[day]
        assert found.hours == before.hours


def test_a_tag_has_its_own_seconds_by_hand() -> None:
    hour = by_hand(3600)
    one = session(by_hand=(hour,), tags=("t0",), id_="a")
    two = session(by_hand=(hour,), tags=("t1",), id_="b")
    (day,) = tally([one, two]).values()
    assert (day.focused, day.tags) == (7200, {"t0": Share(3600, 1), "t1": Share(3600, 1)})


def test_a_day_may_begin_at_four() -> None:
    """What a night owl does after midnight belongs to the evening before."""
    origin_us = instant_us(datetime(2026, 5, 4, 23, 50, tzinfo=UTC))
    night = session((Kind.ACTIVE, 0, 1500), origin_us=origin_us)
    morning = session((Kind.ACTIVE, 0, 60), origin_us=origin_us + 15_000 * SECOND_US, id_="b")
    days = tally([night, morning], starts_at=4 * 60)
    assert {day.isoformat(): dict(found.hours) for day, found in days.items()} == {
        "2026-05-04": {23: 600, 0: 900},
        "2026-05-05": {4: 60},
    }


def test_a_session_without_a_second_counts_for_nothing() -> None:
    (day,) = tally([session(score=0)]).values()
    assert (day.sessions, day.completed, day.score_sum) == (0, 0, 0)
    assert day.empty == {"completed": 1}


def test_a_session_across_midnight_gives_each_day_its_own_seconds() -> None:
    origin_us = instant_us(datetime(2026, 5, 4, 21, 50, tzinfo=UTC))  # 23:50 in Berlin
    days = tally(
        [session((Kind.ACTIVE, 0, 1500), origin_us=origin_us, zone="Europe/Berlin", content="x")]
    )
    assert {day.isoformat(): found.focused for day, found in days.items()} == {
        "2026-05-04": 600,
        "2026-05-05": 900,
    }
    assert days[date(2026, 5, 4)].contents == {"x": Share(600, 0)}
    assert days[date(2026, 5, 5)].contents == {"x": Share(900, 1)}
    assert [found.completed for found in days.values()] == [0, 1]


def test_two_sessions_at_once_are_one_hour_of_focus() -> None:
    one = session((Kind.ACTIVE, 0, 3600), id_="a", content="x")
    two = session((Kind.ACTIVE, 0, 3600), id_="b", content="y", origin_us=BASE_US + 1_800_000_500)
    (day,) = tally([two, one]).values()
    assert day.focused == 5400
    assert day.contents == {"x": Share(3600, 1), "y": Share(1800, 1)}


def test_active_in_one_and_idle_in_the_other_is_active() -> None:
    one = session((Kind.IDLE, 0, 100), id_="a")
    two = session((Kind.ACTIVE, 0, 60), id_="b", origin_us=BASE_US + 10 * SECOND_US)
    (day,) = tally([one, two]).values()
    assert (day.focused, day.idle) == (60, 40)


def test_scores_of_a_day() -> None:
    later = BASE_US + 100 * SECOND_US
    sessions = [
        session((Kind.ACTIVE, 0, 9), score=70, id_="a"),
        session((Kind.ACTIVE, 0, 9), score=20, id_="b", origin_us=later, status="abandoned"),
    ]
    (day,) = tally(sessions).values()
    assert (day.score_sum, day.best_score, day.last_score) == (90, 70, (later + 9_000_000, 20))
    assert day.ended == {"completed": 1, "abandoned": 1}


def test_spellings_that_earlier_versions_kept_apart_become_one() -> None:
    stored = DayTally().to_document()
    stored["tags"] = [["Cafe\u0301", 10, 1], ["Café", 5, 1]]
    stored["contents"] = [[None, 1, 1], ["Cafe\u0301", 10, 1], ["Café ", 5, 1]]
    read = DayTally.from_document(stored)
    assert read.tags == {"Café": Share(15, 2)}
    assert read.contents == {None: Share(1, 1), "Café": Share(15, 2)}
