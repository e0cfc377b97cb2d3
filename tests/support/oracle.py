"""What a session must have counted, known from its client's side alone.

What must hold: the server is never asked. Each event happened between two moments of the
client's own monotonic clock (a question between its sending and its answer, anything else
between its sending and `LATENCY_S` later), so running time, and with it each due moment, is
known to lie between two bounds; whatever is stored outside of them is wrong.
"""

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor
from typing import Any, NamedTuple

LATENCY_S = 0.15
"""How long a message may be on its way on the loopback interface, to a busy server."""
IDLE_AFTER_S = 15.0


class Between(NamedTuple):
    """Something that is at least `low` and at most `high`."""

    low: float
    high: float


class Bounds(NamedTuple):
    elapsed: Between
    active: Between
    idle: Between


class Oracle:
    """One session. Second k falls due at `_origin + k` while it counts."""

    def __init__(self) -> None:
        self._ran = Between(0, 0)
        self._origin: Between | None = None
        self._signs: list[Between] = []
        self._may_be: dict[int, tuple[bool, bool]] = {}
        """By second: whether it may have been active, and whether it may have been idle."""

    @property
    def counts(self) -> bool:
        return self._origin is not None

    def runs(self, sent_s: float, answered_s: float, next_second_in_ms: float | None) -> None:
        """`start` or `resume` was sent and answered."""
        self._signs.append(Between(sent_s, answered_s))
        low, high = sent_s - self._ran.high, answered_s - self._ran.low
        counted = floor(self._ran.low)
        if next_second_in_ms and counted == floor(self._ran.high):
            ahead_s = next_second_in_ms / 1000 - (counted + 1)
            low, high = max(low, sent_s + ahead_s), min(high, answered_s + ahead_s + 0.001)
        self._origin = Between(low, high)

    def sign(self, sent_s: float) -> None:
        """`activity` was sent."""
        if self._origin is not None:
            self._signs.append(Between(sent_s, sent_s + LATENCY_S))

    def holds(self, from_s: float, until_s: float | None = None) -> None:
        """It stopped counting somewhere between: a pause, a stop, a lost connection."""
        if self._origin is None:
            return
        until_s = from_s + LATENCY_S if until_s is None else until_s
        ran = self._ran_at(from_s, until_s)
        self._class(ran)
        self._ran, self._origin = ran, None

    def as_if_held(self, from_s: float, until_s: float) -> "Oracle":
        """This one, had it stopped counting somewhere between."""
        other = copy.copy(self)
        other._may_be = dict(self._may_be)
        other.holds(from_s, until_s)
        return other

    def crashed(self, stored: Mapping[str, Any]) -> None:
        """The server has lost what it had not written, after `holds`. A remainder that is
        stored was not used up yet, so together they are no more than the time it ran."""
        assert self._origin is None
        kept_s = stored["elapsedSeconds"] + stored["carryMs"] / 1000
        assert kept_s <= self._ran.high + 0.001, stored
        self._ran = Between(kept_s, kept_s)
        active = stored["activeSeconds"]
        self._may_be = {
            second: (second <= active, second > active)
            for second in range(1, stored["elapsedSeconds"] + 1)
        }

    def due(self, at_s: float) -> int:
        """How many seconds have certainly fallen due until then."""
        return floor(self._ran_at(at_s, at_s).low)

    def late_s(self, second: int, at_s: float) -> float:
        """How long before `at_s` this second fell due, at most."""
        assert self._origin is not None
        return at_s - (self._origin.low + second)

    def in_mid_second_s(self, after_s: float) -> float:
        """The first moment from then on at which the bounds agree as well as they can."""
        assert self._origin is not None
        middle_s = sum(self._origin) / 2 + 0.5 - LATENCY_S / 2
        return after_s + (middle_s - after_s) % 1

    def bounds(self) -> Bounds:
        """Of the whole; only when it does not count."""
        assert self._origin is None
        low, high = floor(self._ran.low), floor(self._ran.high)
        may_be = {second: self._may_be[second] for second in range(1, high + 1)}
        sure = [may_be[second] for second in range(1, low + 1)]
        return Bounds(
            Between(low, high),
            Between(
                sum(not idle for _, idle in sure), sum(active for active, _ in may_be.values())
            ),
            Between(
                sum(not active for active, _ in sure), sum(idle for _, idle in may_be.values())
            ),
        )

    def _ran_at(self, from_s: float, until_s: float) -> Between:
        if self._origin is None:
            return self._ran
        low = max(from_s - self._origin.high, self._ran.low)
        return Between(low, until_s - self._origin.low)

    def _class(self, ran: Between) -> None:
        """Say of each second of the stretch that ends what it may have been."""
        assert self._origin is not None
        for second in range(floor(self._ran.low) + 1, floor(ran.high) + 1):
            due = Between(self._origin.low + second, self._origin.high + second)
            maybe_read = [sign.high for sign in self._signs if sign.low <= due.high]
            surely_read = [sign.low for sign in self._signs if sign.high <= due.low]
            active = max(maybe_read) + IDLE_AFTER_S >= due.low
            idle = bool(surely_read) and max(surely_read) + IDLE_AFTER_S < due.high
            before = self._may_be.get(second, (False, False))
            self._may_be[second] = (active or before[0], idle or before[1])


@dataclass
class Verdict:
    """Sums over all sessions, in seconds."""

    due: int = 0
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    most_lost: int = 0
    """By one session."""
    misclassed: int = 0
    """Active ones that must have been idle, or the other way round, or neither."""
    uncertain: int = 0
    """By how much all this may be too lenient."""

    @property
    def exact(self) -> bool:
        return not (self.lost or self.doubled or self.misclassed)

    @property
    def figures(self) -> dict[str, int]:
        names = ("stored", "lost", "doubled", "most_lost", "misclassed")
        return {name: getattr(self, name) for name in names}


def judge(pairs: Iterable[tuple[Oracle, Mapping[str, Any]]]) -> Verdict:
    """Compare what is stored with what must be."""
    verdict = Verdict()
    for oracle, stored in pairs:
        elapsed, active, idle = oracle.bounds()
        counted = stored["elapsedSeconds"]
        lost = max(0, round(elapsed.low) - counted)
        verdict.due += round(elapsed.low)
        verdict.stored += counted
        verdict.lost += lost
        verdict.most_lost = max(verdict.most_lost, lost)
        verdict.doubled += max(0, counted - round(elapsed.high))
        verdict.uncertain += round(elapsed.high - elapsed.low)
        fits = (
            stored["activeSeconds"] + stored["idleSeconds"] == counted
            and stored["activeSeconds"] <= active.high
            and stored["idleSeconds"] <= idle.high
        )
        verdict.misclassed += not fits
    return verdict


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Of the same sessions one after the other: the last, with the worst faults of any."""
    last = verdicts[-1]
    faults = {
        name: max(getattr(verdict, name) for verdict in verdicts)
        for name in ("lost", "doubled", "most_lost", "misclassed")
    }
    return replace(last, **faults)


def now_s() -> float:
    return time.monotonic()
