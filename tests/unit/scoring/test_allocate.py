"""Test that whole seconds add up to the totals of a session, and which can be marked active."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.allocate import COUNTED_KINDS, AllocatedRun, allocate_seconds, apportion, mark_active
from scoring.timeline import SECOND_US, Counts, Kind, Run, counts_of, pack, paused_us_of, unpack
from tests.unit.scoring.test_timeline import timelines

LENGTHS = st.lists(st.integers(0, 3) | st.integers(0, 10**9), min_size=1, max_size=20)


@given(st.integers(0, 10**6), LENGTHS)
def test_shares_come_to_the_total(total: int, lengths_us: list[int]) -> None:
    shares = apportion(total, lengths_us)
    assert sum(shares) == total
    assert len(shares) == len(lengths_us)
    assert min(shares) >= 0


@given(LENGTHS)
def test_a_share_is_within_a_second_of_the_length(lengths_us: list[int]) -> None:
    total = (sum(lengths_us) + SECOND_US // 2) // SECOND_US
    for share, length_us in zip(apportion(total, lengths_us), lengths_us, strict=True):
        assert abs(share * SECOND_US - length_us) <= SECOND_US


@pytest.mark.parametrize(
    ("total", "lengths_s", "shares"),
    [
        (3, [0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4], [0, 1, 0, 1, 0, 0, 1, 0]),
        (5, [5.3, 0.6], [5, 0]),
        (6, [5.3, 0.8], [5, 1]),
        (2, [3.0, 1.0], [2, 0]),
        (7, [1.0, 4.0, 1.0], [1, 5, 1]),
        (0, [9.0], [0]),
        (0, [], []),
    ],
)
def test_shares(total: int, lengths_s: list[float], shares: list[int]) -> None:
    assert apportion(total, [round(each * SECOND_US) for each in lengths_s]) == shares


def seconds_of(kind: Kind, each: list[AllocatedRun]) -> int:
    return sum(one.seconds for one in each if one.run.kind == kind)


@given(
    timelines(), st.integers(-(10**7), 10**10), st.integers(0, 10**6), st.integers(0, 10**6),
    st.integers(0, 9),
)  # fmt: skip
def test_what_is_told_comes_to_the_totals(
    runs: list[Run], rest_us: int, paused: int, away: int, more_tabs: int
) -> None:
    """Whatever the totals, and whether or not the runs fit before the end."""
    counts = counts_of(runs)
    tabs = counts.tab_switches + more_tabs
    runs = unpack(pack(runs), counts._replace(tab_switches=tabs))
    end_us = (runs[-1].end_us if runs else 0) + rest_us
    each = allocate_seconds(
        runs, end_us, paused_seconds=paused, away_seconds=away, tab_switches=tabs
    )
    assert seconds_of(Kind.ACTIVE, each) == counts.active
    assert seconds_of(Kind.IDLE, each) == counts.idle
    assert seconds_of(Kind.PAUSED, each) == paused
    assert seconds_of(Kind.AWAY, each) == away
    assert sum(one.run.tab_switches for one in each if one.run.kind in COUNTED_KINDS) == tabs
    assert [one.run for one in each if one.run.kind in COUNTED_KINDS and one.seconds] == [
        run for run in runs if run.kind in COUNTED_KINDS
    ]
    for before, after in pairwise(each):
        assert before.run.start_us <= after.run.start_us


def rule_two(runs: list[Run], end_us: int) -> tuple[int, int]:
    """Paused and away seconds of a session, as docs/accuracy.md has them."""
    rest = max(0, end_us // SECOND_US - sum(counts_of(runs)[:2]))
    paused = min(rest, (paused_us_of(runs) + SECOND_US // 2) // SECOND_US)
    return paused, rest - paused


@given(timelines(), st.integers(0, 10**10), st.data())
def test_any_run_that_may_can_be_made_active(
    runs: list[Run], rest_us: int, data: st.DataObject
) -> None:
    end_us = (runs[-1].end_us if runs else 0) + rest_us
    while True:
        paused, away = rule_two(runs, end_us)
        counts = counts_of(runs)
        each = allocate_seconds(
            runs,
            end_us,
            paused_seconds=paused,
            away_seconds=away,
            tab_switches=counts.tab_switches,
        )
        movable_seconds = [one for one in each if one.movable_seconds]
        if not movable_seconds:
            break
        one = data.draw(st.sampled_from(movable_seconds))
        runs = mark_active(runs, one)
        idle = one.seconds if one.run.kind == Kind.IDLE else 0
        expected = Counts(
            counts.active + one.movable_seconds, counts.idle - idle, counts.tab_switches
        )
        assert counts_of(runs) == expected
        assert unpack(pack(runs), expected) == runs
        assert rule_two(runs, end_us) == (paused, away - (one.movable_seconds - idle))
        for before, after in pairwise(runs):
            assert before.end_us <= after.start_us


@pytest.mark.parametrize(
    "one",
    [
        AllocatedRun(Run(Kind.ACTIVE, 0, SECOND_US), 1),
        AllocatedRun(Run(Kind.PAUSED, 0, SECOND_US), 1),
        AllocatedRun(Run(Kind.AWAY, 0, SECOND_US - 1), 1),
    ],
)
def test_others_may_not(one: AllocatedRun) -> None:
    assert one.movable_seconds == 0
    with pytest.raises(ValueError, match="active"):
        mark_active([one.run], one)
