"""Store attention coefficients, which multiply the idle limit on pages that match a pattern.

Invariants:

- The longest pattern that matches a page decides; without a match the coefficient is 1.0.
- Matching takes time proportional to the lengths of page and pattern.
- `Coefficients.coefficient` never waits for the database.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from models.base.database import Database, Document
from models.base.driver_errors import answered_within
from models.base.errors import Conflict, NotFound
from models.base.schema_types import PageName, UtcDatetime, WireModel, page_name
from models.concurrency.periodic import run_every

COLLECTION = "page_coefficients"
DEFAULT = 1.0
ANY = "*"
"""The wildcard of patterns."""
MAX_PATTERNS = 1000
MAX_CACHED_PAGES = 20_000
REFRESH_S = 30.0
ANSWER_WITHIN_S = 5.0

# A pattern with control characters could be stored, but not be named in a query string.
Pattern = Annotated[PageName, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$")]


class PageCoefficient(WireModel):
    """The coefficient of all pages that match `pattern`; `*` stands for any characters."""

    pattern: Pattern
    coefficient: Annotated[float, Field(ge=0.1, le=100)]


class PageCoefficientView(PageCoefficient):
    """A coefficient, and when it was set."""

    updated_at: UtcDatetime


class PatternQuery(WireModel):
    """The pattern whose coefficient is to be deleted."""

    pattern: Pattern


def matches(pattern: str, page: str) -> bool:
    """Return whether a pattern matches a whole page name."""
    first, *rest = pattern.split(ANY)
    if not rest:
        return pattern == page
    *inner, last = rest
    if not page.startswith(first) or not page.endswith(last):
        return False
    at, end = len(first), len(page) - len(last)
    for part in inner:
        found = page.find(part, at, max(end, 0))
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


def coefficient_of(page: str, by_pattern: Mapping[str, float]) -> float:
    """Return the coefficient of the longest matching pattern; of equally long ones, the first."""
    matching = [pattern for pattern in by_pattern if matches(pattern, page)]
    if not matching:
        return DEFAULT
    return by_pattern[min(matching, key=lambda pattern: (-len(pattern), pattern))]


class Coefficients:
    """The coefficients, as this process has read them.

    Changes by this process apply at once, those by other processes within `REFRESH_S`.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_pattern: dict[str, float] = {}
        self._by_page: dict[str, float] = {}

    def coefficient(self, page: str) -> float:
        """Return the coefficient of a page."""
        cached = self._by_page.get(page)
        if cached is None:
            if len(self._by_page) >= MAX_CACHED_PAGES:
                self._by_page.clear()
            cached = self._by_page[page] = coefficient_of(page, self._by_pattern)
        return cached

    async def all(self) -> list[PageCoefficientView]:
        """Return all stored coefficients, in order of pattern."""
        found = [_view(each) for each in await self._read()]
        return sorted(found, key=lambda each: each.pattern)

    async def put(self, body: PageCoefficient, now: datetime) -> PageCoefficientView:
        """Set the coefficient of a pattern.

        Raises:
            Conflict: "too_many_patterns".
        """
        patterns = {page_name(document["_id"]) for document in await self._read()}
        if body.pattern not in patterns and len(patterns) >= MAX_PATTERNS:
            raise Conflict("too_many_patterns", f"The limit of {MAX_PATTERNS} patterns is reached.")
        values = {"coefficient": body.coefficient, "updatedAt": now}
        filter_ = {"_id": body.pattern}
        await self._db[COLLECTION].update_one(filter_, {"$set": values}, upsert=True)
        for id_ in await self._ids(body.pattern):
            if id_ != body.pattern:
                await self._db[COLLECTION].delete_one({"_id": id_})
        await self._read()
        return PageCoefficientView(**body.model_dump(by_alias=False), updated_at=now)

    async def delete(self, pattern: str) -> None:
        """Delete the coefficient of a pattern.

        Raises:
            NotFound: "coefficient_not_found".
        """
        filter_ = {"_id": {"$in": await self._ids(pattern)}}
        result = await self._db[COLLECTION].delete_many(filter_)
        await self._read()
        if not result.deleted_count:
            raise NotFound("coefficient_not_found", "This pattern has no coefficient.")

    async def run(self) -> None:
        """Read changes by other processes, until the task is cancelled."""
        await run_every(REFRESH_S, self._refresh, name="page_coefficients")

    async def _refresh(self) -> None:
        async with answered_within(ANSWER_WITHIN_S):
            await self._read()

    async def _ids(self, pattern: str) -> list[str]:
        """Return the stored spellings of a pattern; earlier versions stored each one."""
        found = await self._db[COLLECTION].find({}, {"_id": 1}).to_list(None)
        return [each["_id"] for each in found if page_name(each["_id"]) == pattern]

    async def _read(self) -> list[dict[str, Any]]:
        documents = await self._db[COLLECTION].find().to_list(None)
        found = {page_name(document["_id"]): document["coefficient"] for document in documents}
        if found != self._by_pattern:
            self._by_pattern, self._by_page = found, {}
        return documents


def _view(document: Document) -> PageCoefficientView:
    return PageCoefficientView(
        pattern=page_name(document["_id"]),
        coefficient=document["coefficient"],
        updated_at=document["updatedAt"],
    )
