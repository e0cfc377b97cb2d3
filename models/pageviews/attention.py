"""How much attention one browser can have paid. Pure: `now` is always an argument.

Invariants:
- What is granted to a visitor's views by beacon grows, all views together, no faster than the
  clock in engaged seconds, and no faster than five times the clock in visible ones.
- Memory is bounded; each process keeps its own account.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

MOST = 50_000
AT_ONCE = 5
"""Views of one browser that can be visible at a time: windows side by side."""
LONGEST = timedelta(hours=12)
"""A beacon tells of no time that is longer ago (`BEACON_LIFE`)."""
SECOND = timedelta(seconds=1)


class Granted(NamedTuple):
    """The instants up to which seconds were granted."""

    visible_until: datetime
    engaged_until: datetime


class Attention:
    def __init__(self, most: int = MOST) -> None:
        self._granted: dict[str, Granted] = {}
        self._most = most

    def begins(self, visitor_id: str, now: datetime) -> None:
        """A view begins: what came before was granted, unless more is known."""
        self._keep(visitor_id, self._granted.get(visitor_id, Granted(now, now)))

    def grant(
        self, visitor_id: str, visible: int, engaged: int, *, began_at: datetime, now: datetime
    ) -> tuple[int, int]:
        """Return how many of these seconds, of a view that `began_at`, are granted."""
        known = self._granted.get(visitor_id, Granted(began_at, began_at))
        visible_until, engaged_until = (max(until, now - LONGEST) for until in known)
        visible = min(visible, max(0, AT_ONCE * (now - visible_until) // SECOND))
        engaged = min(engaged, max(0, (now - engaged_until) // SECOND))
        self._keep(
            visitor_id,
            Granted(visible_until + visible * SECOND / AT_ONCE, engaged_until + engaged * SECOND),
        )
        return visible, engaged

    def _keep(self, visitor_id: str, granted: Granted) -> None:
        self._granted.pop(visitor_id, None)  # so that it becomes the last
        self._granted[visitor_id] = granted
        if len(self._granted) > self._most:
            del self._granted[next(iter(self._granted))]
