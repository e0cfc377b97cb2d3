"""The timeline that the engine keeps is what was counted, second by second."""

from hypothesis import given
from hypothesis import strategies as st

from realtime.engine.engine import SLOT_US, Engine
from realtime.engine.tracked import TrackedSession
from scoring.timeline import SECOND_US, Kind, counts_of, paused_us_of, unpack
from tests.unit.realtime.engine.test_engine import START_US, tracked_session

ACTIONS = st.sampled_from(["activity", "tab_switch", "pause", "resume", "leave", "come", "wait"])
STEPS = st.lists(
    st.tuples(ACTIONS, st.integers(0, 3_000_000) | st.integers(15_000_000, 40_000_000)),
    max_size=25,
)


class Watched:
    """A session whose every booked second is written down as it is booked."""

    def __init__(self) -> None:
        self.engine: Engine[TrackedSession] = Engine()
        self.tracked = tracked_session(self.engine)
        self.tab = next(iter(self.tracked.viewers))
        self.now_us = START_US
        self.seconds: list[tuple[Kind, int]] = []
        self.engine.advance(self.now_us)

    def note(self) -> None:
        for kind, count in ((Kind.ACTIVE, self.tracked.active), (Kind.IDLE, self.tracked.idle)):
            known = sum(each == kind for each, _ in self.seconds)
            assert count - known in (0, 1), "looked at too rarely"
            if count > known:
                assert self.tracked.last_booked_us is not None
                self.seconds.append((kind, self.tracked.last_booked_us))

    def wait(self, length_us: int) -> None:
        until_us = self.now_us + length_us
        while self.now_us < until_us:
            self.now_us = min(self.now_us + SLOT_US, until_us)
            self.engine.advance(self.now_us)
            self.note()

    def act(self, action: str) -> None:
        tracked, engine, now_us = self.tracked, self.engine, self.now_us
        match action:
            case "activity":
                engine.activity(tracked, now_us)
            case "tab_switch":
                engine.tab_switch(tracked, now_us)
            case "pause":
                engine.pause(tracked, now_us)
            case "resume":
                engine.resume(tracked, now_us)
            case "leave":
                engine.detach(tracked, self.tab, now_us)
            case "come":
                engine.attach(tracked, self.tab, now_us)
        self.note()


@given(STEPS)
def test_it_tells_of_every_second_when_it_was_counted(steps: list[tuple[str, int]]) -> None:
    watched = Watched()
    tracked = watched.tracked
    for action, length_us in steps:
        watched.act(action)
        watched.wait(length_us)
    watched.engine.end(tracked, "completed", watched.now_us)
    watched.note()
    runs = unpack(tracked.timeline.pack(), tracked.totals)
    told = [
        (run.kind, tracked.origin_us + run.start_us + number * SECOND_US)
        for run in runs
        if run.kind != Kind.PAUSED
        for number in range(1, run.seconds + 1)
    ]
    assert told == watched.seconds
    assert counts_of(runs)[:2] == (tracked.active, tracked.idle)
    assert not runs or counts_of(runs).tab_switches in (tracked.tab_switches, 0)
    assert paused_us_of(runs) == tracked.paused_us


def test_only_a_change_of_kind_is_written_with_all_values() -> None:
    watched = Watched()
    watched.wait(2 * SECOND_US)
    revision = watched.tracked.revision
    watched.wait(12 * SECOND_US)
    assert watched.tracked.revision == revision
    watched.wait(10 * SECOND_US)  # idle meanwhile
    assert watched.tracked.revision == revision + 1
