"""Report the views of one visitor, as far as the reader may see them.

Invariants:

- A reader sees their own views and views without a user; only admins see views of other users.
- Views are listed newest first, each once, however many started in the same millisecond. Totals
  are those of all views that the reader may see, not only those of the listed page.
- A request reads a bounded number of views, and one request for a visitor runs at a time.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple
from weakref import WeakValueDictionary

from bson import ObjectId
from pydantic import Field, StringConstraints

from models.base.database import Database, Document
from models.base.errors import Busy, NotFound
from models.base.paging import BY_START, newest_first
from models.base.schema_types import DocumentId, UtcDatetime, WireModel
from models.page_statistics.day_tally import IsAlive
from models.page_statistics.visitor_tallies import WITHOUT_USER, Sums, Tally, tally_of, user_key
from models.pageviews.page_view import Source, page_views, untracked_end
from models.pageviews.visitors import (
    BrowserSessionDocument,
    VisitorDocument,
    find_visitor,
    had_deleted_user,
    latest_sessions,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
LATEST_SESSIONS = 20
VIEWS_READ = 2_000
"""Most views that a request reads to find those that its reader may see."""
READ_TOGETHER = 101
MAX_WAITING = 3
"""Requests that may wait while another one for the same visitor runs."""
MAX_REQUESTS = 200
"""Requests for all visitors, of which `AT_ONCE` run and the others wait."""
AT_ONCE = 2
CLOCKS_APART = timedelta(days=1)
"""How far before its visitor's `firstSeenAt` a view may start, by the clock of another host."""

# The start of the last listed view, in milliseconds since 1970, and its id.
Cursor = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,14}-[0-9a-f]{24}$")]


class VisitorQuery(WireModel):
    """Which page of views; `visitor` is the visitor's own key, where no cookie carries it."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Cursor | None = None
    visitor: Annotated[str, StringConstraints(max_length=100)] | None = None


class BrowserSessionView(WireModel):
    """A browser session: views with no gap over 30 minutes."""

    id: Annotated[DocumentId, Field(alias="_id")]
    user_id: str | None
    user_agent: str
    started_at: UtcDatetime


class PageViewView(WireModel):
    """A page view; one that is open has no end yet."""

    id: Annotated[DocumentId, Field(alias="_id")]
    browser_session_id: DocumentId
    previous_view_id: DocumentId | None
    user_id: str | None
    page: str
    params: dict[str, Any]
    title: str | None
    source: Source
    attention_coefficient: float
    status: str
    started_at: UtcDatetime
    ended_at: UtcDatetime | None
    visible_seconds: int
    engaged_seconds: int


class VisitorTotals(WireModel):
    """All views of a visitor that the reader may see."""

    views: int
    never_visible: int
    visible_seconds: int
    engaged_seconds: int


class VisitorReport(WireModel):
    """A visitor: totals, its latest browser sessions, and a page of its views, newest first.

    `nextCursor` is null on the last page. Only admins see views and sessions of other users;
    `userId` is null unless it is the reader's own.
    """

    visitor_id: str
    user_id: str | None
    first_seen_at: UtcDatetime
    last_seen_at: UtcDatetime
    totals: VisitorTotals
    browser_sessions: list[BrowserSessionView]
    views: list[PageViewView]
    next_cursor: str | None


class Reader(NamedTuple):
    """The identity of a request's sender."""

    has_key: bool = False
    """Whether the request carries the visitor's key."""
    user_id: str | None = None
    """The user of the request's access token."""
    is_admin: bool = False

    def may_see(self, document: Mapping[str, Any]) -> bool:
        """Return whether this reader may see a view or a browser session.

        Many users may share a browser, as in a school. Each one sees their own documents and those
        without a user; without an access token, only the latter are visible.
        """
        if self.is_admin:
            return True
        owner = document["userId"]
        return owner == self.user_id if owner is not None else not had_deleted_user(document)


