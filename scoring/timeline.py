"""The timeline of a session: its runs of active, idle, paused and away time, kept as they
happen in a few bytes each. Pure.

What must always hold:

- runs follow each other without overlapping; a counted run (active or idle) is as long as
  its seconds, and each of these ends at the instant at which it fell due;
- the runs and the counters of the session say the same: its active seconds are those of
  the active runs, and so with idle seconds, tab switches and paused time. What lies between
  runs is away;
- the last run may be open: it has no length of its own, but all that the counters have
  beyond the other runs. So a second costs a timeline nothing, only a change does;
- seconds entered by hand are no part of it (`scoring.manual_seconds`), though the
  counters hold them;
- it never has more than `MAX_RUNS` runs: older ones are drawn together then, which keeps
  every sum and moves what was where by a few runs at most.

All times are whole microseconds since the session was started.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

SECOND_US = 1_000_000
MAX_RUNS = 2_000
RUNS_PER_MERGE = 16


class Kind(IntEnum):
    ACTIVE = 0
    IDLE = 1
    PAUSED = 2
    AWAY = 3
    """Never stored: it is what lies between the others."""


class Run(NamedTuple):
    kind: Kind
    start_us: int
    length_us: int
    tab_switches: int = 0

    @property
    def end_us(self) -> int:
        return self.start_us + self.length_us

    @property
    def seconds(self) -> int:
        return self.length_us // SECOND_US


class Counts(NamedTuple):
    """Counters of what is tracked: whole seconds, and tab switches."""

    active: int
    idle: int
    tab_switches: int

    @property
    def elapsed(self) -> int:
        return self.active + self.idle


NO_COUNTS = Counts(0, 0, 0)


class Timeline:
    """One that goes on. `counts` are always those of the session before what is told."""

    __slots__ = ("_by_hand", "_bytes", "_closed", "_end_us", "_last", "_open", "_runs")

    def __init__(self, runs: Iterable[Run] = (), by_hand: Counts = NO_COUNTS) -> None:
        """`by_hand` is what the counters hold beside the runs; it never changes."""
        self._open: tuple[Kind, int] | None = None
        self._by_hand = by_hand
        self._keep(runs)

    def _keep(self, runs: Iterable[Run]) -> None:
        self._bytes = bytearray()
        """All runs but the last closed and the open one."""
        self._last: Run | None = None
        self._end_us = 0
        """Where the one before the last closed run ends."""
        self._closed = self._by_hand
        """The counters up to the last closed run, entries by hand included."""
        self._runs = 0
        for run in runs:
            self._append(run)

    def start_run(self, kind: Kind, start_us: int, counts: Counts) -> bool:
        """A second of another kind than the last one, or the first after a stop, is going
        to be counted, from `start_us` on. Whether that says anything new."""
        before = self._open
        self._close(counts)
        self._open = (kind, max(start_us, self._reached_us()))
        return self._open != before

    def add_pause(self, start_us: int, length_us: int, counts: Counts) -> None:
        """A pause is over."""
        self._close(counts)
        start_us = max(start_us, self._reached_us())
        last = self._last
        if last is not None and last.kind == Kind.PAUSED and last.end_us == start_us:
            self._last = last._replace(length_us=last.length_us + length_us)
        elif length_us > 0:
            self._append(Run(Kind.PAUSED, start_us, length_us))

    def pack(self) -> bytes:
        """As it is stored, with an open run at its end that has no length yet."""
        packed = bytes(self._bytes)
        at_us = self._end_us
        if self._last is not None:
            packed += _packed(self._last, at_us)
            at_us = self._last.end_us
        if self._open is not None:
            kind, start_us = self._open
            packed += _number((start_us - at_us) << 2 | kind)
        return packed

    def _reached_us(self) -> int:
        return self._end_us if self._last is None else self._last.end_us

    def _close(self, counts: Counts) -> None:
        if self._open is not None:
            (kind, start_us), self._open = self._open, None
            run = _rest(kind, start_us, self._closed, counts)
            if run.length_us > 0:
                self._append(run)

    def _append(self, run: Run) -> None:
        if self._runs >= MAX_RUNS:
            self._keep(
                merge_runs(unpack(self.pack(), subtract_counts(self._closed, self._by_hand)))
            )
        if self._last is not None:
            self._bytes += _packed(self._last, self._end_us)
            self._end_us = self._last.end_us
        self._last = run
        self._runs += 1
        self._closed = _plus(self._closed, run)


def unpack(packed: bytes, counts: Counts) -> list[Run]:
    """The runs of a session that has these counters. Raises ValueError if they can't be
    of the same session."""
    runs: list[Run] = []
    closed, at_us = Counts(0, 0, 0), 0
    numbers = _numbers(packed)
    for head in numbers:
        kind, start_us = Kind(head & 3), at_us + (head >> 2)
        length = next(numbers, None)
        if length is None:
            run = _rest(kind, start_us, closed, counts)
        elif kind == Kind.PAUSED:
            run = Run(kind, start_us, length)
        else:
            run = Run(kind, start_us, length * SECOND_US, next(numbers, 0))
        if run.length_us > 0:
            runs.append(run)
            closed = _plus(closed, run)
            at_us = run.end_us
    if closed[:2] != counts[:2]:
        raise ValueError("the timeline is of other counters")
    missing = counts.tab_switches - closed.tab_switches
    if missing and runs:  # switched tabs, and then no second was counted any more
        at = max((i for i, run in enumerate(runs) if run.kind != Kind.PAUSED), default=len(runs))
        if at < len(runs):
            runs[at] = runs[at]._replace(tab_switches=runs[at].tab_switches + missing)
    return runs


def pack(runs: Iterable[Run]) -> bytes:
    """Runs that have all ended, as they are stored."""
    return Timeline(runs).pack()


def runs_from_counts(counts: Counts, paused_us: int = 0) -> list[Run]:
    """Return runs for counters whose timeline is missing: active, then idle, then paused."""
    active_us, idle_us = counts.active * SECOND_US, counts.idle * SECOND_US
    runs = (
        Run(Kind.ACTIVE, 0, active_us, counts.tab_switches),
        Run(Kind.IDLE, active_us, idle_us, 0 if active_us else counts.tab_switches),
        Run(Kind.PAUSED, active_us + idle_us, paused_us),
    )
    return [run for run in runs if run.length_us]


def subtract_counts(counts: Counts, others: Counts) -> Counts:
    """Return what the counts have beyond the others, at least zero."""
    return Counts(
        max(counts.active - others.active, 0),
        max(counts.idle - others.idle, 0),
        max(counts.tab_switches - others.tab_switches, 0),
    )


def counts_of(runs: Iterable[Run]) -> Counts:
    """The counters that these runs come to."""
    counts = Counts(0, 0, 0)
    for run in runs:
        counts = _plus(counts, run)
    return counts


def paused_us_of(runs: Iterable[Run]) -> int:
    return sum(run.length_us for run in runs if run.kind == Kind.PAUSED)


def with_away(runs: Sequence[Run], end_us: int, *, shortest_us: int = SECOND_US) -> Iterator[Run]:
    """The runs and what lies between them, and between the last one and the end of the
    session. What is left of a second (by a crash, or at the end) is no time away, unless
    `shortest_us` says so."""
    bounds = [Run(Kind.AWAY, 0, 0), *runs, Run(Kind.AWAY, max(end_us, 0), 0)]
    for before, after in pairwise(bounds):
        away_us = after.start_us - before.end_us
        if away_us >= shortest_us:
            yield Run(Kind.AWAY, before.end_us, away_us)
        if after is not bounds[-1]:
            yield after


def merge_runs(runs: Sequence[Run]) -> list[Run]:
    """Fewer runs with the same sums: of each `RUNS_PER_MERGE`, one of each kind."""
    few: list[Run] = []
    for at in range(0, len(runs), RUNS_PER_MERGE):
        part = runs[at : at + RUNS_PER_MERGE]
        start_us = part[0].start_us
        for kind in (Kind.ACTIVE, Kind.IDLE, Kind.PAUSED):
            length_us = sum(run.length_us for run in part if run.kind == kind)
            tab_switches = sum(run.tab_switches for run in part if run.kind == kind)
            if length_us:
                few.append(Run(kind, start_us, length_us, tab_switches))
                start_us += length_us
    return few


def _rest(kind: Kind, start_us: int, closed: Counts, counts: Counts) -> Run:
    seconds = counts.elapsed - closed.elapsed
    tab_switches = counts.tab_switches - closed.tab_switches
    return Run(kind, start_us, seconds * SECOND_US, tab_switches)


def _plus(counts: Counts, run: Run) -> Counts:
    active, idle, tab_switches = counts
    if run.kind == Kind.ACTIVE:
        active += run.seconds
    elif run.kind == Kind.IDLE:
        idle += run.seconds
    return Counts(active, idle, tab_switches + run.tab_switches)


def _packed(run: Run, at_us: int) -> bytes:
    head = _number((run.start_us - at_us) << 2 | run.kind)
    if run.kind == Kind.PAUSED:
        return head + _number(run.length_us)
    return head + _number(run.seconds) + _number(run.tab_switches)


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow (LEB128)."""
    packed = bytearray()
    while value > 127:
        packed.append(value & 127 | 128)
        value >>= 7
    packed.append(value)
    return bytes(packed)


def _numbers(packed: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in packed:
        value |= (byte & 127) << shift
        if byte & 128:
            shift += 7
        else:
            yield value
            value = shift = 0
