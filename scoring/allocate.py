"""Lay out a session as runs of whole seconds, time away included. Pure.

Invariants:

- The seconds of active and idle runs, and their tab switches, add up to the counters of the
  session; the seconds of paused and away runs add up to the given totals, although such runs
  last no whole seconds.
- A run of less than a second is left out, unless it holds the tab switches of a session in which
  no second was counted.
"""

from collections.abc import Sequence
from typing import NamedTuple

from scoring.timeline import SECOND_US, Kind, Run, with_away

COUNTED_KINDS = (Kind.ACTIVE, Kind.IDLE)
"""Kinds whose runs last whole seconds."""


class AllocatedRun(NamedTuple):
    """A run, and the whole seconds that are allocated to it."""

    run: Run
    seconds: int

    @property
    def movable_seconds(self) -> int:
        """How many of the seconds can be marked as active: only whole ones that the run lasts."""
        if self.run.kind == Kind.IDLE:
            return self.seconds
        return min(self.seconds, self.run.seconds) if self.run.kind == Kind.AWAY else 0


def apportion(total: int, lengths_us: Sequence[int]) -> list[int]:
    """Divide whole seconds among runs by their lengths, with cumulative rounding.

    The shares up to each run add up to the lengths up to it, rounded half up, so no rounding
    errors accumulate. Seconds beyond all lengths go to the longest run.

    Args:
        total: The seconds to divide.
        lengths_us: One length for each run; not empty, unless `total` is 0.
    """
    shares: list[int] = []
    reached_us = allocated = 0
    for length_us in lengths_us:
        reached_us += length_us
        allocated_now = min(total, (reached_us + SECOND_US // 2) // SECOND_US)
        shares.append(allocated_now - allocated)
        allocated = allocated_now
    if allocated < total:
        shares[lengths_us.index(max(lengths_us))] += total - allocated
    return shares


def allocate_seconds(
    runs: Sequence[Run], end_us: int, *, paused_seconds: int, away_seconds: int, tab_switches: int
) -> list[AllocatedRun]:
    """Return the runs of a session and the time away between them, each in whole seconds.

    Args:
        runs: The runs of its timeline.
        end_us: When the session ended, since its start.
        paused_seconds: The sum of its pauses. If no run can hold them, as in a timeline that
            another program has written, a run at the end does.
        away_seconds: The sum of its time away, likewise.
        tab_switches: Their sum.
    """
    all_runs = list(with_away(runs, end_us, shortest_us=1))
    if tab_switches and not any(run.kind in COUNTED_KINDS for run in all_runs):
        all_runs.insert(0, Run(Kind.ACTIVE, 0, 0, tab_switches))
    shares = {}
    for kind, total in ((Kind.PAUSED, paused_seconds), (Kind.AWAY, away_seconds)):
        if total and not any(run.kind == kind for run in all_runs):
            last_end_us = all_runs[-1].end_us if all_runs else 0
            all_runs.append(Run(kind, max(end_us, last_end_us), 0))
        shares[kind] = iter(apportion(total, [r.length_us for r in all_runs if r.kind == kind]))
    allocated = [
        AllocatedRun(run, next(shares[run.kind]) if run.kind in shares else run.seconds)
        for run in all_runs
    ]
    return [each for each in allocated if each.seconds or each.run.tab_switches]


def mark_active(runs: Sequence[Run], marked: AllocatedRun) -> list[Run]:
    """Return the runs of a session after an idle or away run of it was marked as active.

    Raises:
        ValueError: The run has no second that can be marked.
    """
    run, seconds = marked.run, marked.movable_seconds
    if not seconds:
        raise ValueError("no second of this run can be marked as active")
    if run.kind == Kind.IDLE:
        return [each._replace(kind=Kind.ACTIVE) if each == run else each for each in runs]
    before = [each for each in runs if each.start_us < run.start_us]
    active = Run(Kind.ACTIVE, run.start_us, seconds * SECOND_US)
    return [*before, active, *runs[len(before) :]]
