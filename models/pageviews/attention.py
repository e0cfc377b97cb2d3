"""Limit the seconds that one browser can report by beacons. Pure: `now` is always an argument.

Invariants:

- Over all views of a visitor, engaged seconds grow no faster than the clock, and visible seconds
  no faster than `AT_ONCE` times the clock.
- Memory is bounded. Each process keeps its own records.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

MAX_VISITORS = 50_000
AT_ONCE = 5
"""Views of one browser that can be visible at a time: windows side by side."""
LONGEST = timedelta(hours=12)
"""A beacon reports no time that is longer ago (`BEACON_LIFE`)."""
SECOND = timedelta(seconds=1)


class Granted(NamedTuple):
    """The instants up to which the seconds of a visitor are used up."""

    visible_until: datetime
    engaged_until: datetime


class Attention:
    """Grants seconds to visitors; the least recently seen ones are forgotten beyond `most`."""

    def __init__(self, most: int = MAX_VISITORS) -> None:
        self._granted: dict[str, Granted] = {}
        self._most = most

    def start_view(self, visitor_id: str, now: datetime) -> None:
        """Record that a view starts; a new visitor has no seconds before that to spend."""
        self._keep(visitor_id, self._granted.get(visitor_id, Granted(now, now)))

    def grant(
        self, visitor_id: str, visible: int, engaged: int, *, began_at: datetime, now: datetime
    ) -> tuple[int, int]:
        """Return how many of the reported seconds are granted.

        Args:
            visitor_id: The visitor.
            visible: Visible seconds that its view has gained.
            engaged: Engaged seconds that its view has gained.
            began_at: When the view started; used for a visitor that is not known any more.
            now: The present.
        """
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
        self._granted.pop(visitor_id, None)  # so that it is inserted last
        self._granted[visitor_id] = granted
        if len(self._granted) > self._most:
            del self._granted[next(iter(self._granted))]
