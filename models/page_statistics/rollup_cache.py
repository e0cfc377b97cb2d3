"""Cache the sums of closed periods, which never change.

Invariants:

- Only a few ranges are cached, each packed as it is stored.
- Each caller gets a tally of its own, which it may change.
"""

from collections.abc import Iterable, Sequence

from models.base.database import Database, Document
from models.page_statistics.rollups import RollupDocument, page_counts, read_pages, read_periods
from scoring.sketches import DistinctSketch
from scoring.tallies import Tally, ViewCounts

MAX_CACHED = 8
"""Ranges."""
_FIELDS = (
    *("build", "pages", "pageCounts", "counts"),
    *("visible", "engaged", "visitors", "users"),
)


class CachedPeriods:
    """The sums of some closed periods."""

    def __init__(self, db: Database, periods: Iterable[RollupDocument]) -> None:
        self._db = db
        self.counts: dict[str, ViewCounts] = {}
        """The counts of each page; not to be changed."""
        total, users = Tally(), DistinctSketch()
        self._periods = []
        for period in periods:
            total.merge_document(period)
            users.merge_bytes(period["users"])
            for page, counts in page_counts(period):
                self.counts.setdefault(page, ViewCounts()).merge(counts)
            self._periods.append({name: period[name] for name in ("_id", "build", "pages")})
        self._total = total.to_document()
        self._users = users.to_bytes()
        self._pages: dict[str, Document] = {}

    def total(self) -> Tally:
        """Return the tally of all views."""
        return _unpacked(self._total)

    def users(self) -> DistinctSketch:
        """Return the sketch of all users."""
        sketch = DistinctSketch()
        sketch.merge_bytes(self._users)
        return sketch

    async def pages(self, pages: Iterable[str]) -> dict[str, Tally]:
        """Return the tallies of some pages; those that were not read yet are read now."""
        names = list(pages)
        unread = set(names) - self._pages.keys()
        found = await read_pages(self._db, self._periods, unread)
        self._pages |= {page: tally.to_document() for page, tally in found.items()}
        return {page: _unpacked(self._pages[page]) for page in names}


class RollupCache:
    """Keeps the ranges of closed periods that were used last."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._ranges: dict[tuple[str, ...], CachedPeriods] = {}
        """In order of use, the last one last."""

    async def of(self, periods: Sequence[str]) -> CachedPeriods:
        """Return the sums of some closed periods."""
        key = tuple(periods)
        cached = self._ranges.pop(key, None)
        if cached is None:
            documents = await read_periods(self._db, key, _FIELDS)
            cached = CachedPeriods(self._db, documents.values())
        self._ranges[key] = cached
        if len(self._ranges) > MAX_CACHED:
            del self._ranges[next(iter(self._ranges))]
        return cached


def _unpacked(document: Document) -> Tally:
    tally = Tally()
    tally.merge_document(document)
    return tally
