"""What one visitor has viewed.

What must always hold: views are listed newest first, each once, however many began in the
same millisecond; the totals are those of all views, whatever page is shown.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorDatabase
from pydantic import Field, StringConstraints

from models.errors import NotFound
from models.page_days import IsAlive
from models.page_views import Source, page_views, seen_until
from models.sessions import Document
from models.visitors import BROWSER_SESSIONS, find_visitor
from models.wire import DocumentId, UtcDatetime, WireModel

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
LATEST_SESSIONS = 20

Database = AsyncIOMotorDatabase[Document]
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
    """All views of a visitor."""

    views: int
    never_visible: int
    visible_seconds: int
    engaged_seconds: int


class VisitorReport(WireModel):
    """A visitor: totals, its latest browser sessions, and a page of its views, newest
    first; `nextCursor` is null on the last page."""

    visitor_id: str
    user_id: str | None
    first_seen_at: UtcDatetime
    last_seen_at: UtcDatetime
    totals: VisitorTotals
    browser_sessions: list[BrowserSessionView]
    views: list[PageViewView]
    next_cursor: str | None


class VisitorStats:
    def __init__(self, db: Database, *, is_alive: IsAlive) -> None:
        self._db = db
        self._is_alive = is_alive

    async def __call__(
        self, visitor_id: str, query: VisitorQuery, *, allowed: Callable[[str | None], bool]
    ) -> VisitorReport:
        """All there is to say of the visitor, if whoever asks is `allowed` to know it, given
        the user that the visitor is joined to. Raises NotFound."""
        visitor = await find_visitor(self._db, visitor_id)
        if visitor is None or not allowed(visitor["userId"]):
            raise NotFound("visitor_not_found", "There is no such visitor.")
        views, next_cursor = await _page_of_views(self._db, visitor_id, query)
        sessions = self._db[BROWSER_SESSIONS].find({"visitorId": visitor_id}).sort("_id", -1)
        return VisitorReport(
            visitor_id=visitor_id,
            user_id=visitor["userId"],
            first_seen_at=visitor["firstSeenAt"],
            last_seen_at=visitor["lastSeenAt"],
            totals=await _totals(self._db, visitor_id),
            browser_sessions=[
                BrowserSessionView.model_validate(_shown(BrowserSessionView, document))
                for document in await sessions.limit(LATEST_SESSIONS).to_list(None)
            ],
            views=[_view(document, self._is_alive) for document in views],
            next_cursor=next_cursor,
        )


async def _totals(db: Database, visitor_id: str) -> VisitorTotals:
    seen = {"$cond": [{"$gt": ["$visibleSeconds", 0]}, 1, 0]}
    sums = {
        "views": {"$sum": 1},
        "seen": {"$sum": seen},
        "visible": {"$sum": "$visibleSeconds"},
        "engaged": {"$sum": "$engagedSeconds"},
    }
    pipeline: list[dict[str, Any]] = [
        {"$match": {"visitorId": visitor_id}},
        {"$group": {"_id": None, **sums}},
    ]
    found = await page_views(db).aggregate(pipeline).to_list(None)
    total = found[0] if found else dict.fromkeys(sums, 0)
    return VisitorTotals(
        views=total["views"],
        never_visible=total["views"] - total["seen"],
        visible_seconds=total["visible"],
        engaged_seconds=total["engaged"],
    )


async def _page_of_views(
    db: Database, visitor_id: str, query: VisitorQuery
) -> tuple[list[Document], str | None]:
    wanted: dict[str, Any] = {"visitorId": visitor_id}
    shown: list[Document] = []
    if query.cursor is not None:
        at, last_id = _read_cursor(query.cursor)
        # Those of the same millisecond, of which some were shown before.
        beside = await page_views(db).find({**wanted, "startedAt": at}).to_list(None)
        shown = sorted(
            (view for view in beside if view["_id"] < last_id),
            key=lambda view: view["_id"],
            reverse=True,
        )
        wanted["startedAt"] = {"$lt": at}
    order = [("startedAt", -1), ("_id", -1)]
    rest = page_views(db).find(wanted).sort(order).limit(query.limit + 1)
    shown = (shown + await rest.to_list(None))[: query.limit + 1]
    if len(shown) <= query.limit:
        return shown, None
    last = shown[query.limit - 1]
    return shown[: query.limit], f"{(last['startedAt'] - EPOCH) // MILLISECOND}-{last['_id']}"


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
