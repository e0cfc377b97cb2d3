"""What one visitor has viewed, as far as the reader may know it.

Invariants:
- A reader sees their own views and those without a user; never those of another user.
- Views are listed newest first, each once, however many began in the same millisecond; the
  totals are those of all views that the reader may see, whatever page is shown.
- A request reads a bounded number of views, and one request of a visitor runs at a time.
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
from models.page_statistics.visitor_tallies import NOBODY, Sums, Tally, tally_of, user_key
from models.pageviews.page_view import Source, page_views, seen_until
from models.pageviews.visitors import find_visitor, is_nameless, latest_sessions

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
LATEST_SESSIONS = 20
VIEWS_READ = 2_000
"""So many views a request looks at, to find those that its reader may see."""
READ_TOGETHER = 101
MOST_WAITING = 3
"""Requests that may wait for the one of the same visitor that is under way."""
MOST_ASKING = 200
"""Requests in all, of which `AT_ONCE` are under way."""
AT_ONCE = 2
CLOCKS_APART = timedelta(days=1)
"""How far before the first sighting of a visitor a view may begin, by the clock of another host."""

# The start of the last view that was shown, in milliseconds, and its id.
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
    """A visitor: totals, its latest browser sessions, and a page of its views, newest first;
    `nextCursor` is null on the last page. Views and sessions of other users are left out for
    all but admins; `userId` is null unless it is the reader's own."""

    visitor_id: str
    user_id: str | None
    first_seen_at: UtcDatetime
    last_seen_at: UtcDatetime
    totals: VisitorTotals
    browser_sessions: list[BrowserSessionView]
    views: list[PageViewView]
    next_cursor: str | None


class Reader(NamedTuple):
    """Who asks: by the visitor's own key (`itself`), by a token, by both; or an admin."""

    itself: bool = False
    user_id: str | None = None
    is_admin: bool = False

    def may_see(self, document: Mapping[str, Any]) -> bool:
        """Return whether this reader may see a view, or a browser session.

        One browser has many users in a school: each sees what is their own and what belongs to
        no user. Without a token only the latter is visible.
        """
        if self.is_admin:
            return True
        owner = document["userId"]
        return owner == self.user_id if owner is not None else not is_nameless(document)


class VisitorStats:
    def __init__(self, db: Database, *, is_alive: IsAlive) -> None:
        self._db = db
        self._is_alive = is_alive
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """One report at a time for each visitor."""
        self._asking: Counter[str] = Counter()
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def __call__(
        self, visitor_id: str, query: VisitorQuery, reader: Reader, now: datetime
    ) -> VisitorReport:
        """Return what the reader may know of the visitor.

        Raises NotFound, also where the reader has never used this browser; Busy when others
        ask of the same visitor already.
        """
        if self._asking[visitor_id] > MOST_WAITING or self._asking.total() >= MOST_ASKING:
            raise Busy("too_busy", "Others ask the same already; try again shortly.")
        self._asking[visitor_id] += 1
        try:
            async with self._turns.setdefault(visitor_id, asyncio.Lock()), self._at_once:
                return await self._report(visitor_id, query, reader, now)
        finally:
            self._asking[visitor_id] -= 1
            if not self._asking[visitor_id]:
                del self._asking[visitor_id]

    async def _report(
        self, visitor_id: str, query: VisitorQuery, reader: Reader, now: datetime
    ) -> VisitorReport:
        visitor = await find_visitor(self._db, visitor_id)
        if visitor is None:
            raise _not_found()
        is_joined = reader.user_id is not None and reader.user_id == visitor["userId"]
        sessions = await latest_sessions(self._db, visitor_id)
        if not (reader.itself or reader.is_admin or is_joined or _was_here(reader, sessions)):
            raise _not_found()
        shown_sessions = [each for each in sessions if reader.may_see(each)]
        views, next_cursor = await _page_of_views(self._db, visitor, query, reader, now)
        tally = await tally_of(
            self._db,
            visitor_id,
            first_seen=visitor["firstSeenAt"],
            is_alive=self._is_alive,
            now=now,
        )
        last_seen_at = visitor["lastSeenAt"]
        if not (reader.itself or reader.is_admin or is_joined):
            # When others used the browser is not for a former user.
            last_seen_at = max(each["startedAt"] for each in (*shown_sessions, *views))
        return VisitorReport(
            visitor_id=visitor_id,
            user_id=visitor["userId"] if reader.is_admin or is_joined else None,
            first_seen_at=visitor["firstSeenAt"],
            last_seen_at=last_seen_at,
            totals=_totals(tally, visitor_id, reader),
            browser_sessions=[
                BrowserSessionView.model_validate(_shown(BrowserSessionView, document))
                for document in shown_sessions[:LATEST_SESSIONS]
            ],
            views=[_view(document, self._is_alive) for document in views],
            next_cursor=next_cursor,
        )


def _not_found() -> NotFound:
    return NotFound("visitor_not_found", "There is no such visitor.")


def _was_here(reader: Reader, sessions: Iterable[Document]) -> bool:
    """Return whether the reader's user has used this browser."""
    user_id = reader.user_id
    return user_id is not None and any(each["userId"] == user_id for each in sessions)


def _totals(tally: Tally, visitor_id: str, reader: Reader) -> VisitorTotals:
    keys = {NOBODY, user_key(visitor_id, reader.user_id)}
    total = Sums()
    for key, sums in tally.items():
        if reader.is_admin or key in keys:
            total = total.plus(sums)
    return VisitorTotals(
        views=total.views,
        never_visible=total.views - total.seen,
        visible_seconds=total.visible_seconds,
        engaged_seconds=total.engaged_seconds,
    )


async def _page_of_views(
    db: Database, visitor: Document, query: VisitorQuery, reader: Reader, now: datetime
) -> tuple[list[Document], str | None]:
    """Return a page of the views that the reader may see, and where the next one begins.

    A page ends early, perhaps without a view, after `VIEWS_READ` views that may not be seen.
    """
    before = after = None
    if query.cursor is not None:
        after = _read_cursor(query.cursor)
        before = after[0] + MILLISECOND  # some of the same millisecond were shown before
    shown: list[Document] = []
    last: Document | None = None
    read = 0
    async for view in _newest_first(db, visitor, before, now):
        if after is not None and (view["startedAt"], view["_id"]) >= after:
            continue
        if len(shown) == query.limit or read == VIEWS_READ:
            return shown, None if last is None else _cursor_of(last)
        read += 1
        last = view
        if reader.may_see(view):
            shown.append(view)
    return shown, None


async def _newest_first(
    db: Database, visitor: Document, before: datetime | None, now: datetime
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
        document = {**document, "status": "ended", "endedAt": seen_until(document)}
    return PageViewView.model_validate(_shown(PageViewView, document))


def _shown(model: type[WireModel], document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a document that clients see."""
    names = {field.alias or name for name, field in model.model_fields.items()}
    return {name: value for name, value in document.items() if name in names}
