"""A session as it is told: all its runs, time away among them, in whole seconds. Pure.

What must always hold: the seconds that are told come to the totals of the session, those of
active and idle runs and the tab switches to its counters, those of paused and away runs to
what is given, though they last no whole seconds. A run of no second is not told, unless it
holds the tab switches of a session in which none was counted.
"""

from collections.abc import Sequence
from typing import NamedTuple

from scoring.timeline import SECOND_US, Kind, Run, with_away

COUNTED_KINDS = (Kind.ACTIVE, Kind.IDLE)


class AllocatedRun(NamedTuple):
    """A run, and the seconds that are told of it."""

    run: Run
    seconds: int

    @property
    def movable_seconds(self) -> int:
        """How many of its seconds may be made active: no more than fit into it."""
        if self.run.kind == Kind.IDLE:
            return self.seconds
        return min(self.seconds, self.run.seconds) if self.run.kind == Kind.AWAY else 0


def apportion(total: int, lengths_us: Sequence[int]) -> list[int]:
    """`total` seconds dealt out to these lengths.

    What has been dealt out is at each of them the sum of lengths up to it, rounded, or the
    total if that is less; what is left in the end goes to the longest.
    """
    shares, reached_us, dealt = [], 0, 0
    for length_us in lengths_us:
        reached_us += length_us
        so_far = min(total, (reached_us + SECOND_US // 2) // SECOND_US)
        shares.append(so_far - dealt)
        dealt = so_far
    if dealt < total:
        shares[lengths_us.index(max(lengths_us))] += total - dealt
    return shares


def allocate_seconds(
    runs: Sequence[Run], end_us: int, *, paused_seconds: int, away_seconds: int, tab_switches: int
) -> list[AllocatedRun]:
    """The runs of a session that ended at `end_us`, and what lies between them.

    Seconds for which there is no place, as in a timeline that somebody else has written,
    stand at its end.
    """
    whole = list(with_away(runs, end_us, shortest_us=1))
    if tab_switches and not any(run.kind in COUNTED_KINDS for run in whole):
        whole.insert(0, Run(Kind.ACTIVE, 0, 0, tab_switches))
    shares = {}
    for kind, total in ((Kind.PAUSED, paused_seconds), (Kind.AWAY, away_seconds)):
        if total and not any(run.kind == kind for run in whole):
            whole.append(Run(kind, max(end_us, whole[-1].end_us if whole else 0), 0))
        lengths_us = [run.length_us for run in whole if run.kind == kind]
        shares[kind] = iter(apportion(total, lengths_us))
    each = [
        AllocatedRun(run, next(shares[run.kind]) if run.kind in shares else run.seconds)
        for run in whole
    ]
    return [found for found in each if found.seconds or found.run.tab_switches]


def mark_active(runs: Sequence[Run], one: AllocatedRun) -> list[Run]:
    """The runs of a session after the seconds of this one, idle or away, have become active.
    Raises ValueError if it has none that may."""
    run, seconds = one.run, one.movable_seconds
    if not seconds:
        raise ValueError("nothing of it can be made active")
    if run.kind == Kind.IDLE:
        return [each._replace(kind=Kind.ACTIVE) if each == run else each for each in runs]
    before = [each for each in runs if each.start_us < run.start_us]
    active = Run(Kind.ACTIVE, run.start_us, seconds * SECOND_US)
    return [*before, active, *runs[len(before) :]]
