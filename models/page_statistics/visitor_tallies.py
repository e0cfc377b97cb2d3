"""Sum up the views of one visitor: collection `visitor_tallies`.

Invariants:

- A view is added to a stored tally once, when nothing can change it any more (`is_over`). Views
  that are not over, and views after them, are read at each request.
- Each user of the visitor has separate sums, because a reader may see only some. A user is named
  by a digest, so a tally does not reveal who has used the browser.
- Views are read in small statements, and finished parts are stored, so that an interrupted
  request need not be repeated from the start.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypedDict, cast

from models.base.database import CollectionOf, Database
from models.base.driver_errors import answered_within
from models.base.indexes import IndexSpec
from models.base.paging import BY_START, OLDEST, newest_first
from models.page_statistics.day_tally import STORED_WITHIN, IsAlive, is_over
from models.pageviews.page_view import page_views
from models.pageviews.visitors import had_deleted_user

COLLECTION = "visitor_tallies"
INDEXES = (IndexSpec(keys=(("countedAt", 1),), query="retention of tallies"),)
ANSWER_WITHIN_S = 8.0
SEGMENT = timedelta(days=1)
"""The span that is read at once."""
STORE_AFTER_VIEWS = 5_000
WITHOUT_USER = "nobody"
DELETED_USER = "nameless"
"""The key of views whose user deleted their account; it is stored, like `WITHOUT_USER`."""
FIELDS = dict.fromkeys(
    (
        *("visibleSeconds", "engagedSeconds", "userId", "hadUser"),
        *("startedAt", "endedAt", "updatedAt", "owner", "source"),
    ),
    1,
)


class Sums(NamedTuple):
    """The sums of some views, in their stored order."""

    views: int = 0
    visible_views: int = 0
    """Number of views that were visible for a second or more."""
    visible_seconds: int = 0
    engaged_seconds: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Return the sums of both."""
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))


class OwnerTally(TypedDict):
    """The stored sums of the views of one owner."""

    key: str
    sums: list[int]


class VisitorTallyDocument(TypedDict):
    """A document of `visitor_tallies`; its id is the visitor's id."""

    _id: str
    until: datetime
    """Views that started before it are included."""
    tallies: list[OwnerTally]
    countedAt: datetime


def visitor_tallies(db: Database) -> CollectionOf[VisitorTallyDocument]:
    """Return the collection."""
    return cast("CollectionOf[VisitorTallyDocument]", db[COLLECTION])


Tally = dict[str, Sums]
"""Sums by the owner of the views (see `owner_key`)."""


def user_key(visitor_id: str, user_id: str | None) -> str:
    """Return the key of the views of a user, or of views without a user."""
    if user_id is None:
        return WITHOUT_USER
    text = f"{visitor_id}\0{user_id}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


def owner_key(visitor_id: str, view: Mapping[str, Any]) -> str:
    """Return the key to whose sums a view belongs."""
    if view["userId"] is None and had_deleted_user(view):
        return DELETED_USER
    return user_key(visitor_id, view["userId"])


def sums_of(view: Mapping[str, Any]) -> Sums:
    """Return the sums of a single view."""
    visible = view["visibleSeconds"]
    return Sums(1, int(visible > 0), visible, view["engagedSeconds"])


def add_tallies(first: Tally, second: Tally) -> Tally:
    """Return the sum of both tallies."""
    keys = first.keys() | second.keys()
    return {key: first.get(key, Sums()).plus(second.get(key, Sums())) for key in keys}


