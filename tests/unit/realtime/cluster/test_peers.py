"""Who is taken for dead: by our own clock, whatever the clocks of the others show."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from realtime.cluster.peers import SILENT_READS, Liveness
from realtime.engine.clock import US_PER_SECOND

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
EVERY_US = 2 * US_PER_SECOND


def test_who_stops_saying_so_is_dead_after_6_s() -> None:
    liveness = Liveness()
    alive = [liveness.read({"a": NOW}, at_s * US_PER_SECOND) for at_s in (0, 2, 4, 5, 6)]
    assert alive == [{"a"}] * 4 + [set()]
    assert liveness.read({"a": NOW + timedelta(seconds=9)}, 8 * US_PER_SECOND) == {"a"}


def test_who_says_goodbye_is_dead_at_once() -> None:
    liveness = Liveness()
    assert liveness.read({"a": NOW, "b": NOW}, 0) == {"a", "b"}
    assert liveness.read({"b": NOW}, 1) == {"b"}


def test_a_reader_that_slept_takes_nobody_for_dead() -> None:
    liveness = Liveness()
    liveness.read({"a": NOW}, 0)
    assert liveness.read({"a": NOW}, 3600 * US_PER_SECOND) == {"a"}


@given(
    skews_s=st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=20),
    late_us=st.lists(st.integers(0, EVERY_US), min_size=20, max_size=20),
)
def test_one_that_says_so_lives_whatever_its_clock_does(
    skews_s: list[int], late_us: list[int]
) -> None:
    """Its clock may jump; but two signs that follow each other differ."""
    liveness = Liveness()
    value, now_us = NOW, 0
    for turn, skew_s in enumerate(skews_s):
        value += timedelta(seconds=skew_s, microseconds=1 if skew_s == 0 else 0)
        now_us += EVERY_US + late_us[turn]
        assert liveness.read({"a": value}, now_us) == {"a"}
    for turn in range(SILENT_READS):
        now_us += EVERY_US
        alive = liveness.read({"a": value}, now_us)
        assert alive == ({"a"} if turn + 1 < SILENT_READS else set())
