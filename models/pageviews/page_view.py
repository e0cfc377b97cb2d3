"""Page views: collection `page_views`, what is viewed, and the queries of those who write.

What must always hold: `engagedSeconds <= visibleSeconds`; every write to counters or
status is fenced (`models.base.compare_and_set`); a view that nobody tracks any more and that
has no end was seen until its last booked second.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from bson import ObjectId
from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt, StringConstraints

from models.base.database import BulkWriteError, Collection, Database, Document
from models.base.indexes import IndexSpec
from models.base.schema_types import ONE_SPELLING, one_message
from models.base.upserts import note_sightings

COLLECTION = "page_views"
BEACON_LIFE = timedelta(hours=12)
"""The age at which a view that is reported by beacons takes no more of them."""
PAGES = "pages"
DUPLICATE_KEY = 11000
ONE_DAY = timedelta(days=1)
SEEN_ONCE_EXPIRES_AFTER = timedelta(days=2)
"""The name of a page that was viewed on one day alone is forgotten so long after that."""
UNSEEN_EXPIRES_AFTER = timedelta(days=30)
DELETED_TOGETHER = 250
MAX_BYTES = 2_048
"""Parameters and title of a view together, as UTF-8."""
INDEXES = (
    # An instant that never changes, unlike a counter, costs a tick nothing. Ids are no
    # order: those of beacons are hashes.
    IndexSpec(
        keys=(("visitorId", 1), ("startedAt", -1)), query="one visitor's views, newest first"
    ),
    IndexSpec(keys=(("userId", 1), ("startedAt", -1)), query="one user's views: export, leaving"),
    IndexSpec(keys=(("startedAt", 1),), query="page_days: the views of a stretch of time"),
)
NAMELESS_VIEW: Document = {"userId": None, "title": None, "params": {}, "hadUser": True}
"""What is left of a view whose user has left: where, when and how long. Later users of the
same browser do not see it."""
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
    """Return how many bytes parameters and title take together."""
    texts = [title or "", *params, *(str(value) for value in params.values())]
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def _within_bytes(params: dict[str, Any]) -> dict[str, Any]:
    refuse_large(params, None)
    return params


def refuse_large(params: Mapping[str, Any], title: str | None) -> None:
    """Raises ValueError where parameters and title are too large together."""
    if details_size(params, title) > MAX_BYTES:
        raise ValueError(f"params and title should have at most {MAX_BYTES} bytes together")


Params = Annotated[
    dict[ParamName, ParamValue],
    Field(
        max_length=20,
        # What Pydantic itself leaves out of the schema.
        json_schema_extra={"additionalProperties": False, "propertyNames": {"maxLength": 50}},
    ),
    AfterValidator(_within_bytes),
]
"""What tells views of one page apart, such as an article's number."""


def size_of(page: str, params: Mapping[str, Any], title: str | None) -> int:
    """Return how many bytes a client's words for a view take."""
    return len(page.encode("utf-8", "surrogatepass")) + details_size(params, title)


def page_views(db: Database) -> Collection:
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
    """The document of a view that begins."""
    return {
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
        # internal, never shown:
        "lastBookedAt": None,
        "stamp": stamp,
        "owner": owner,
    }


async def insert_views(db: Database, documents: Sequence[Document]) -> set[ObjectId]:
    """Store views that begin; one that is there already stays as it is. Gives the ids that
    the database refuses."""
    try:
        await page_views(db).insert_many(documents, ordered=False)
    except BulkWriteError as error:
        errors: list[dict[str, Any]] = error.details.get("writeErrors", [])
        return {documents[e["index"]]["_id"] for e in errors if e.get("code") != DUPLICATE_KEY}
    return set()


async def read_page_names(db: Database) -> list[Document]:
    """Return the row of each page that is known."""
    return await db[PAGES].find().to_list(None)


async def store_page_names(db: Database, names: Iterable[str], now: datetime) -> None:
    """Note that these pages are viewed now; each may be known already."""
    await note_sightings(
        db[PAGES],
        dict.fromkeys(names),
        again=[{"$set": {"lastSeenAt": now}}],
        first=lambda name, _: {"_id": name, "firstSeenAt": now, "lastSeenAt": now},
    )


def is_rarely_seen(row: Mapping[str, Any], now: datetime) -> bool:
    """Return whether the name of a page expires: it is viewed no more, or hardly ever was."""
    last_seen_at: datetime = row.get("lastSeenAt") or row["firstSeenAt"]
    unseen = now - last_seen_at
    seen_once = last_seen_at - row["firstSeenAt"] < ONE_DAY and "lastSeenAt" in row
    return unseen >= (SEEN_ONCE_EXPIRES_AFTER if seen_once else UNSEEN_EXPIRES_AFTER)


async def delete_page_names(db: Database, names: Sequence[str]) -> int:
    """Remove these names; views that have them keep them. Return how many there were."""
    deleted = 0
    for start in range(0, len(names), DELETED_TOGETHER):
        part = list(names[start : start + DELETED_TOGETHER])
        result = await db[PAGES].delete_many({"_id": {"$in": part}})
        deleted += result.deleted_count
    return deleted


class NotedPages:
    """Notes each page once a day when it is viewed, and not at each view."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._day: date | None = None
        self._noted: set[str] = set()

    async def note(self, pages: Iterable[str], now: datetime) -> None:
        """Raises what the driver raises."""
        if now.date() != self._day:
            self._day, self._noted = now.date(), set()
        fresh = set(pages) - self._noted
        if fresh:
            await store_page_names(self._db, sorted(fresh), now)
            self._noted |= fresh


def seen_until(view: Mapping[str, Any]) -> datetime:
    """When a view that nobody tracks ended."""
    until: datetime = view["endedAt"] or view["lastBookedAt"] or view["startedAt"]
    return until
