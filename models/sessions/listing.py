"""List the sessions of a user: filtered, searched, page by page.

Invariants:

- All filters must match. A page is full unless no further session matches.
- `from` and `to` are about when a session was studied, which may be long after its creation.
- The database filters by user and span of time alone. So a searched text can be no pattern and no
  operator, and the embedded database, which scans all sessions for any further filter, reads only
  the sessions of this user.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bson import ObjectId

from models.base.database import Database, Document
from models.base.paging import BY_ID, OLDEST, newest_first
from models.concurrency.slices import Slices
from models.sessions.list_query import SessionQuery
from models.sessions.queries import (
    sessions,
)
from scoring.text import clean, distinct, fold

SEARCHED = ("title", "notes")
COMPARED = ("status", "contentId", "tags", "createdAt", "startedAt", *SEARCHED)
SHOWN = {"edits": 0}
"""All but edits, which may be long."""
COMPARED_TOGETHER = 500
CLOCKS_DIFFER = timedelta(days=1)
"""By how much the instant in an id may differ from `createdAt`, at the very most."""
LATEST = datetime(2100, 1, 1, tzinfo=UTC)


async def list_sessions(
    db: Database, user_id: str, query: SessionQuery, now: datetime
) -> tuple[list[Document], str | None]:
    """Return a page of sessions, newest first, and the cursor of the next page."""
    fits = _fits(query)
    windows = newest_first(
        sessions(db),
        {"userId": user_id},
        BY_ID,
        now=now,
        before=_before(query),
        fields=SHOWN if fits is None else dict.fromkeys(COMPARED, 1),
        most=query.limit + 1 if fits is None else COMPARED_TOGETHER,
    )
    found: list[Document] = []
    slices = Slices()
    async for documents in windows:
        for document in documents:
            if fits is None or fits(document):
                found.append(document)
            if fits is not None:
                await slices.did(4 + (_work_of_folding(document) if query.q else 0))
        if len(found) > query.limit:
            break
    page, more = found[: query.limit], len(found) > query.limit
    cursor = str(page[-1]["_id"]) if more else None
    return (page if fits is None else await _whole(db, page)), cursor


def _fits(query: SessionQuery) -> Callable[[Document], bool] | None:
    """Return a test of all filters; None where there are none."""
    text = None if query.q is None else fold(query.q) or query.q
    filters: list[Callable[[Document], bool]] = []
    if query.status is not None:
        filters.append(lambda each: each["status"] == query.status)
    if query.content_id is not None:
        # Texts that were stored by earlier versions are as they were typed.
        filters.append(lambda each: _cleaned(each["contentId"]) == query.content_id)
    if query.tag is not None:
        filters.append(lambda each: query.tag in distinct(each["tags"]))
    if (since := query.from_) is not None:
        filters.append(lambda each: _studied_at(each) >= since)
    if (until := query.to) is not None:
        filters.append(lambda each: _studied_at(each) < until)
    if text is not None:
        filters.append(lambda each: _has(each, text))
    return (lambda each: all(fits(each) for fits in filters)) if filters else None


def _before(query: SessionQuery) -> ObjectId | None:
    """Return the id that all sessions of the page are below, if there is one."""
    bounds = []
    if query.cursor is not None:
        bounds.append(ObjectId(query.cursor))
    if query.to is not None and OLDEST < query.to < LATEST:
        bounds.append(ObjectId.from_datetime(query.to + CLOCKS_DIFFER))
    return min(bounds, default=None)


def _studied_at(document: Document) -> datetime:
    """Return when a session was started, or created if it was never started."""
    studied_at: datetime = document["startedAt"] or document["createdAt"]
    return studied_at


def _work_of_folding(document: Document) -> int:
    """Return the cost of folding a text, in units of `slices`: combining marks take longest."""
    texts = [document[name] or "" for name in SEARCHED]
    return sum(len(text) // (1000 if text.isascii() else 4) for text in texts)


def _cleaned(name: str | None) -> str | None:
    return None if name is None else clean(name)


def _has(document: Document, text: str) -> bool:
    return any(text in fold(document[name]) for name in SEARCHED if document[name] is not None)


async def _whole(db: Database, page: list[Document]) -> list[Document]:
    """Return sessions with all fields, without the ones that were deleted in the meantime."""
    ids = [document["_id"] for document in page]
    found = await sessions(db).find({"_id": {"$in": ids}}, SHOWN).to_list(None)
    return sorted(found, key=lambda document: document["_id"], reverse=True)
