"""Engine and ledger against a database that loses requests and replies, applies writes
late or by half, and forgets: what is stored in the end is what fell due, exactly."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from models.base.compare_and_set import Stamps
from realtime.engine.clock import ManualClock
from realtime.engine.engine import Engine
from realtime.engine.ledger import QUARANTINE_US, Ledger, Loss
from realtime.engine.meter import SECOND_US, Meter
from realtime.engine.tracked import TrackedSession
from scoring.timeline import Counts, Timeline
from tests.support.faulty_store import FaultyStore
from tests.support.tab import Tab

IDLE_AFTER_US = 15 * SECOND_US
FAULTS = ["ok", "request_lost", "reply_lost", "late", "partial"]


class World:
    """An engine with its ledger, a faulty book, and `count` things being tracked.

    Those named are not stored yet, and begin here.
    """

    def __init__(self, count: int = 1, *, unborn: Collection[int] = ()) -> None:
        self.clock = ManualClock(1_000 * SECOND_US)
        self.engine = Engine[TrackedSession]()
        self.stamps = Stamps("me")
        self.store = FaultyStore("me")
        self.lost: list[tuple[Any, Loss]] = []
        self.trouble: list[bool] = []
        self.ledger = Ledger(
            self.engine,
            self.store,
            self.clock,
            self.stamps,
            on_lost=lambda tracked, loss: self.lost.append((tracked.tracked_id, loss)),
            on_trouble=self.trouble.append,
        )
        self.tabs = [Tab() for _ in range(count)]
        self.sessions = [self.track(number, unborn=number in unborn) for number in range(count)]

    def track(self, number: int, *, unborn: bool = False) -> TrackedSession:
        tracked = TrackedSession(
            tracked_id=number,
            user_id="ada",
            status="active",
            totals=Counts(0, 0, 0),
            target_minutes=25,
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
            meter=Meter(idle_after_us=IDLE_AFTER_US),
            timeline=Timeline(),
            origin_us=0,
            stamp=self.stamps.fresh(),
        )
        self.store.begin(tracked)
        tracked.unborn = unborn
        if not unborn:
            self.store.store(number)
        self.engine.add(tracked)
        self.engine.attach(tracked, self.tabs[number], self.clock.now_us())
        return tracked

    async def pass_time(self, seconds: float, *, flush_every_s: float = 0.25) -> None:
        steps = round(seconds / flush_every_s)
        for _ in range(steps):
            self.engine.advance(self.clock.advance_s(flush_every_s))
            await self.ledger.flush()
            self.ledger.watch(self.clock.now_us())

    async def settle_all(self) -> None:
        """The faults are over: flush until nothing is left to write."""
        self.store.faults.clear()
        self.store.unreadable = 0
        self.store.deliver_everything()
        for _ in range(10):
            self.engine.advance(self.clock.now_us())
            await self.ledger.flush()

    def stored(self, number: int = 0) -> Counts:
        return self.store.totals(self.store.documents[number])


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_fault_changes_nothing_in_the_end(fault: str) -> None:
    world = World(4)
    await world.pass_time(2)
    world.store.faults = [fault]
    await world.pass_time(3)
    await world.settle_all()
    assert [world.stored(n) for n in range(4)] == [Counts(5, 0, 0)] * 4


async def test_an_outage_is_caught_up_with_every_second_classed_by_its_own_moment() -> None:
    world = World()
    world.store.faults = ["request_lost"] * 10_000
    world.store.unreadable = 10_000
    await world.pass_time(60)
    assert world.stored() == Counts(0, 0, 0)
    await world.settle_all()
    assert world.stored() == Counts(15, 45, 0)


async def test_trouble_is_told_once_when_it_lasts_and_once_when_it_is_over() -> None:
    world = World()
    world.store.faults = ["request_lost"]
    await world.pass_time(3)
    assert world.trouble == []
    world.store.faults = ["request_lost"] * 1000
    await world.pass_time(10)
    assert world.trouble == [True]
    world.store.faults.clear()
    await world.pass_time(5)
    assert world.trouble == [True, False]
    assert world.stored().elapsed == 18


async def test_what_fails_at_each_flush_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk: the log would fill what is left of it."""
    world = World()

    async def fail(*_: Any) -> int:
        raise ValueError("not an answer")

    with monkeypatch.context() as failing, capture_logs() as logs:
        failing.setattr(world.store, "write", fail)
        await world.pass_time(5)
    assert [each["event"] for each in logs].count("flush_failed") == 1
    await world.settle_all()
    assert world.stored().elapsed >= 5


