"""Test that counters come out as set by hand, and that tracked seconds stay in place."""

from hypothesis import given
from hypothesis import strategies as st

from scoring.manual_seconds import Counted, Entry, set_counters, total_of
from scoring.timeline import SECOND_US, Counts, Kind, Run, counts_of

AT_US, ZONE = 10**15, "UTC"
COUNTS = st.builds(Counts, st.integers(0, 300), st.integers(0, 300), st.integers(0, 9))


@st.composite
def counted(draw: st.DrawFn) -> Counted:
    runs: list[Run] = []
    at_us = 0
    for _ in range(draw(st.integers(0, 6))):
        at_us += draw(st.integers(0, 5_000_000))
        kind = draw(st.sampled_from([Kind.ACTIVE, Kind.IDLE, Kind.PAUSED]))
        switches = 0 if kind == Kind.PAUSED else draw(st.integers(0, 3))
        runs.append(Run(kind, at_us, draw(st.integers(1, 90)) * SECOND_US, switches))
        at_us = runs[-1].end_us
    entries = draw(st.lists(COUNTS.filter(any), max_size=3))
    return Counted(
        runs, [Entry(AT_US - 9 + number, ZONE, each) for number, each in enumerate(entries)]
    )


def after(before: Counted, wanted: Counts, *, may_join: bool = True) -> Counted:
    return set_counters(before, wanted, AT_US, ZONE, may_join=lambda _: may_join)


def seconds_of(runs: list[Run] | tuple[Run, ...], *kinds: Kind) -> set[int]:
    """When each second of these kinds begins."""
    return {
        run.start_us + number * SECOND_US
        for run in runs
        if run.kind in kinds
        for number in range(run.seconds)
    }


@given(counted(), COUNTS, st.booleans())
def test_counters_come_out_as_they_were_set(
    before: Counted, wanted: Counts, may_join: bool
) -> None:
    found = after(before, wanted, may_join=may_join)
    tracked, by_hand = counts_of(found.runs), total_of(found.entries)
    assert tracked.active + by_hand.active == wanted.active
    assert tracked.idle + by_hand.idle == wanted.idle
    assert tracked.tab_switches + by_hand.tab_switches <= wanted.tab_switches


@given(counted(), COUNTS)
def test_no_second_comes_into_the_runs(before: Counted, wanted: Counts) -> None:
    found = after(before, wanted)
    kinds = (Kind.ACTIVE, Kind.IDLE)
    assert seconds_of(list(found.runs), *kinds) <= seconds_of(list(before.runs), *kinds)
    paused = [run for run in before.runs if run.kind == Kind.PAUSED]
    assert [run for run in found.runs if run.kind == Kind.PAUSED] == paused
    at_us = 0
    for run in found.runs:
        assert run.start_us >= at_us
        at_us = run.end_us


@given(counted(), st.integers(0, 300), st.integers(0, 300))
def test_more_changes_nothing_that_was_tracked(before: Counted, active: int, idle: int) -> None:
    have, by_hand = counts_of(before.runs), total_of(before.entries)
    wanted = Counts(
        have.active + by_hand.active + active,
        have.idle + by_hand.idle + idle,
        have.tab_switches + by_hand.tab_switches,
    )
    found = after(before, wanted, may_join=False)
    assert found.runs == before.runs
    more = Entry(AT_US, ZONE, Counts(active, idle, 0))
    assert found.entries == [*before.entries, *([more] if active or idle else [])]


@given(counted(), COUNTS)
def test_setting_them_again_changes_nothing(before: Counted, wanted: Counts) -> None:
    once = after(before, wanted)
    assert after(once, wanted)[:1] == once[:1]
    assert total_of(after(once, wanted).entries)[:2] == total_of(once.entries)[:2]


RUNS = [
    Run(Kind.ACTIVE, 0, 60 * SECOND_US, 1),
    Run(Kind.IDLE, 60 * SECOND_US, 30 * SECOND_US),
    Run(Kind.ACTIVE, 100 * SECOND_US, 20 * SECOND_US, 2),
]


def test_less_is_taken_from_what_was_entered_and_then_from_the_end() -> None:
    entries = [Entry(1, ZONE, Counts(50, 0, 0)), Entry(2, ZONE, Counts(10, 0, 0))]
    found = after(Counted(RUNS, entries), Counts(125, 30, 3))
    assert found == Counted(RUNS, [Entry(1, ZONE, Counts(45, 0, 0))])
    found = after(Counted(RUNS, entries), Counts(70, 30, 3))
    assert found == Counted([*RUNS[:2], Run(Kind.ACTIVE, 100 * SECOND_US, 10 * SECOND_US, 2)], [])
    found = after(Counted(RUNS, entries), Counts(50, 30, 3))
    assert found.runs == [Run(Kind.ACTIVE, 0, 50 * SECOND_US, 1), RUNS[1]._replace(tab_switches=2)]


def test_what_was_active_becomes_idle_where_it_was() -> None:
    found = after(Counted(RUNS, []), Counts(70, 40, 3))
    assert found.entries == []
    assert found.runs == [
        *RUNS[:2],
        Run(Kind.ACTIVE, 100 * SECOND_US, 10 * SECOND_US, 2),
        Run(Kind.IDLE, 110 * SECOND_US, 10 * SECOND_US),
    ]
    back = after(found, Counts(80, 30, 3))
    assert counts_of(back.runs) == counts_of(RUNS)


def test_more_of_the_same_moment_joins() -> None:
    first = after(Counted([], []), Counts(10, 0, 0))
    assert after(first, Counts(30, 5, 0)).entries == [Entry(AT_US, ZONE, Counts(30, 5, 0))]
    apart = after(first, Counts(30, 5, 0), may_join=False)
    assert [entry.counts for entry in apart.entries] == [Counts(10, 0, 0), Counts(20, 5, 0)]
