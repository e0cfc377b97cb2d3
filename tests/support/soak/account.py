"""The oracle of one session through crashes and takeovers, known from its client's side.

What must hold: between two faults that may cost something, a session has counted the whole
seconds of its running time, which lies between two bounds; each such fault costs at most
one second that was due, and the remainder.
"""

from math import floor
from typing import NamedTuple


class Span(NamedTuple):
    """The moments between which something happened."""

    low_s: float
    high_s: float


SLACK_S = 0.3
"""By how much later than the bounds say a busy machine may do something; a remainder that
was counted twice is up to a second."""
NOTHING = Span(0.0, 0.0)


class Account:
    def __init__(self) -> None:
        self.drift = 0
        """Seconds beyond what the contract allows, either way."""
        self.costs = 0
        """Seconds that crashes and takeovers cost, as the contract allows."""
        self.faults = 0
        self.history: list[tuple[str, Span, int]] = []
        self._ran = NOTHING
        self._origin: Span | None = None
        """Running time was nought then, reckoned back."""

    @property
    def counts(self) -> bool:
        return self._origin is not None

    @property
    def uncertain_s(self) -> float:
        """By how much a verdict may be too lenient."""
        return self._ran.high_s - self._ran.low_s

    def runs(self, since: Span) -> None:
        assert self._origin is None
        self.history.append(("runs", since, 0))
        self._origin = Span(since.low_s - self._ran.high_s, since.high_s - self._ran.low_s)

    def holds(self, at: Span) -> None:
        if self._origin is not None:
            self.history.append(("holds", at, 0))
            low_s = max(at.low_s - self._origin.high_s, self._ran.low_s)
            self._ran, self._origin = Span(low_s, at.high_s - self._origin.low_s), None

    def cost(self, counted: int, at: Span, *, kept_s: Span = NOTHING) -> None:
        """A crash or a takeover at that moment left so many seconds, and this remainder:
        together no more than the time it ran.

        While it is paused, nothing falls due: only the remainder may be lost.
        """
        counting = self.counts
        self.holds(at)
        self.judge(counted, allowed=1 if counting else 0)
        assert counted + kept_s.low_s <= self._ran.high_s + SLACK_S, self.history
        self.faults += 1
        self.costs += max(0, floor(self._ran.low_s) - counted)
        if counting:
            self._ran = Span(counted + kept_s.low_s, counted + kept_s.high_s)
        else:
            self._ran = Span(floor(self._ran.low_s), self._ran.high_s)

    def judge(self, counted: int, *, allowed: int = 0) -> None:
        """Compare with what is stored, while it does not count."""
        assert self._origin is None
        self.history.append((f"judged, {allowed} allowed", self._ran, counted))
        lost = floor(self._ran.low_s) - allowed - counted
        self.drift += max(0, lost, counted - floor(self._ran.high_s))
