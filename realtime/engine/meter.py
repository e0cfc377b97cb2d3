"""Count the seconds of one session or page view. Pure: `now` is always an argument.

Invariants (docs/accuracy.md, rule 1):

- Second *k* falls due when the running time, summed over all stretches, reaches *k* seconds. A
  hold keeps the remainder, so stretches of any length lose nothing.
- `settle(now)` books each second due up to and including `now` exactly once: as idle if it fell
  due more than `idle_after_us` after the latest sign of activity known then, else as active.
- `sign` settles nothing. The caller settles first, so a sign never changes a second that fell
  due before the sign was read.

The cost of `settle` does not depend on how late it is called.
"""

from typing import NamedTuple

SECOND_US = 1_000_000


class Booked(NamedTuple):
    """Whole seconds that one `settle` booked."""

    active: int
    idle: int


NOTHING = Booked(0, 0)


class Meter:
    """The running time of one session or page view, in microseconds of the counting clock."""

    __slots__ = ("_carry_us", "_held_at_us", "due_at_us", "idle_after_us", "last_sign_us")

    def __init__(self, *, idle_after_us: int, carry_us: int = 0) -> None:
        if not 0 <= carry_us < SECOND_US:
            raise ValueError("the remainder must be less than a second")
        self.idle_after_us = idle_after_us
        self.last_sign_us: int | None = None
        """The latest sign of activity; None until the first, when nothing is idle yet."""
        self.due_at_us: int | None = None
        """When the next second falls due; None while held."""
        self._carry_us = carry_us
        self._held_at_us: int | None = None

    @property
    def running(self) -> bool:
        """Whether time counts."""
        return self.due_at_us is not None

    def carry_us(self, now_us: int) -> int:
        """Return the running time since the last second fell due, in [0, 1 s).

        While running, it is exact only right after `settle(now_us)`.
        """
        if self.due_at_us is None:
            return self._carry_us
        return SECOND_US - (self.due_at_us - now_us)

    def run(self, now_us: int) -> None:
        """Count from `now_us` on, or from the last hold if that is later."""
        if self.due_at_us is not None:
            return
        if self._held_at_us is not None:
            now_us = max(now_us, self._held_at_us)
        self.due_at_us = now_us + SECOND_US - self._carry_us

    def hold(self, now_us: int) -> Booked:
        """Settle, then stop counting and keep the remainder.

        A moment before the last booked second counts as the moment of that second.
        """
        booked = self.settle(now_us)
        if self.due_at_us is not None:
            now_us = max(now_us, self.due_at_us - SECOND_US)
            self._carry_us = SECOND_US - (self.due_at_us - now_us)
            self._held_at_us = now_us
            self.due_at_us = None
        return booked

    def sign(self, now_us: int) -> None:
        """Note a sign of activity at `now_us`."""
        if self.last_sign_us is None or now_us > self.last_sign_us:
            self.last_sign_us = now_us

    def settle(self, now_us: int) -> Booked:
        """Book the seconds due up to and including `now_us`."""
        due_us = self.due_at_us
        if due_us is None or now_us < due_us:
            return NOTHING
        count = (now_us - due_us) // SECOND_US + 1
        self.due_at_us = due_us + count * SECOND_US
        if self.last_sign_us is None:
            return Booked(count, 0)
        last_active_us = self.last_sign_us + self.idle_after_us
        active = min(max((last_active_us - due_us) // SECOND_US + 1, 0), count)
        return Booked(active, count - active)
