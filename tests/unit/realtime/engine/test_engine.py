"""What the engine settles, when it looks, and what it hands over."""

from datetime import UTC, datetime

import pytest

from realtime.engine.clock import ManualClock
from realtime.engine.engine import GAP_US, SLOT_US, Engine
from realtime.engine.meter import SECOND_US, Meter
from realtime.engine.ticker import Ticker
from realtime.engine.tracked import TrackedSession
from scoring.timeline import Counts, Timeline
from tests.support.tab import Tab

START_US = 5_000 * SECOND_US


def tracked_session(
    engine: Engine[TrackedSession], at_us: int = START_US, *, status: str = "active"
) -> TrackedSession:
    tracked = TrackedSession(
        tracked_id=len(engine.all_tracked),
        user_id="ada",
        status=status,
        totals=Counts(0, 0, 0),
        target_minutes=1,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        meter=Meter(idle_after_us=15 * SECOND_US),
        timeline=Timeline(),
        origin_us=0,
        stamp="me.1",
        paused_since_us=at_us if status == "paused" else None,
    )
    engine.add(tracked)
    engine.attach(tracked, Tab(), at_us)
    return tracked


@pytest.mark.parametrize("offset_us", [0, 1, 49_999, 50_000, 50_001, 730_000, 999_999])
def test_a_second_is_booked_at_the_first_slot_after_it_fell_due(offset_us: int) -> None:
    engine = Engine[TrackedSession]()
    engine.advance(START_US)
    tracked = tracked_session(engine, START_US + offset_us)
    due_us = START_US + offset_us + SECOND_US
    slot_us = -(-due_us // SLOT_US) * SLOT_US
    at_us = START_US
    while at_us < slot_us - SLOT_US:
        at_us += SLOT_US
        engine.advance(at_us)
        assert tracked.elapsed == 0
    engine.advance(slot_us)
    assert tracked.elapsed == 1


def test_a_missed_slot_is_looked_at_with_the_next_one() -> None:
    engine = Engine[TrackedSession]()
    batch = [tracked_session(engine, START_US + n * SLOT_US) for n in range(20)]
    engine.advance(START_US + SECOND_US)
    engine.advance(START_US + SECOND_US + 7 * SLOT_US)
    assert [tracked.elapsed for tracked in batch] == [1] * 8 + [0] * 12


def test_a_stall_of_many_turns_books_everything_at_once() -> None:
    engine = Engine[TrackedSession]()
    batch = [tracked_session(engine, START_US + n * 133_000) for n in range(20)]
    engine.advance(START_US)
    engine.advance(START_US + 10 * SECOND_US)
    assert [t.elapsed for t in batch] == [(10_000 - n * 133) // 1000 for n in range(20)]


def test_what_booked_is_handed_over_once_however_many_seconds_it_were() -> None:
    engine = Engine[TrackedSession]()
    tracked = tracked_session(engine)
    engine.advance(START_US + 5 * SECOND_US)
    assert engine.take_booked() == [tracked]
    assert engine.take_booked() == []


def test_a_paused_session_that_is_joined_does_not_count() -> None:
    engine = Engine[TrackedSession]()
    tracked = tracked_session(engine, status="paused")
    engine.advance(START_US + 5 * SECOND_US)
    assert tracked.elapsed == 0
    engine.resume(tracked, START_US + 5 * SECOND_US)
    engine.advance(START_US + 8 * SECOND_US)
    assert tracked.elapsed == 3
    assert tracked.paused_us == 5 * SECOND_US


def test_a_pause_keeps_the_remainder_and_counts_itself() -> None:
    engine = Engine[TrackedSession]()
    tracked = tracked_session(engine)
    engine.pause(tracked, START_US + 1_700_000)
    engine.resume(tracked, START_US + 9_700_000)
    engine.end(tracked, "completed", START_US + 10_000_000)
    assert (tracked.active, tracked.paused_us) == (2, 8_000_000)


def test_ending_while_paused_ends_the_pause() -> None:
    engine = Engine[TrackedSession]()
    tracked = tracked_session(engine)
    engine.pause(tracked, START_US + SECOND_US)
    engine.end(tracked, "completed", START_US + 4 * SECOND_US)
    assert (tracked.paused_us, tracked.paused_since_us) == (3 * SECOND_US, None)


def test_two_tabs_count_one_second_and_any_of_them_is_a_sign() -> None:
    engine = Engine[TrackedSession]()
    tracked = tracked_session(engine)
    second = Tab()
    engine.attach(tracked, second, START_US + 10 * SECOND_US)
    engine.advance(START_US + 25 * SECOND_US)
    assert (tracked.active, tracked.idle) == (25, 0)
    engine.detach(tracked, second, START_US + 25 * SECOND_US)
    engine.advance(START_US + 27 * SECOND_US)
    assert (tracked.active, tracked.idle) == (25, 2)


def test_tab_switches_are_no_sign_and_count_only_while_active() -> None:
    engine = Engine[TrackedSession]()
    tracked = tracked_session(engine)
    for second in range(1, 20):
        engine.tab_switch(tracked, START_US + second * SECOND_US)
    assert (tracked.active, tracked.idle, tracked.tab_switches) == (15, 4, 19)
    engine.pause(tracked, START_US + 20 * SECOND_US)
    engine.tab_switch(tracked, START_US + 21 * SECOND_US)
    assert tracked.tab_switches == 19


def test_activity_in_a_pause_or_after_the_end_is_ignored() -> None:
    engine = Engine[TrackedSession]()
    tracked = tracked_session(engine)
    engine.pause(tracked, START_US + SECOND_US)
    engine.activity(tracked, START_US + 2 * SECOND_US)
    assert tracked.meter.last_sign_us == START_US
    engine.end(tracked, "completed", START_US + 3 * SECOND_US)
    engine.activity(tracked, START_US + 4 * SECOND_US)
    assert tracked.elapsed == 1


class Wakes:
    def watch(self, now_us: int) -> None: ...

    def wake(self) -> None: ...


def ticker(
    engine: Engine[TrackedSession], clock: ManualClock, told: list[int]
) -> Ticker[TrackedSession]:
    return Ticker(engine, Wakes(), clock, announce=lambda batch: told.append(len(list(batch))))


def test_a_stall_is_booked_and_told_once() -> None:
    clock, told = ManualClock(START_US), list[int]()
    engine = Engine[TrackedSession]()
    turning = ticker(engine, clock, told)
    tracked = tracked_session(engine)
    turning.turn(clock.now_us())
    turning.turn(clock.advance_s(5))
    assert (tracked.elapsed, told) == (5, [1])


def test_a_gap_of_the_whole_process_counts_for_nothing() -> None:
    clock, told = ManualClock(START_US), list[int]()
    engine = Engine[TrackedSession]()
    turning = ticker(engine, clock, told)
    tracked = tracked_session(engine)
    turning.turn(clock.advance_s(2.5))
    turning.turn(clock.advance_s(GAP_US / SECOND_US + 0.001))
    assert tracked.elapsed == 2
    turning.turn(clock.advance_s(0.45))
    assert tracked.elapsed == 2
    turning.turn(clock.advance_s(0.1))
    assert tracked.elapsed == 3


def test_a_gap_just_short_of_that_is_booked() -> None:
    clock, told = ManualClock(START_US), list[int]()
    engine = Engine[TrackedSession]()
    turning = ticker(engine, clock, told)
    tracked = tracked_session(engine)
    turning.turn(clock.advance_s(2.5))
    turning.turn(clock.advance_s(GAP_US / SECOND_US))
    assert tracked.elapsed == 62


@pytest.mark.parametrize("first", ["activity", "tab_switch", "pause", "end", "detach"])
def test_a_message_read_before_the_wheel_turns_does_not_book_the_gap(first: str) -> None:
    clock, told = ManualClock(START_US), list[int]()
    engine = Engine[TrackedSession]()
    turning = ticker(engine, clock, told)
    tracked = tracked_session(engine)
    turning.turn(clock.advance_s(2.5))
    now_us = clock.advance_s(3600)
    if first == "end":
        engine.end(tracked, "completed", now_us)
    elif first == "detach":
        engine.detach(tracked, next(iter(tracked.viewers)), now_us)
    else:
        getattr(engine, first)(tracked, now_us)
    turning.turn(now_us)
    assert (tracked.active, tracked.idle) == (2, 0)
    if first == "activity":
        turning.turn(clock.advance_s(10))
        assert (tracked.active, tracked.idle) == (12, 0)
