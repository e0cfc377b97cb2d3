"""Attention coefficients: how much longer a silence a page earns than any other.

What must always hold: the longest pattern that matches a page decides, and 1.0 where none
does; matching takes time proportional to the lengths, whatever the pattern; `coefficient`
never waits for the database.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import structlog
from pydantic import Field, StringConstraints

from models.base.database import Database, Document
from models.base.driver_errors import answered_within
from models.base.errors import Conflict, NotFound
from models.base.schema_types import PageName, UtcDatetime, WireModel, page_name
from models.concurrency.periodic import run_every

COLLECTION = "page_coefficients"
DEFAULT = 1.0
ANY = "*"
MAX_PATTERNS = 1000
MAX_REMEMBERED = 20_000
REFRESH_S = 30.0
ANSWER_WITHIN_S = 5.0

log = structlog.get_logger(__name__)

# A control character could be stored, and never be deleted by a query string.
Pattern = Annotated[PageName, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$")]


class PageCoefficient(WireModel):
    """The coefficient of all pages that match `pattern`: `*` is any run of characters."""

    pattern: Pattern
    coefficient: Annotated[float, Field(ge=0.1, le=100)]


class PageCoefficientView(PageCoefficient):
    """The same, and when it was set."""

    updated_at: UtcDatetime


class PatternQuery(WireModel):
    """Which coefficient is meant."""

    pattern: Pattern


def matches(pattern: str, page: str) -> bool:
    """Whether the whole page name is of this pattern."""
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
    """That of the longest pattern that matches; of equally long ones, the first by name."""
    matching = [pattern for pattern in by_pattern if matches(pattern, page)]
    if not matching:
        return DEFAULT
    return by_pattern[min(matching, key=lambda pattern: (-len(pattern), pattern))]


class Coefficients:
    """The coefficients as this process knows them: at once what is changed here, and after
    `REFRESH_S` at most what is changed elsewhere."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_pattern: dict[str, float] = {}
        self._by_page: dict[str, float] = {}

    def coefficient(self, page: str) -> float:
        known = self._by_page.get(page)
        if known is None:
            if len(self._by_page) >= MAX_REMEMBERED:
                self._by_page.clear()
            known = self._by_page[page] = coefficient_of(page, self._by_pattern)
        return known

    async def all(self) -> list[PageCoefficientView]:
        """All that are set, by pattern."""
        found = [_view(each) for each in await self._read()]
        return sorted(found, key=lambda each: each.pattern)

    async def put(self, body: PageCoefficient, now: datetime) -> PageCoefficientView:
        """Set one, new or not. Raises Conflict when there are too many."""
        known = {page_name(document["_id"]) for document in await self._read()}
        if body.pattern not in known and len(known) >= MAX_PATTERNS:
            raise Conflict("too_many_patterns", f"There are {MAX_PATTERNS} patterns already.")
        values = {"coefficient": body.coefficient, "updatedAt": now}
        wanted = {"_id": body.pattern}
        await self._db[COLLECTION].update_one(wanted, {"$set": values}, upsert=True)
        for id_ in await self._ids(body.pattern):
            if id_ != body.pattern:
                await self._db[COLLECTION].delete_one({"_id": id_})
        await self._read()
        return PageCoefficientView(**body.model_dump(by_alias=False), updated_at=now)

    async def delete(self, pattern: str) -> None:
        """Raises NotFound."""
        wanted = {"_id": {"$in": await self._ids(pattern)}}
        result = await self._db[COLLECTION].delete_many(wanted)
        await self._read()
        if not result.deleted_count:
            raise NotFound("coefficient_not_found", "There is no coefficient of this pattern.")

    async def run(self) -> None:
        """Read what other servers change, for as long as the task lives."""
        await run_every(REFRESH_S, self._refresh, name="page_coefficients")

    async def _refresh(self) -> None:
        async with answered_within(ANSWER_WITHIN_S):
            await self._read()

    async def _ids(self, pattern: str) -> list[str]:
        """The stored spellings of a pattern: earlier versions kept each."""
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
