"""Define and store page views (collection `page_views`) and page names (collection `pages`).

Invariants:

- `engagedSeconds <= visibleSeconds`.
- Every write to counters or status is fenced (`models.base.compare_and_set`).
- A view that no process tracks any more and that has no end, ended at its last booked second.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, NotRequired, TypedDict, cast

from bson import ObjectId
from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt, StringConstraints

from models.base.database import BulkWriteError, Collection, Database, Document
from models.base.indexes import IndexSpec
from models.base.schema_types import ONE_SPELLING, one_message
from models.base.upserts import note_sightings

COLLECTION = "page_views"
BEACON_LIFE = timedelta(hours=12)
"""The age of a view from which on its beacons are ignored."""
PAGES = "pages"
DUPLICATE_KEY = 11000
ONE_DAY = timedelta(days=1)
SEEN_ONCE_EXPIRES_AFTER = timedelta(days=2)
"""How long the name of a page that was viewed on a single day is kept after that."""
UNSEEN_EXPIRES_AFTER = timedelta(days=30)
"""How long the name of any other page is kept after its last view."""
DELETED_TOGETHER = 250
MAX_BYTES = 2_048
"""Most bytes of parameters and title of a view together, as UTF-8."""
INDEXES = (
    # `startedAt` never changes, so a tick updates no index. Ids give no order by time: those of
    # beacons are hashes.
    IndexSpec(
        keys=(("visitorId", 1), ("startedAt", -1)), query="one visitor's views, newest first"
    ),
    IndexSpec(keys=(("userId", 1), ("startedAt", -1)), query="one user's views: export, deletion"),
    IndexSpec(keys=(("startedAt", 1),), query="read_started: the views of a span"),
)
ANONYMOUS_VIEW: Document = {"userId": None, "title": None, "params": {}, "hadUser": True}
"""What replaces personal fields of a view whose user deleted their account. `hadUser` hides it
from later users of the same browser."""
COUNTERS = ("visibleSeconds", "engagedSeconds")

Source = Literal["socket", "beacon"]

PageTitle = Annotated[str, StringConstraints(max_length=200), ONE_SPELLING]
ParamName = Annotated[
    str, StringConstraints(min_length=1, max_length=50, pattern=r"^[^$.\x00]+$"), ONE_SPELLING
]
ParamValue = Annotated[
    Annotated[str, StringConstraints(max_length=200), ONE_SPELLING]
    | StrictBool
    | Annotated[StrictInt, Field(ge=-(2**53), le=2**53)]
    | Annotated[StrictFloat, Field(allow_inf_nan=False)],
    one_message("Input should be a text of at most 200 characters, a number, true or false"),
]


def details_size(params: Mapping[str, Any], title: str | None) -> int:
    """Return the bytes of parameters and title together."""
    texts = [title or "", *params, *(str(value) for value in params.values())]
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def _within_bytes(params: dict[str, Any]) -> dict[str, Any]:
    check_details_size(params, None)
    return params


def check_details_size(params: Mapping[str, Any], title: str | None) -> None:
    """Check the size of parameters and title.

    Raises:
        ValueError: They have more than `MAX_BYTES` together.
    """
    if details_size(params, title) > MAX_BYTES:
        raise ValueError(f"params and title should have at most {MAX_BYTES} bytes together")


Params = Annotated[
    dict[ParamName, ParamValue],
    Field(
        max_length=20,
        # Pydantic omits these constraints of keys from the schema.
        json_schema_extra={"additionalProperties": False, "propertyNames": {"maxLength": 50}},
    ),
    AfterValidator(_within_bytes),
]
"""What distinguishes views of one page, such as the number of an article."""


def size_of(page: str, params: Mapping[str, Any], title: str | None) -> int:
    """Return the bytes of all texts that a client has sent for a view."""
    return len(page.encode("utf-8", "surrogatepass")) + details_size(params, title)


class PageViewDocument(TypedDict):
    """A document of `page_views`."""

    _id: ObjectId
    visitorId: str
    userId: str | None
    browserSessionId: ObjectId
    page: str
    params: dict[str, Any]
    title: str | None
    previousViewId: ObjectId | None
    """The view before it in the same browser session."""
    source: Source
    attentionCoefficient: float
    status: str
    visibleSeconds: int
    engagedSeconds: int
    startedAt: datetime
    endedAt: datetime | None
    updatedAt: datetime
    lastBookedAt: datetime | None
    """When its last second was counted."""
    stamp: str
    owner: str | None
    """The process that tracks it; None for views by beacon."""
    sequence: NotRequired[int]
    """By beacon: the number of the last accepted beacon."""
    calledAt: NotRequired[datetime]
    """By beacon: the instant up to which seconds were granted."""
    hadUser: NotRequired[bool]
    """True if the user has deleted their account."""


def page_views(db: Database) -> Collection:
    """Return the collection."""
    return db[COLLECTION]


def new_view(
    *,
    view_id: ObjectId,
    visitor_id: str,
    user_id: str | None,
    browser_session_id: ObjectId,
    page: str,
    params: Mapping[str, Any],
    title: str | None,
    previous_view_id: ObjectId | None,
    source: Source,
    coefficient: float,
    visible: bool,
    stamp: str,
    owner: str | None,
    now: datetime,
) -> Document:
    """Return the document of a view that starts."""
    view: PageViewDocument = {
        "_id": view_id,
        "visitorId": visitor_id,
        "userId": user_id,
        "browserSessionId": browser_session_id,
        "page": page,
        "params": dict(params),
        "title": title,
        "previousViewId": previous_view_id,
        "source": source,
        "attentionCoefficient": coefficient,
        "status": "visible" if visible else "hidden",
        "visibleSeconds": 0,
        "engagedSeconds": 0,
        "startedAt": now,
        "endedAt": None,
        "updatedAt": now,
        # internal, never sent to clients:
        "lastBookedAt": None,
        "stamp": stamp,
        "owner": owner,
    }
    return cast("Document", view)


async def insert_views(db: Database, documents: Sequence[Document]) -> set[ObjectId]:
    """Store views that start; views that are stored already stay unchanged.

    Returns:
        The ids of views that the database refused.
    """
    try:
        await page_views(db).insert_many(documents, ordered=False)
    except BulkWriteError as error:
        errors: list[dict[str, Any]] = error.details.get("writeErrors", [])
        return {documents[e["index"]]["_id"] for e in errors if e.get("code") != DUPLICATE_KEY}
    return set()


async def read_page_names(db: Database) -> list[Document]:
    """Return the documents of all page names."""
    return await db[PAGES].find().to_list(None)


async def store_page_names(db: Database, names: Iterable[str], now: datetime) -> None:
    """Record that pages are viewed now, new or not."""
    await note_sightings(
        db[PAGES],
        dict.fromkeys(names),
        again=[{"$set": {"lastSeenAt": now}}],
        first=lambda name, _: {"_id": name, "firstSeenAt": now, "lastSeenAt": now},
    )


def is_rarely_seen(row: Mapping[str, Any], now: datetime) -> bool:
    """Return whether a page name has expired, because it was not viewed for long enough."""
    last_seen_at: datetime = row.get("lastSeenAt") or row["firstSeenAt"]
    unseen = now - last_seen_at
    seen_once = last_seen_at - row["firstSeenAt"] < ONE_DAY and "lastSeenAt" in row
    return unseen >= (SEEN_ONCE_EXPIRES_AFTER if seen_once else UNSEEN_EXPIRES_AFTER)


async def delete_page_names(db: Database, names: Sequence[str]) -> int:
    """Remove page names, and return how many were stored. Page views keep their names."""
    deleted = 0
    for start in range(0, len(names), DELETED_TOGETHER):
        part = list(names[start : start + DELETED_TOGETHER])
        result = await db[PAGES].delete_many({"_id": {"$in": part}})
        deleted += result.deleted_count
    return deleted


class PageNameRecorder:
    """Records viewed pages, each once a day, to save writes."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._day: date | None = None
        self._recorded: set[str] = set()

    async def record(self, pages: Iterable[str], now: datetime) -> None:
        """Record that pages are viewed now. Errors of the driver pass through."""
        if now.date() != self._day:
            self._day, self._recorded = now.date(), set()
        fresh = set(pages) - self._recorded
        if fresh:
            await store_page_names(self._db, sorted(fresh), now)
            self._recorded |= fresh


def untracked_end(view: Mapping[str, Any]) -> datetime:
    """Return when a view ended that no process tracks."""
    ended_at: datetime = view["endedAt"] or view["lastBookedAt"] or view["startedAt"]
    return ended_at
