"""Record the timeline of a session as runs of active, idle and paused time. Pure.

All times are whole microseconds since the session was started. A run takes a few bytes.

Invariants:

- Runs are in order and do not overlap. An active or idle run is as long as its seconds, and each
  of these ends at the instant at which it fell due. Time between runs is away.
- The sums over the runs equal the counters of the session: active seconds, idle seconds, tab
  switches and paused time.
- The last run may be open: it has no length of its own, but all seconds of the counters that the
  other runs do not have. So counting a second does not change the timeline.
- Seconds entered by hand are not part of it (`scoring.manual_seconds`), although the counters
  include them.
- It has at most `MAX_RUNS` runs. Beyond that, runs are merged, which keeps every sum and moves
  seconds by a few runs at most.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

SECOND_US = 1_000_000
MAX_RUNS = 2_000
RUNS_PER_MERGE = 16
"""How many consecutive runs become at most one run of each kind when runs are merged."""


class Kind(IntEnum):
    """The kind of a run; the number is stored."""

    ACTIVE = 0
    IDLE = 1
    PAUSED = 2
    AWAY = 3
    """Never stored: it is the time between the other runs."""


class Run(NamedTuple):
    """An interval of one kind, with the tab switches in it."""

    kind: Kind
    start_us: int
    length_us: int
    tab_switches: int = 0

    @property
    def end_us(self) -> int:
        """The instant at which it ends."""
        return self.start_us + self.length_us

    @property
    def seconds(self) -> int:
        """Its length in whole seconds."""
        return self.length_us // SECOND_US


class Counts(NamedTuple):
    """Counters of a session: active and idle seconds, and tab switches."""

    active: int
    idle: int
    tab_switches: int

    @property
    def elapsed(self) -> int:
        """Active and idle seconds."""
        return self.active + self.idle


NO_COUNTS = Counts(0, 0, 0)


class Timeline:
    """A timeline that is being recorded.

    The `counts` that methods take are the counters of the session up to the reported change.
    """

    __slots__ = ("_by_hand", "_bytes", "_closed", "_end_us", "_last", "_open", "_runs")

    def __init__(self, runs: Iterable[Run] = (), by_hand: Counts = NO_COUNTS) -> None:
        """Start with closed runs.

        Args:
            runs: In order.
            by_hand: The part of the counters that was entered by hand; it never changes.
        """
        self._open: tuple[Kind, int] | None = None
        """Kind and start of the open run."""
        self._by_hand = by_hand
        self._reset(runs)

    def _reset(self, runs: Iterable[Run]) -> None:
        self._bytes = bytearray()
        """The packed closed runs, but for the last one: a pause may still extend that."""
        self._last: Run | None = None
        """The last closed run."""
        self._end_us = 0
        """The end of the runs in `_bytes`."""
        self._closed = self._by_hand
        """The counters up to the last closed run, entries by hand included."""
        self._runs = 0
        for run in runs:
            self._append(run)

    def start_run(self, kind: Kind, start_us: int, counts: Counts) -> bool:
        """Open a run, after closing the run that is open.

        Args:
            kind: Active or idle.
            start_us: When its first second begins.
            counts: The counters without that second.

        Returns:
            Whether this changed the timeline.
        """
        before = self._open
        self._close(counts)
        self._open = (kind, max(start_us, self._closed_until_us()))
        return self._open != before

    def add_pause(self, start_us: int, length_us: int, counts: Counts) -> None:
        """Add a pause that is over; it extends a pause that ends where it starts."""
        self._close(counts)
        start_us = max(start_us, self._closed_until_us())
        last = self._last
        if last is not None and last.kind == Kind.PAUSED and last.end_us == start_us:
            self._last = last._replace(length_us=last.length_us + length_us)
        elif length_us > 0:
            self._append(Run(Kind.PAUSED, start_us, length_us))

    def pack(self) -> bytes:
        """Return the stored form: the closed runs, then the open run without a length."""
        packed = bytes(self._bytes)
        at_us = self._end_us
        if self._last is not None:
            packed += _packed(self._last, at_us)
            at_us = self._last.end_us
        if self._open is not None:
            kind, start_us = self._open
            packed += _number((start_us - at_us) << 2 | kind)
        return packed

    def _closed_until_us(self) -> int:
        return self._end_us if self._last is None else self._last.end_us

    def _close(self, counts: Counts) -> None:
        if self._open is not None:
            (kind, start_us), self._open = self._open, None
            run = _open_run(kind, start_us, self._closed, counts)
            if run.length_us > 0:
                self._append(run)

    def _append(self, run: Run) -> None:
        if self._runs >= MAX_RUNS:
            self._reset(
                merge_runs(unpack(self.pack(), subtract_counts(self._closed, self._by_hand)))
            )
        if self._last is not None:
            self._bytes += _packed(self._last, self._end_us)
            self._end_us = self._last.end_us
        self._last = run
        self._runs += 1
        self._closed = _plus(self._closed, run)


def unpack(packed: bytes, counts: Counts) -> list[Run]:
    """Return the runs of a stored timeline.

    Args:
        packed: The stored form.
        counts: The counters of the same session, without seconds by hand; they give the open run
            its length.

    Raises:
        ValueError: The timeline and the counters contradict each other.
    """
    runs: list[Run] = []
    closed, at_us = NO_COUNTS, 0
    numbers = _numbers(packed)
    for head in numbers:
        kind, start_us = Kind(head & 3), at_us + (head >> 2)
        length = next(numbers, None)
        if length is None:
            run = _open_run(kind, start_us, closed, counts)
        elif kind == Kind.PAUSED:
            run = Run(kind, start_us, length)
        else:
            run = Run(kind, start_us, length * SECOND_US, next(numbers, 0))
        if run.length_us > 0:
            runs.append(run)
            closed = _plus(closed, run)
            at_us = run.end_us
    if closed[:2] != counts[:2]:
        raise ValueError("the timeline contradicts the counters")
    missing = counts.tab_switches - closed.tab_switches
    if missing and runs:  # tabs were switched after the last counted second
        at = max((i for i, run in enumerate(runs) if run.kind != Kind.PAUSED), default=len(runs))
        if at < len(runs):
            runs[at] = runs[at]._replace(tab_switches=runs[at].tab_switches + missing)
    return runs


def pack(runs: Iterable[Run]) -> bytes:
    """Return the stored form of runs that are all closed."""
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
    """Return the difference of each counter, at least zero."""
    return Counts(
        max(counts.active - others.active, 0),
        max(counts.idle - others.idle, 0),
        max(counts.tab_switches - others.tab_switches, 0),
    )


def counts_of(runs: Iterable[Run]) -> Counts:
    """Return the counters that these runs add up to."""
    counts = NO_COUNTS
    for run in runs:
        counts = _plus(counts, run)
    return counts


def paused_us_of(runs: Iterable[Run]) -> int:
    """Return the sum of all pauses, in microseconds."""
    return sum(run.length_us for run in runs if run.kind == Kind.PAUSED)


def with_away(runs: Sequence[Run], end_us: int, *, shortest_us: int = SECOND_US) -> Iterator[Run]:
    """Yield the runs and the time away between them and up to the end of the session.

    Args:
        runs: In order.
        end_us: The end of the session.
        shortest_us: The least gap that counts as time away. Gaps of less than a second come from
            seconds that were not completed, because of a crash or the end.
    """
    bounds = [Run(Kind.AWAY, 0, 0), *runs, Run(Kind.AWAY, max(end_us, 0), 0)]
    for before, after in pairwise(bounds):
        away_us = after.start_us - before.end_us
        if away_us >= shortest_us:
            yield Run(Kind.AWAY, before.end_us, away_us)
        if after is not bounds[-1]:
            yield after


def merge_runs(runs: Sequence[Run]) -> list[Run]:
    """Return fewer runs with the same sums: at most one of each kind for each `RUNS_PER_MERGE`."""
    merged: list[Run] = []
    for at in range(0, len(runs), RUNS_PER_MERGE):
        part = runs[at : at + RUNS_PER_MERGE]
        start_us = part[0].start_us
        for kind in (Kind.ACTIVE, Kind.IDLE, Kind.PAUSED):
            length_us = sum(run.length_us for run in part if run.kind == kind)
            tab_switches = sum(run.tab_switches for run in part if run.kind == kind)
            if length_us:
                merged.append(Run(kind, start_us, length_us, tab_switches))
                start_us += length_us
    return merged


def _open_run(kind: Kind, start_us: int, closed: Counts, counts: Counts) -> Run:
    """Return the open run: all seconds and tab switches that the closed runs do not have."""
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
    """Pack a closed run that follows one that ends at `at_us`.

    The first number is the gap before the run, shifted left by two bits for its kind. Then follow
    the length of a pause, or the seconds and tab switches of another run.
    """
    head = _number((run.start_us - at_us) << 2 | run.kind)
    if run.kind == Kind.PAUSED:
        return head + _number(run.length_us)
    return head + _number(run.seconds) + _number(run.tab_switches)


def _number(value: int) -> bytes:
    """Pack a number as unsigned LEB128 (DWARF 5, section 7.6): 7 bits a byte, lowest first.

    The highest bit of a byte means that more bytes follow.
    """
    packed = bytearray()
    while value > 127:
        packed.append(value & 127 | 128)
        value >>= 7
    packed.append(value)
    return bytes(packed)


def _numbers(packed: bytes) -> Iterator[int]:
    """Yield the numbers of an unsigned LEB128 sequence."""
    value = shift = 0
    for byte in packed:
        value |= (byte & 127) << shift
        if byte & 128:
            shift += 7
        else:
            yield value
            value = shift = 0
