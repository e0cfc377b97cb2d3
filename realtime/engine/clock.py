"""The clock of counting: monotonic, and anchored to wall time once per process.

Invariants:

- `now_us` never goes back, and goes on while the machine sleeps where the system supports that, so
  that a suspended machine shows as a gap.
- A jump of the wall clock changes neither `now_us` nor the instants derived from it.
- All times inside the engine are whole microseconds of this clock.
"""

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

US_PER_SECOND = 1_000_000
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """A monotonic clock with an anchor in wall time."""

    def now_us(self) -> int:
        """Return the current moment, in microseconds."""
        ...

    def wall(self, at_us: int) -> datetime:
        """Return the UTC instant of a moment of this clock."""
        ...

    def at_us(self, wall: datetime) -> int:
        """Return the moment of a UTC instant; negative before the clock began."""
        ...


def _clock_id() -> int | None:
    if sys.platform == "linux":
        return time.CLOCK_BOOTTIME
    if sys.platform == "darwin":  # time.monotonic() stands still while a Mac sleeps
        return time.CLOCK_MONOTONIC
    return None  # Windows: time.monotonic() counts sleep


class SystemClock:
    """The clock of the operating system."""

    def __init__(self) -> None:
        self._id = _clock_id()
        self._anchor_us = time.time_ns() // 1000 - self.now_us()

    def now_us(self) -> int:
        """Return the current moment, in microseconds."""
        if self._id is None:
            return time.monotonic_ns() // 1000
        return time.clock_gettime_ns(self._id) // 1000

    def wall(self, at_us: int) -> datetime:
        """Return the UTC instant of a moment of this clock."""
        return EPOCH + timedelta(microseconds=self._anchor_us + at_us)

    def at_us(self, wall: datetime) -> int:
        """Return the moment of a UTC instant."""
        return (wall - EPOCH) // MICROSECOND - self._anchor_us


class ManualClock:
    """A clock that stands until it is moved: for tests and simulations."""

    def __init__(self, now_us: int = 0, wall_start: datetime = EPOCH) -> None:
        self._now_us = now_us
        self._wall_start = wall_start - timedelta(microseconds=now_us)

    def now_us(self) -> int:
        """Return the moment at which the clock stands."""
        return self._now_us

    def wall(self, at_us: int) -> datetime:
        """Return the UTC instant of a moment of this clock."""
        return self._wall_start + timedelta(microseconds=at_us)

    def at_us(self, wall: datetime) -> int:
        """Return the moment of a UTC instant."""
        return (wall - self._wall_start) // MICROSECOND

    def advance_s(self, seconds: float) -> int:
        """Move the clock forward; return the new moment."""
        self._now_us += round(seconds * US_PER_SECOND)
        return self._now_us
