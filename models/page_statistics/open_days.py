"""The views of days that are not closed, held in memory and read on from time to time.

What must always hold: each view counts once, with what was stored of it when it was read
last; a view that is over is read no more; a failure in the middle of reading loses and
doubles nothing.
"""

from datetime import date, datetime
from typing import Any

from models.base.database import Database, Document
from models.page_statistics.day_tally import (
    DAY,
    LATE,
    SLICE,
    IsAlive,
    is_over,
    read_started,
    read_views,
    with_users,
)
from scoring.tallies import Breakdown, CountedView
from scoring.utc_days import midnight


class OpenDay:
    """One day that is not closed."""

    def __init__(self, db: Database, day: date, *, is_alive: IsAlive) -> None:
        self._db = db
        self._is_alive = is_alive
        self._begins, self._ends = midnight(day), midnight(day) + DAY
        self._read_to = self._begins
        self._over = Breakdown()
        self._over_lately: dict[Any, datetime] = {}
        """Views in `_over` that the next read may give again, by their start."""
        self._open: dict[Any, CountedView] = {}

    async def refresh(self, now: datetime) -> None:
        """Read what has changed."""
        ids = list(self._open)
        self._take(await self._with_users(await read_views(self._db, ids)), now, instead_of=ids)
        if self._read_to >= self._ends + LATE:
            return
        until = min(now + LATE, self._ends)  # another host's clock may be ahead of ours
        since = max(self._begins, min(self._read_to, self._ends) - LATE)
        while since < until:
            slice_end = min(since + SLICE, until)
            self._take(await self._with_users(await read_started(self._db, since, slice_end)), now)
            self._read_to = min(slice_end, now)
            since = slice_end
        self._read_to = now
        remembered = min(now, self._ends) - LATE
        self._over_lately = {id_: at for id_, at in self._over_lately.items() if at >= remembered}

    def add_to(self, breakdown: Breakdown) -> None:
        """Add this day's views."""
        breakdown.merge(self._over)
        for seen in self._open.values():
            breakdown.add(seen)

    async def _with_users(self, views: list[Document]) -> list[tuple[Document, CountedView]]:
        return list(zip(views, await with_users(self._db, views), strict=True))

    def _take(
        self,
        views: list[tuple[Document, CountedView]],
        now: datetime,
        *,
        instead_of: list[Any] | None = None,
    ) -> None:
        """Take in what was read; what was read of these again, and is not there, is gone."""
        for id_ in instead_of or ():
            del self._open[id_]
        for view, seen in views:
            id_ = view["_id"]
            if id_ in self._over_lately:
                continue
            if is_over(view, is_alive=self._is_alive, now=now):
                self._open.pop(id_, None)
                self._over.add(seen)
                self._over_lately[id_] = view["startedAt"]
            else:
                self._open[id_] = seen