class VisitorStats:
    """Reports visitors to readers."""

    def __init__(self, db: Database, *, is_alive: IsAlive) -> None:
        self._db = db
        self._is_alive = is_alive
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """One lock for each visitor with a request."""
        self._requests: Counter[str] = Counter()
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def __call__(
        self, visitor_id: str, query: VisitorQuery, reader: Reader, now: datetime
    ) -> VisitorReport:
        """Return the report of a visitor for a reader.

        Raises:
            NotFound: "visitor_not_found": there is no such visitor, or the reader has never used
                its browser.
            Busy: "too_busy": too many requests, in all or for this visitor, are waiting.
        """
        if self._requests[visitor_id] > MAX_WAITING or self._requests.total() >= MAX_REQUESTS:
            raise Busy("too_busy", "Too many requests for visitors. Try again in a moment.")
        self._requests[visitor_id] += 1
        try:
            async with self._locks.setdefault(visitor_id, asyncio.Lock()), self._at_once:
                return await self._report(visitor_id, query, reader, now)
        finally:
            self._requests[visitor_id] -= 1
            if not self._requests[visitor_id]:
                del self._requests[visitor_id]

    async def _report(
        self, visitor_id: str, query: VisitorQuery, reader: Reader, now: datetime
    ) -> VisitorReport:
        visitor = await find_visitor(self._db, visitor_id)
        if visitor is None:
            raise _not_found()
        is_joined = reader.user_id is not None and reader.user_id == visitor["userId"]
        sessions = await latest_sessions(self._db, visitor_id)
        is_present = reader.has_key or reader.is_admin or is_joined
        if not (is_present or _has_used_browser(reader, sessions)):
            raise _not_found()
        visible_sessions = [each for each in sessions if reader.may_see(each)]
        views, next_cursor = await _page_of_views(self._db, visitor, query, reader, now)
        tally = await tally_of(
            self._db,
            visitor_id,
            first_seen=visitor["firstSeenAt"],
            is_alive=self._is_alive,
            now=now,
        )
        last_seen_at = visitor["lastSeenAt"]
        if not is_present:
            # A former user must not see when other users used the browser.
            last_seen_at = max(each["startedAt"] for each in (*visible_sessions, *views))
        return VisitorReport(
            visitor_id=visitor_id,
            user_id=visitor["userId"] if reader.is_admin or is_joined else None,
            first_seen_at=visitor["firstSeenAt"],
            last_seen_at=last_seen_at,
            totals=_totals(tally, visitor_id, reader),
            browser_sessions=[
                BrowserSessionView.model_validate(_fields_of(BrowserSessionView, document))
                for document in visible_sessions[:LATEST_SESSIONS]
            ],
            views=[_view(document, self._is_alive) for document in views],
            next_cursor=next_cursor,
        )


def _not_found() -> NotFound:
    return NotFound("visitor_not_found", "Visitor not found.")


def _has_used_browser(reader: Reader, sessions: Iterable[BrowserSessionDocument]) -> bool:
    """Return whether the reader's user has used this browser."""
    user_id = reader.user_id
    return user_id is not None and any(each["userId"] == user_id for each in sessions)


def _totals(tally: Tally, visitor_id: str, reader: Reader) -> VisitorTotals:
    keys = {WITHOUT_USER, user_key(visitor_id, reader.user_id)}
    total = Sums()
    for key, sums in tally.items():
        if reader.is_admin or key in keys:
            total = total.plus(sums)
    return VisitorTotals(
        views=total.views,
        never_visible=total.views - total.visible_views,
        visible_seconds=total.visible_seconds,
        engaged_seconds=total.engaged_seconds,
    )


async def _page_of_views(
    db: Database, visitor: VisitorDocument, query: VisitorQuery, reader: Reader, now: datetime
) -> tuple[list[Document], str | None]:
    """Return a page of the views that the reader may see, and the cursor of the next page.

    A page ends early, perhaps without a view, after `VIEWS_READ` views were read.
    """
    before = after = None
    if query.cursor is not None:
        after = _read_cursor(query.cursor)
        before = after[0] + MILLISECOND  # of this millisecond, some views were listed before
    page: list[Document] = []
    last: Document | None = None
    read = 0
    async for view in _newest_first(db, visitor, before, now):
        if after is not None and (view["startedAt"], view["_id"]) >= after:
            continue
        if len(page) == query.limit or read == VIEWS_READ:
            return page, None if last is None else _cursor_of(last)
        read += 1
        last = view
        if reader.may_see(view):
            page.append(view)
    return page, None


async def _newest_first(
    db: Database, visitor: VisitorDocument, before: datetime | None, now: datetime
) -> AsyncIterator[Document]:
    """Yield the visitor's views, those of one millisecond in the order of their ids."""
    of_one_instant: list[Document] = []
    async for views in newest_first(
        page_views(db),
        {"visitorId": visitor["_id"]},
        BY_START,
        now=now,
        before=before,
        since=visitor["firstSeenAt"] - CLOCKS_APART,
        most=READ_TOGETHER,
    ):
        for view in views:
            if of_one_instant and of_one_instant[0]["startedAt"] != view["startedAt"]:
                for each in _by_id(of_one_instant):
                    yield each
                of_one_instant = []
            of_one_instant.append(view)
    for each in _by_id(of_one_instant):
        yield each


def _by_id(views: list[Document]) -> list[Document]:
    return sorted(views, key=lambda view: view["_id"], reverse=True)


def _cursor_of(view: Document) -> str:
    return f"{(view['startedAt'] - EPOCH) // MILLISECOND}-{view['_id']}"


def _read_cursor(cursor: str) -> tuple[datetime, ObjectId]:
    milliseconds, _, id_ = cursor.partition("-")
    return EPOCH + int(milliseconds) * MILLISECOND, ObjectId(id_)


def _view(document: Document, is_alive: IsAlive) -> PageViewView:
    tracked = document["owner"] is not None and is_alive(document["owner"])
    if document["endedAt"] is None and not tracked:
        document = {**document, "status": "ended", "endedAt": untracked_end(document)}
    return PageViewView.model_validate(_fields_of(PageViewView, document))


def _fields_of(model: type[WireModel], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a document that the model has."""
    names = {field.alias or name for name, field in model.model_fields.items()}
    return {name: value for name, value in document.items() if name in names}