async def test_a_database_that_leaves_us_waiting_is_told_of_before_the_flush_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    never = asyncio.Event()

    async def hang(ids: list[Any], pipeline: list[dict[str, Any]]) -> int:
        await never.wait()
        return len(ids)

    monkeypatch.setattr(world.store, "write", hang)
    world.engine.advance(world.clock.advance_s(1))
    flushing = asyncio.create_task(world.ledger.flush())
    await asyncio.sleep(0)
    world.ledger.watch(world.clock.advance_s(1.9))
    assert not world.trouble
    world.ledger.watch(world.clock.advance_s(0.1))
    assert world.trouble == [True]
    assert world.ledger.in_trouble
    never.set()
    await flushing
    assert world.trouble == [True, False]


async def test_how_far_booking_is_behind_grows_until_everything_is_written() -> None:
    world = World(2)
    await world.pass_time(3)
    assert world.ledger.behind_us(world.clock.now_us()) == 0
    world.store.faults = ["request_lost"] * 1000
    await world.pass_time(10)
    behind_us = world.ledger.behind_us(world.clock.now_us())
    assert 9 * SECOND_US < behind_us <= 10 * SECOND_US
    world.store.faults.clear()
    await world.pass_time(0.5)
    assert world.ledger.behind_us(world.clock.now_us()) == 0
    assert sum(world.ledger.figures.flushes.counts) > 10
    world.store.poisoned = {1}  # one that is refused keeps the others from nothing
    await world.pass_time(6)
    assert world.ledger.behind_us(world.clock.now_us()) == 0
    assert world.ledger.figures.quarantines == 1


async def test_seconds_that_the_database_lost_are_told_once() -> None:
    world = World()
    await world.pass_time(3)
    before = dict(world.store.documents[0])
    await world.pass_time(4)
    world.store.documents[0] = before  # an acknowledged write is gone
    world.ledger.look(world.sessions[0])
    await world.pass_time(5)
    assert world.stored(0).active == 12
    assert world.ledger.figures.active_seconds == 12


async def test_a_flush_that_had_nothing_to_write_has_no_length() -> None:
    world = World(2, unborn=[1])
    flushes = world.ledger.figures.flushes.counts
    await world.ledger.flush()
    assert sum(flushes) == 1  # the one that begins was stored
    await world.pass_time(1)
    assert sum(flushes) == 2
    world.store.poisoned = {0, 1}
    await world.pass_time(2)  # in one statement, then each by itself
    refused = sum(flushes)
    assert world.ledger.figures.quarantines == 2
    await world.pass_time(QUARANTINE_US / SECOND_US / 2)
    assert sum(flushes) == refused
    world.store.faults = ["request_lost"]
    world.store.poisoned.clear()
    await world.pass_time(QUARANTINE_US / SECOND_US)
    assert sum(flushes) > refused


async def test_a_database_that_refuses_everything_is_trouble() -> None:
    world = World(5)
    await world.pass_time(1)
    world.store.poisoned = set(range(5))
    await world.pass_time(6)
    assert world.trouble == [True]
    world.store.poisoned.clear()
    await world.pass_time(QUARANTINE_US / SECOND_US + 1)
    assert world.trouble == [True, False]
    assert {world.stored(n).elapsed for n in range(5)} == {18}


