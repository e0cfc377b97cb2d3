"""Keep figures of counting and sockets since the start, for health and metrics. Pure.

Invariants:

- Keeping and reading a figure costs the same however many sessions are tracked.
- The number of labels is bounded, whatever clients send.
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from scoring.timeline import Counts

SocketState = Literal["waiting", "tracking", "closing"]
"""Before the first session or view; with one; closed by one side and not yet gone."""
ClosedBy = Literal["server", "client", "nobody"]

LOST = 1006
"""The connection ended without a close frame (RFC 6455, section 7.1.5)."""
OTHER = 0
CLIENT_CODES = frozenset({1000, 1001, 1005})
"""What browsers send: closed by the page, navigated away, closed without a code. Clients may
send any of some thousands, which count as `OTHER`."""

LAG_BOUNDS_US = (1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
                 2_500_000)  # fmt: skip
FLUSH_BOUNDS_US = (5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
                   2_500_000, 5_000_000, 10_000_000)  # fmt: skip


class Histogram:
    """Counts of times by bucket, in microseconds."""

    __slots__ = ("bounds_us", "counts", "sum_us")

    def __init__(self, bounds_us: tuple[int, ...]) -> None:
        """Create empty buckets; the ascending bounds are the largest time of each."""
        self.bounds_us = bounds_us
        self.counts = [0] * (len(bounds_us) + 1)
        """One count a bucket, not cumulative; the last is of times beyond all bounds."""
        self.sum_us = 0

    def observe(self, time_us: int) -> None:
        """Add one time."""
        self.counts[bisect_left(self.bounds_us, time_us)] += 1
        self.sum_us += time_us


@dataclass(slots=True)
class Figures:
    """What a ledger has done."""

    active_seconds: int = 0
    idle_seconds: int = 0
    """Seconds that the database has acknowledged. Where it has lost some, these stand still until
    as many are written again, because a counter must not fall."""
    active_held: int = 0
    idle_held: int = 0
    """Seconds of this process that the database holds now."""
    flushes: Histogram = field(default_factory=lambda: Histogram(FLUSH_BOUNDS_US))
    statements: int = 0
    doubts: int = 0
    quarantines: int = 0
    last_flush_ms: float = 0.0

    def stored(self, before: Counts, now: Counts) -> None:
        """Note that the database now holds the totals `now` of an item, after `before`."""
        active, idle, _ = now
        active_before, idle_before, _ = before
        if active != active_before:
            self.active_held += active - active_before
            self.active_seconds = max(self.active_seconds, self.active_held)
        if idle != idle_before:
            self.idle_held += idle - idle_before
            self.idle_seconds = max(self.idle_seconds, self.idle_held)

    def flushed(self, statements: int, took_us: int) -> None:
        """Note a flush."""
        self.flushes.observe(took_us)
        self.statements += statements
        self.last_flush_ms = took_us / 1000


class SocketMetrics:
    """The sockets of one kind: how many are in which state, and how others have closed."""

    def __init__(self) -> None:
        self.by_state: Counter[SocketState] = Counter()
        self.closes: Counter[tuple[ClosedBy, int]] = Counter()

    def moved(self, before: SocketState | None, after: SocketState | None) -> None:
        """Note a change of state: from None for a new socket, to None for a closed one."""
        if before is not None:
            self.by_state[before] -= 1
        if after is not None:
            self.by_state[after] += 1

    def closed(self, by: ClosedBy, code: int) -> None:
        """Note the end of a connection: who sent the first close frame, and with which code."""
        if by == "client" and code not in CLIENT_CODES:
            code = OTHER
        self.closes[by, code] += 1
