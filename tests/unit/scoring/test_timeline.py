"""Test that timelines are packed without loss, never overlap, and are bounded."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.timeline import (
    MAX_RUNS,
    RUNS_PER_MERGE,
    SECOND_US,
    Counts,
    Kind,
    Run,
    Timeline,
    counts_of,
    merge_runs,
    pack,
    paused_us_of,
    runs_from_counts,
    unpack,
    with_away,
)

NONE = Counts(0, 0, 0)
COUNTED = st.sampled_from([Kind.ACTIVE, Kind.IDLE])


@st.composite
def timelines(draw: st.DrawFn) -> list[Run]:
    """Runs of any kind, each after the other."""
    runs: list[Run] = []
    at_us = 0
    for _ in range(draw(st.integers(0, 20))):
        at_us += draw(st.integers(0, 3) | st.integers(0, 10**12))
        if draw(st.booleans()):
            seconds = draw(st.integers(1, 300) | st.integers(1, 10**6))
            tabs = draw(st.integers(0, 3))
            run = Run(draw(COUNTED), at_us, seconds * SECOND_US, tabs)
        else:
            run = Run(Kind.PAUSED, at_us, draw(st.integers(1, 10**11)))
        runs.append(run)
        at_us = run.end_us
    return runs


@given(timelines())
def test_unpacked_is_what_was_packed(runs: list[Run]) -> None:
    assert unpack(pack(runs), counts_of(runs)) == runs


@given(timelines(), COUNTED, st.integers(0, 10**9), st.integers(1, 10**6), st.integers(0, 9))
def test_an_open_run_has_what_the_counters_have_beyond_the_others(
    runs: list[Run], kind: Kind, gap_us: int, seconds: int, tabs: int
) -> None:
    before = counts_of(runs)
    timeline = Timeline(runs)
    start_us = (runs[-1].end_us if runs else 0) + gap_us
    timeline.start_run(kind, start_us, before)
    open_run = Run(kind, start_us, seconds * SECOND_US, tabs)
    after = counts_of([*runs, open_run])
    assert unpack(timeline.pack(), before) == runs  # nothing of it was counted yet
    assert unpack(timeline.pack(), after) == [*runs, open_run]
    timeline.start_run(Kind.IDLE, open_run.end_us + 5, after)  # which closes it
    assert unpack(timeline.pack(), after) == [*runs, open_run]


def test_pauses_with_no_second_between_them_are_one() -> None:
    timeline = Timeline()
    for number in range(1000):
        timeline.add_pause(number * 400, 400, NONE)
    assert unpack(timeline.pack(), NONE) == [Run(Kind.PAUSED, 0, 400_000)]


def test_a_run_never_begins_before_the_last_one_has_ended() -> None:
    """As it may when another server, whose clock is behind, goes on with the session."""
    timeline = Timeline([Run(Kind.ACTIVE, 0, 10 * SECOND_US)])
    timeline.start_run(Kind.ACTIVE, 4 * SECOND_US, Counts(10, 0, 0))
    assert unpack(timeline.pack(), Counts(12, 0, 0))[-1].start_us == 10 * SECOND_US


def test_a_switch_of_tabs_after_the_last_second_belongs_to_the_last_run() -> None:
    runs = [Run(Kind.ACTIVE, 0, SECOND_US, 1), Run(Kind.PAUSED, SECOND_US, 70)]
    assert unpack(pack(runs), Counts(1, 0, 3)) == [runs[0]._replace(tab_switches=3), runs[1]]
    assert unpack(b"", Counts(0, 0, 2)) == []


@pytest.mark.parametrize("counts", [Counts(9, 0, 0), Counts(11, 0, 0), Counts(10, 1, 0)])
def test_a_timeline_of_other_counters_is_refused(counts: Counts) -> None:
    with pytest.raises(ValueError, match="contradicts the counters"):
        unpack(pack([Run(Kind.ACTIVE, 0, 10 * SECOND_US)]), counts)


def test_a_few_bytes_for_a_run() -> None:
    """Runs of a minute or two, one after the other; and a whole day of them."""
    runs = [
        Run(Kind(number % 2), number * 60 * SECOND_US, 60 * SECOND_US) for number in range(1440)
    ]
    assert len(pack(runs)) == 3 * len(runs)


def test_however_long_it_is_bounded() -> None:
    timeline, counts, at_us = Timeline(), NONE, 0
    for number in range(20 * MAX_RUNS):
        kind = Kind(number % 2)
        timeline.start_run(kind, at_us, counts)
        at_us += SECOND_US
        counts = Counts(counts.active + (kind == 0), counts.idle + (kind == 1), number // 100)
    runs = unpack(timeline.pack(), counts)
    assert len(runs) <= MAX_RUNS
    assert counts_of(runs) == counts
    assert runs[-1].end_us == at_us
    assert len(timeline.pack()) < 20_000


@given(timelines())
def test_what_is_drawn_together_has_the_same_sums_and_does_not_overlap(runs: list[Run]) -> None:
    few = merge_runs(runs)
    assert counts_of(few) == counts_of(runs)
    assert paused_us_of(few) == paused_us_of(runs)
    for before, after in pairwise(few):
        assert before.end_us <= after.start_us
    assert len(few) <= 3 * -(-len(runs) // RUNS_PER_MERGE)
    if runs:
        assert few[0].start_us == runs[0].start_us
        assert few[-1].end_us <= runs[-1].end_us


@given(timelines(), st.integers(0, 10**10))
def test_with_away_it_is_the_whole_session(runs: list[Run], rest_us: int) -> None:
    end_us = (runs[-1].end_us if runs else 0) + rest_us
    whole = list(with_away(runs, end_us))
    assert [run for run in whole if run.kind != Kind.AWAY] == runs
    at_us = 0
    for run in [*whole, Run(Kind.AWAY, end_us, 0)]:
        assert 0 <= run.start_us - at_us < SECOND_US
        at_us = run.end_us


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 99), st.integers(0, 10**9))
def test_counters_without_a_timeline_are_laid_out(
    active: int, idle: int, tabs: int, paused_us: int
) -> None:
    counts = Counts(active, idle, tabs)
    runs = runs_from_counts(counts, paused_us)
    assert counts_of(runs)[:2] == counts[:2]
    assert unpack(pack(runs), counts) == runs
    assert paused_us_of(runs) == paused_us