async def test_what_somebody_else_changed_is_seen_when_we_are_told_to_look() -> None:
    world = World(2)
    world.engine.pause(world.sessions[0], world.clock.now_us())
    await world.ledger.flush()
    world.store.documents[0] |= {"stamp": "other.1", "owner": "other"}
    await world.pass_time(3)  # nothing is written for a paused session: nothing is noticed
    assert world.lost == []
    for tracked in world.sessions:
        world.ledger.look(tracked)
    await world.pass_time(1)
    assert world.lost == [(0, "superseded")]
    assert world.stored(1) == Counts(4, 0, 0)


async def test_a_bug_in_one_flush_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(3)
    await world.pass_time(1)

    async def broken(ids: list[Any], pipeline: list[dict[str, Any]]) -> int:
        raise KeyError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "write", broken)
        await world.pass_time(2)
    await world.settle_all()
    assert [world.stored(n) for n in range(3)] == [Counts(3, 0, 0)] * 3


async def test_sessions_of_one_phase_are_written_together_after_the_first_flush() -> None:
    world = World(600)
    await world.pass_time(1)  # joins are written one by one, and stamped alike by that
    world.store.writes.clear()
    await world.pass_time(1)
    assert sorted(world.store.writes) == [100, 250, 250]


async def test_a_reply_lost_is_recognised_and_not_written_again() -> None:
    world = World()
    await world.pass_time(1)
    world.store.faults = ["reply_lost"]
    world.store.writes.clear()
    await world.pass_time(1.75)
    assert world.stored() == Counts(2, 0, 0)
    assert world.store.writes == [1]


async def test_a_session_taken_by_another_process_is_dropped() -> None:
    world = World(2)
    await world.pass_time(1)
    world.store.documents[0] |= {"stamp": "other.1", "owner": "other"}
    await world.pass_time(5)
    assert world.lost == [(0, "superseded")]
    assert world.stored(0) == Counts(1, 0, 0)
    assert world.stored(1) == Counts(6, 0, 0)
    assert 0 not in world.engine.all_tracked


async def test_a_deleted_session_is_dropped() -> None:
    world = World(2)
    await world.pass_time(1)
    del world.store.documents[0]
    await world.pass_time(2)
    assert world.lost == [(0, "deleted")]
    assert world.stored(1) == Counts(3, 0, 0)


async def test_a_session_ended_elsewhere_is_dropped_as_ended() -> None:
    world = World()
    await world.pass_time(1)
    world.store.documents[0] |= {"stamp": "other.1", "owner": None, "status": "completed"}
    await world.pass_time(2)
    assert world.lost == [(0, "ended")]


async def test_an_acknowledged_write_that_is_rolled_back_is_written_again() -> None:
    world = World(2)
    await world.pass_time(2)
    before = {number: dict(document) for number, document in world.store.documents.items()}
    await world.pass_time(3)
    world.store.documents.update(before)
    await world.pass_time(2)
    await world.settle_all()
    assert [world.stored(n) for n in range(2)] == [Counts(7, 0, 0)] * 2


async def test_a_status_that_is_rolled_back_is_written_again() -> None:
    world = World()
    await world.pass_time(1)
    world.engine.pause(world.sessions[0], world.clock.now_us())
    await world.ledger.flush()
    paused = dict(world.store.documents[0])
    world.engine.resume(world.sessions[0], world.clock.now_us())
    await world.ledger.flush()
    world.store.documents[0] = paused
    await world.pass_time(2)
    assert world.store.documents[0]["status"] == "active"
    assert world.stored() == Counts(3, 0, 0)


async def test_one_poisoned_session_does_not_keep_the_others() -> None:
    world = World(100)
    await world.pass_time(2)
    world.store.poisoned = {37}
    await world.pass_time(10)
    others = [world.stored(n) for n in range(100) if n != 37]
    assert set(others) == {Counts(12, 0, 0)}
    assert world.stored(37).active == 2
    world.store.poisoned.clear()
    world.clock.advance_s(QUARANTINE_US / SECOND_US)
    await world.settle_all()
    assert world.stored(37).elapsed == 22


