"""Keep the views of days that are not closed in memory, and read changes from time to time.

Invariants:

- Each view counts once, as it was stored when it was last read.
- A view that is over is not read again.
- A failure in the middle of a read neither loses nor doubles a view.
"""

from datetime import date, datetime
from typing import Any

from models.base.database import Database, Document
from models.page_statistics.day_tally import (
    DAY,
    SLICE,
    STORED_WITHIN,
    IsAlive,
    is_over,
    read_started,
    read_views,
    with_users,
)
from scoring.tallies import Breakdown, CountedView
from scoring.utc_days import midnight


class OpenDay:
    """The views of one day that is not closed."""

    def __init__(self, db: Database, day: date, *, is_alive: IsAlive) -> None:
        self._db = db
        self._is_alive = is_alive
        self._begins, self._ends = midnight(day), midnight(day) + DAY
        self._read_to = self._begins
        """Views that started before this instant were read, but for those stored later."""
        self._over = Breakdown()
        """The views that are over."""
        self._recently_over: dict[Any, datetime] = {}
        """Views in `_over` that the next read may return again, with their start."""
        self._open: dict[Any, CountedView] = {}

    async def refresh(self, now: datetime) -> None:
        """Read open views again, and views that were stored since the last call."""
        ids = list(self._open)
        views = await self._with_users(await read_views(self._db, ids))
        # From here to the next await: what is read replaces what was there, or nothing changes.
        for id_ in ids:  # retention may have removed views
            del self._open[id_]
        self._add(views, now)
        if self._read_to >= self._ends + STORED_WITHIN:
            return
        until = min(now + STORED_WITHIN, self._ends)  # another host's clock may be ahead
        since = max(self._begins, min(self._read_to, self._ends) - STORED_WITHIN)
        while since < until:
            slice_end = min(since + SLICE, until)
            self._add(await self._with_users(await read_started(self._db, since, slice_end)), now)
            self._read_to = min(slice_end, now)
            since = slice_end
        self._read_to = now
        next_since = min(now, self._ends) - STORED_WITHIN
        self._recently_over = {
            id_: at for id_, at in self._recently_over.items() if at >= next_since
        }

    def add_to(self, breakdown: Breakdown) -> None:
        """Add the views of this day to a breakdown."""
        breakdown.merge(self._over)
        for view in self._open.values():
            breakdown.add(view)

    async def _with_users(self, views: list[Document]) -> list[tuple[Document, CountedView]]:
        return list(zip(views, await with_users(self._db, views), strict=True))

    def _add(self, views: list[tuple[Document, CountedView]], now: datetime) -> None:
        for document, view in views:
            id_ = document["_id"]
            if id_ in self._recently_over:
                continue
            if is_over(document, is_alive=self._is_alive, now=now):
                self._open.pop(id_, None)
                self._over.add(view)
                self._recently_over[id_] = document["startedAt"]
            else:
                self._open[id_] = view
