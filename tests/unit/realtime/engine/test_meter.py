"""The meter against a model that walks from due moment to due moment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.engine.meter import NOTHING, SECOND_US, Booked, Meter

IDLE_AFTER_US = 15 * SECOND_US


def seconds(value: float) -> int:
    return round(value * SECOND_US)


def started(at_us: int = 0, carry_us: int = 0) -> Meter:
    meter = Meter(idle_after_us=IDLE_AFTER_US, carry_us=carry_us)
    meter.sign(at_us)
    meter.run(at_us)
    return meter


def test_a_second_falls_due_exactly_when_it_is_full() -> None:
    meter = started()
    assert meter.settle(SECOND_US - 1) == NOTHING
    assert meter.settle(SECOND_US) == Booked(1, 0)
    assert meter.settle(SECOND_US) == NOTHING


def test_the_fifteenth_second_of_silence_is_active_and_the_sixteenth_idle() -> None:
    meter = started()
    assert meter.settle(seconds(15)) == Booked(15, 0)
    assert meter.settle(seconds(16)) == Booked(0, 1)


def test_just_more_than_the_threshold_is_idle() -> None:
    meter = started(carry_us=SECOND_US - 1)  # due at 1 µs, 1 s + 1 µs, ... 15 s + 1 µs
    assert meter.settle(seconds(16)) == Booked(15, 1)


def test_a_late_settle_books_the_same_as_one_on_time() -> None:
    late, on_time = started(), started()
    booked = [on_time.settle(seconds(n)) for n in range(1, 31)]
    assert late.settle(seconds(30)) == Booked(
        sum(b.active for b in booked), sum(b.idle for b in booked)
    )


def test_a_sign_does_not_change_seconds_that_were_settled_before_it() -> None:
    meter = started()
    assert meter.settle(seconds(20)) == Booked(15, 5)
    meter.sign(seconds(20))
    assert meter.settle(seconds(36)) == Booked(15, 1)


def test_holding_keeps_the_remainder() -> None:
    meter = Meter(idle_after_us=IDLE_AFTER_US)
    booked = 0
    for start in range(100):
        meter.sign(seconds(start))
        meter.run(seconds(start))
        booked += meter.hold(seconds(start + 0.337)).active
    assert booked == 33
    assert meter.carry_us(seconds(1000)) == seconds(0.7)


def test_running_again_never_starts_before_the_last_hold() -> None:
    meter = started()
    meter.hold(seconds(2.5))
    meter.run(seconds(2.0))
    assert meter.due_at_us == seconds(3.0)


def test_a_remainder_of_a_whole_second_is_refused() -> None:
    with pytest.raises(ValueError, match="less than a second"):
        Meter(idle_after_us=IDLE_AFTER_US, carry_us=SECOND_US)


class Walk:
    """The naive reading of the rule: one due moment after the other."""

    def __init__(self) -> None:
        self.tracked_us = 0
        self.active = self.idle = 0
        self.sign_us: int | None = None

    def pass_time(self, from_us: int, to_us: int) -> None:
        start_us = self.tracked_us
        self.tracked_us += to_us - from_us
        for k in range(start_us // SECOND_US + 1, self.tracked_us // SECOND_US + 1):
            due_us = from_us + k * SECOND_US - start_us
            if self.sign_us is not None and due_us - self.sign_us > IDLE_AFTER_US:
                self.idle += 1
            else:
                self.active += 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["sign", "hold", "run", "settle"]),
        st.one_of(
            st.integers(0, 40 * SECOND_US),
            st.integers(0, 40).map(lambda n: n * SECOND_US),
            st.integers(0, 3),
        ),
    ),
    max_size=60,
)


@given(STEPS)
def test_any_history_books_what_the_walk_books(steps: list[tuple[str, int]]) -> None:
    meter, walk, now_us = Meter(idle_after_us=IDLE_AFTER_US), Walk(), 0
    active = idle = 0
    for step, wait_us in steps:
        if meter.running:
            walk.pass_time(now_us, now_us + wait_us)
        now_us += wait_us
        booked = meter.hold(now_us) if step == "hold" else meter.settle(now_us)
        active, idle = active + booked.active, idle + booked.idle
        if step == "sign":
            meter.sign(now_us)
            walk.sign_us = now_us
        elif step == "run":
            meter.run(now_us)
        assert (active, idle) == (walk.active, walk.idle)
        assert active + idle == walk.tracked_us // SECOND_US
        assert meter.carry_us(now_us) == walk.tracked_us % SECOND_US
        assert meter.settle(now_us) == NOTHING