@pytest.mark.parametrize("broken", [{"activeSeconds": "many"}, {"stamp": None}, {"status": 1}])
async def test_one_document_that_cannot_be_read_does_not_keep_the_others(
    broken: dict[str, Any],
) -> None:
    world = World(100)
    await world.pass_time(2)
    sound = dict(world.store.documents[37])
    world.store.documents[37] |= {"stamp": "me.0"} | broken
    world.ledger.look(world.sessions[37])
    await world.pass_time(10)
    others = [world.stored(n) for n in range(100) if n != 37]
    assert set(others) == {Counts(12, 0, 0)}
    world.store.documents[37] = sound
    world.clock.advance_s(QUARANTINE_US / SECOND_US)
    await world.settle_all()
    assert world.stored(37).elapsed == 22


async def test_sessions_once_refused_are_written_together_again() -> None:
    world = World(100)
    await world.pass_time(1)
    world.store.poisoned = set(range(100))
    await world.pass_time(4)
    world.store.poisoned.clear()
    await world.pass_time(30)
    world.store.writes.clear()
    await world.pass_time(1)
    assert world.store.writes == [100]
    assert {world.stored(n) for n in range(100)} == {Counts(15, 21, 0)}


async def test_draining_with_one_that_is_refused_leaves_time_to_others() -> None:
    world = World(2)
    await world.pass_time(1)
    world.store.poisoned = {0}
    await world.pass_time(2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.6):
            await world.ledger.drain()


async def test_what_was_left_stays_in_memory_until_it_is_saved() -> None:
    world = World()
    await world.pass_time(1.5)
    world.store.faults = ["request_lost"] * 3
    world.engine.detach(world.sessions[0], world.tabs[0], world.clock.now_us())
    await world.ledger.flush()
    assert 0 in world.engine.all_tracked
    await world.settle_all()
    assert 0 not in world.engine.all_tracked
    assert world.store.documents[0]["owner"] is None


async def test_saved_waits_for_the_acknowledgement() -> None:
    world = World()
    await world.pass_time(1)
    world.engine.end(world.sessions[0], "completed", world.clock.now_us())
    waiting = asyncio.create_task(world.ledger.saved(world.sessions[0]))
    await asyncio.sleep(0)
    world.store.faults = ["request_lost"]
    await world.ledger.flush()
    assert not waiting.done()
    await world.ledger.flush()
    await waiting
    assert world.store.documents[0]["status"] == "completed"


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_begins_here_is_stored_once_and_then_kept_current(fault: str) -> None:
    world = World(4, unborn={0, 1, 3})
    world.store.faults = [fault, fault]
    world.engine.end(world.sessions[3], "completed", world.clock.now_us())
    await world.pass_time(3)
    await world.settle_all()
    assert [world.stored(n).active for n in range(4)] == [3, 3, 3, 0]
    assert world.store.documents[3]["status"] == "completed"
    assert list(world.engine.all_tracked) == [0, 1, 2]


async def test_what_the_database_refuses_to_store_first_keeps_nobody_else() -> None:
    world = World(3, unborn={0, 1, 2})
    world.store.poisoned = {1}
    await world.pass_time(2)
    assert sorted(world.store.documents) == [0, 2]
    assert [world.stored(n) for n in (0, 2)] == [Counts(2, 0, 0)] * 2
    world.store.poisoned.clear()
    await world.pass_time(QUARANTINE_US / SECOND_US)
    assert world.stored(1) == Counts(12, 0, 0)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["wait", "wait", "wait", "activity", "tab", "pause", "resume", "leave", "return",
 "stop",
             "stall", "unreadable"]
        ),
        st.integers(0, 2),
        st.integers(1, 40).map(lambda quarters: quarters / 4),
        st.sampled_from(FAULTS),
    ),
    max_size=40,
)  # fmt: skip