class Segment:
    """The sums of a span's views, by the hour in which they started. Pure."""

    def __init__(self, visitor_id: str, until: datetime) -> None:
        self._visitor_id = visitor_id
        self._hours: dict[datetime, Tally] = {}
        self.settled_until = until
        """The start of the first hour with a view that is not over, or the given end."""

    def add(self, view: Mapping[str, Any], *, over: bool) -> None:
        """Add a view; `over` says whether nothing can change it any more."""
        hour = _hour_of(view["startedAt"])
        tally = self._hours.setdefault(hour, {})
        key = owner_key(self._visitor_id, view)
        tally[key] = tally.get(key, Sums()).plus(sums_of(view))
        if not over:
            self.settled_until = min(self.settled_until, hour)

    def settled(self) -> Tally:
        """Return the sums of the hours before `settled_until`, which will not change."""
        return self._sum(lambda hour: hour < self.settled_until)

    def open(self) -> Tally:
        """Return the sums of the other hours."""
        return self._sum(lambda hour: hour >= self.settled_until)

    def _sum(self, includes: Callable[[datetime], bool]) -> Tally:
        total: Tally = {}
        for hour, tally in self._hours.items():
            if includes(hour):
                total = add_tallies(total, tally)
        return total


async def tally_of(
    db: Database, visitor_id: str, *, first_seen: datetime, is_alive: IsAlive, now: datetime
) -> Tally:
    """Return the sums of all views of a visitor, and store those that will not change.

    Args:
        db: The database.
        visitor_id: The visitor.
        first_seen: When it was first seen, perhaps by the clock of another host.
        is_alive: Tells which processes are alive.
        now: The present.

    Raises:
        StorageUnavailable: The database did not answer in time.
        StatementRefused: The database refused a statement.
    """
    async with answered_within(ANSWER_WITHIN_S):
        stored = await visitor_tallies(db).find_one({"_id": visitor_id})
    tally: Tally = {}
    since = max(_hour_of(first_seen - SEGMENT), OLDEST)
    if stored is not None:
        since = stored["until"]
        tally = {each["key"]: Sums(*each["sums"]) for each in stored["tallies"]}
    settled_until, unsettled = since, dict[str, Sums]()
    stored_until, unstored_views = since, 0
    while since < now:
        segment = await _read_segment(db, visitor_id, since, is_alive, now)
        if settled_until == since:
            settled = segment.settled()
            tally, unsettled = add_tallies(tally, settled), segment.open()
            settled_until = segment.settled_until
            unstored_views += sum(sums.views for sums in settled.values())
        else:  # an earlier view is not over
            unsettled = add_tallies(unsettled, add_tallies(segment.settled(), segment.open()))
        since += SEGMENT
        if unstored_views >= STORE_AFTER_VIEWS:
            await _store(db, visitor_id, settled_until, tally, now)
            stored_until, unstored_views = settled_until, 0
    if unstored_views or settled_until - stored_until >= SEGMENT:
        await _store(db, visitor_id, settled_until, tally, now)
    return add_tallies(tally, unsettled)


async def _read_segment(
    db: Database, visitor_id: str, since: datetime, is_alive: IsAlive, now: datetime
) -> Segment:
    until = since + SEGMENT
    # A view may be stored some minutes after it began.
    segment = Segment(visitor_id, max(since, min(until, _hour_of(now - STORED_WITHIN))))
    async for views in newest_first(
        page_views(db),
        {"visitorId": visitor_id},
        BY_START,
        now=min(now, until),
        before=until if until < now else None,
        since=since,
        fields=FIELDS,
    ):
        for view in views:
            segment.add(view, over=is_over(view, is_alive=is_alive, now=now))
        await asyncio.sleep(0)
    return segment


async def _store(
    db: Database, visitor_id: str, until: datetime, tally: Tally, now: datetime
) -> None:
    # No condition is needed: the last process to store wins, and its document is right for its
    # own `until`.
    values = {
        "until": until,
        "tallies": [{"key": key, "sums": list(sums)} for key, sums in sorted(tally.items())],
        "countedAt": now,
    }
    async with answered_within(ANSWER_WITHIN_S):
        await visitor_tallies(db).update_one({"_id": visitor_id}, {"$set": values}, upsert=True)


async def remove_tallies(db: Database, visitor_ids: list[str]) -> None:
    """Remove the tallies of some visitors; the next request computes them again."""
    async with answered_within(ANSWER_WITHIN_S):
        # The embedded database fails to delete from a collection that never had a document.
        filter_ = {"_id": {"$in": visitor_ids}}
        if await visitor_tallies(db).find_one(filter_, {"_id": 1}) is not None:
            await visitor_tallies(db).delete_many(filter_)


def _hour_of(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
