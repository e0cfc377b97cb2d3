"""What closed periods say together, remembered: they never change.

What must always hold: what is remembered is packed as it is stored, and of a few ranges
only; nobody who is given a tally shares it with anyone.
"""

from collections.abc import Iterable, Sequence

from models.base.database import Database, Document
from models.page_statistics.rollups import page_counts, read_pages, read_periods
from scoring.sketches import DistinctSketch
from scoring.tallies import Tally, ViewCounts

REMEMBERED = 8
_FIELDS = (
    *("build", "pages", "pageCounts", "counts"),
    *("visible", "engaged", "visitors", "users"),
)


class CachedPages:
    """Some closed periods together."""

    def __init__(self, db: Database, periods: Iterable[Document]) -> None:
        self._db = db
        self.counts: dict[str, ViewCounts] = {}
        """By page; to be read only."""
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
        return _unpacked(self._total)

    def users(self) -> DistinctSketch:
        found = DistinctSketch()
        found.merge_bytes(self._users)
        return found

    async def pages(self, pages: Iterable[str]) -> dict[str, Tally]:
        """The tallies of these pages."""
        wanted = list(pages)
        unread = set(wanted) - self._pages.keys()
        found = await read_pages(self._db, self._periods, unread)
        self._pages |= {page: tally.to_document() for page, tally in found.items()}
        return {page: _unpacked(self._pages[page]) for page in wanted}


class RollupCache:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._parts: dict[tuple[str, ...], CachedPages] = {}
        """The one that was asked for last comes last."""

    async def of(self, periods: Sequence[str]) -> CachedPages:
        """These closed periods together."""
        key = tuple(periods)
        part = self._parts.pop(key, None)
        if part is None:
            part = CachedPages(self._db, (await read_periods(self._db, key, _FIELDS)).values())
        self._parts[key] = part
        if len(self._parts) > REMEMBERED:
            del self._parts[next(iter(self._parts))]
        return part


def _unpacked(document: Document) -> Tally:
    tally = Tally()
    tally.merge_document(document)
    return tally