class Oracle:
    """Due seconds of one session, counted moment by moment from the events alone."""

    def __init__(self, at_us: int) -> None:
        self.present, self.paused, self.ended = True, False, False
        self.tracked_us = self.active = self.idle = self.tabs = 0
        self.at_us = self.sign_us = at_us

    def until(self, now_us: int) -> None:
        if self.present and not self.paused:
            begun_us = self.tracked_us
            self.tracked_us += now_us - self.at_us
            for k in range(begun_us // SECOND_US + 1, self.tracked_us // SECOND_US + 1):
                due_us = self.at_us + k * SECOND_US - begun_us
                if due_us - self.sign_us > IDLE_AFTER_US:
                    self.idle += 1
                else:
                    self.active += 1
        self.at_us = now_us


@settings(deadline=None, max_examples=300)
@given(EVENTS)
def test_whatever_happens_what_fell_due_is_stored_exactly_once(
    events: list[tuple[str, int, float, str]],
) -> None:
    asyncio.run(_play(events))


async def _play(events: list[tuple[str, int, float, str]]) -> None:
    world = World(3, unborn={2})
    oracles = [Oracle(world.clock.now_us()) for _ in range(3)]
    engine, clock = world.engine, world.clock
    for event, number, seconds, fault in events:
        tracked, tab, oracle = world.sessions[number], world.tabs[number], oracles[number]
        world.store.faults.append(fault)
        if event == "wait":
            await world.pass_time(seconds)
        elif event == "stall":  # nothing runs, then everything at once
            engine.advance(clock.advance_s(seconds))
            await world.ledger.flush()
        elif event == "unreadable":
            world.store.unreadable += 1
        now_us = clock.now_us()
        for each in oracles:
            each.until(now_us)
        if event == "activity" and oracle.present and not oracle.paused:
            engine.activity(tracked, now_us)
            oracle.sign_us = now_us
        elif event == "tab" and oracle.present and not oracle.paused:
            engine.tab_switch(tracked, now_us)
            oracle.tabs += 1
        elif event == "pause" and oracle.present:
            engine.pause(tracked, now_us)
            oracle.paused = True
        elif event == "resume" and oracle.present:
            engine.resume(tracked, now_us)
            oracle.paused, oracle.sign_us = False, now_us
        elif event == "leave" and oracle.present:
            engine.detach(tracked, tab, now_us)
            oracle.present = False
        elif event == "stop" and oracle.present:
            engine.end(tracked, "completed", now_us)
            oracle.present, oracle.ended = False, True
        elif event == "return" and not (oracle.present or oracle.ended or tracked.gone):
            engine.attach(tracked, tab, now_us)
            oracle.present, oracle.sign_us = True, now_us
        for tracked in world.sessions:
            assert tracked.totals.elapsed == tracked.active + tracked.idle
    for oracle in oracles:
        oracle.until(clock.now_us())
    engine.advance(clock.now_us())
    for tracked, tab in zip(world.sessions, world.tabs, strict=True):
        if tab in tracked.viewers:
            engine.detach(tracked, tab, clock.now_us())
    await world.settle_all()
    for number, oracle in enumerate(oracles):
        assert world.stored(number) == Counts(oracle.active, oracle.idle, oracle.tabs)
        document = world.store.documents[number]
        assert document["owner"] is None
        assert (document["status"] == "completed") == oracle.ended
    figures = world.ledger.figures
    assert figures.active_seconds == sum(oracle.active for oracle in oracles)
    assert figures.idle_seconds == sum(oracle.idle for oracle in oracles)
    assert world.ledger.in_flight == 0
    assert not world.lost
    assert not engine.all_tracked
    before = {number: dict(document) for number, document in world.store.documents.items()}
    world.store.repeat_every_write()
    await world.settle_all()
    assert world.store.documents == before
