"""Page views: collection `page_views`, what is viewed, and the queries of those who write.

What must always hold: `engagedSeconds <= visibleSeconds`; every write to counters or
status is fenced (`models.fence`); a view that nobody tracks any more and that has no end
was seen until its last booked second.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorCollection, AsyncIOMotorDatabase
from pydantic import Field, StrictBool, StrictFloat, StrictInt, StringConstraints
from pymongo.errors import BulkWriteError

from models.indexes import IndexSpec
from models.sessions import Document
from models.wire import ONE_SPELLING, one_message

COLLECTION = "page_views"
PAGES = "pages"
DUPLICATE_KEY = 11000
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

Database = AsyncIOMotorDatabase[Document]
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
Params = Annotated[
    dict[ParamName, ParamValue],
    Field(
        max_length=20,
        # What Pydantic itself leaves out of the schema.
        json_schema_extra={"additionalProperties": False, "propertyNames": {"maxLength": 50}},
    ),
]
"""What tells views of one page apart, such as an article's number."""


def page_views(db: Database) -> AsyncIOMotorCollection[Document]:
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


async def read_page_names(db: Database) -> set[str]:
    """Every page that was ever viewed."""
    return {document["_id"] async for document in db[PAGES].find()}


async def store_page_names(db: Database, names: Iterable[str], now: datetime) -> None:
    """Each may be there already."""
    documents = [{"_id": name, "firstSeenAt": now} for name in names]
    try:
        await db[PAGES].insert_many(documents, ordered=False)
    except BulkWriteError as error:
        errors: list[dict[str, Any]] = error.details.get("writeErrors", [])
        if any(each.get("code") != DUPLICATE_KEY for each in errors):
            raise


def seen_until(view: Mapping[str, Any]) -> datetime:
    """When a view that nobody tracks ended."""
    until: datetime = view["endedAt"] or view["lastBookedAt"] or view["startedAt"]
    return until
