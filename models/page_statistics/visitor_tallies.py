"""Sums of one visitor's views: collection `visitor_tallies`.

Invariants:
- A view is added to a stored tally once, when nothing can change it any more (`is_over`);
  views that are not over, and later ones, are read at each request.
- Sums are kept for each user of the visitor apart, because a reader may see only some. A user
  is named by a digest, so a tally does not tell who has used the browser.
- Views are read in small statements, and the part that is done is stored, so a request that
  is cut off has not worked for nothing.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from models.base.database import Database
from models.base.driver_errors import answered_within
from models.base.indexes import IndexSpec
from models.base.paging import BY_START, OLDEST, newest_first
from models.page_statistics.day_tally import LATE, IsAlive, is_over
from models.pageviews.page_view import page_views
from models.pageviews.visitors import is_nameless

COLLECTION = "visitor_tallies"
INDEXES = (IndexSpec(keys=(("countedAt", 1),), query="retention of tallies"),)
ANSWER_WITHIN_S = 8.0
SEGMENT = timedelta(days=1)
STORE_AFTER_VIEWS = 5_000
NOBODY = "nobody"
NAMELESS = "nameless"
FIELDS = dict.fromkeys(
    (
        *("visibleSeconds", "engagedSeconds", "userId", "hadUser"),
        *("startedAt", "endedAt", "updatedAt", "owner", "source"),
    ),
    1,
)


class Sums(NamedTuple):
    """What a number of views amount to."""

    views: int = 0
    seen: int = 0
    visible_seconds: int = 0
    engaged_seconds: int = 0

    def plus(self, other: "Sums") -> "Sums":
        return Sums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


Tally = dict[str, Sums]
"""Sums by the owner of the views (see `owner_key`)."""


def user_key(visitor_id: str, user_id: str | None) -> str:
    """Return the key of a user's views of this visitor; without a user, that of unowned ones."""
    if user_id is None:
        return NOBODY
    text = f"{visitor_id}\0{user_id}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


def owner_key(visitor_id: str, view: Mapping[str, Any]) -> str:
    """Return the key under which a view is added up."""
    if view["userId"] is None and is_nameless(view):
        return NAMELESS
    return user_key(visitor_id, view["userId"])


def sums_of(view: Mapping[str, Any]) -> Sums:
    visible = view["visibleSeconds"]
    return Sums(1, int(visible > 0), visible, view["engagedSeconds"])


def added(first: Tally, second: Tally) -> Tally:
    """Return both tallies added up."""
    keys = first.keys() | second.keys()
    return {key: first.get(key, Sums()).plus(second.get(key, Sums())) for key in keys}


class Segment:
    """The views of a stretch of time, added up by the hour in which they began. Pure."""

    def __init__(self, visitor_id: str, until: datetime) -> None:
        self._visitor_id = visitor_id
        self._hours: dict[datetime, Tally] = {}
        self.settled_until = until
        """Begin of the first hour that has a view that is not over."""

    def add(self, view: Mapping[str, Any], *, over: bool) -> None:
        hour = view["startedAt"].astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        tally = self._hours.setdefault(hour, {})
        key = owner_key(self._visitor_id, view)
        tally[key] = tally.get(key, Sums()).plus(sums_of(view))
        if not over:
            self.settled_until = min(self.settled_until, hour)

    def settled(self) -> Tally:
        """Return the sums of the views that nothing changes any more."""
        return self._sum(lambda hour: hour < self.settled_until)

    def open(self) -> Tally:
        """Return the sums of the other views."""
        return self._sum(lambda hour: hour >= self.settled_until)

    def _sum(self, wanted: Any) -> Tally:
        total: Tally = {}
        for hour, tally in self._hours.items():
            if wanted(hour):
                total = added(total, tally)
        return total


async def tally_of(
    db: Database, visitor_id: str, *, first_seen: datetime, is_alive: IsAlive, now: datetime
) -> Tally:
    """Return the sums of all views of a visitor, and store those that are settled.

    Raises StorageUnavailable, StatementRefused.
    """
    async with answered_within(ANSWER_WITHIN_S):
        stored = await db[COLLECTION].find_one({"_id": visitor_id})
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
            tally, unsettled = added(tally, settled), segment.open()
            settled_until = segment.settled_until
            unstored_views += sum(sums.views for sums in settled.values())
        else:  # an earlier view is not over
            unsettled = added(unsettled, added(segment.settled(), segment.open()))
        since += SEGMENT
        if unstored_views >= STORE_AFTER_VIEWS:
            await _store(db, visitor_id, settled_until, tally, now)
            stored_until, unstored_views = settled_until, 0
    if unstored_views or settled_until - stored_until >= SEGMENT:
        await _store(db, visitor_id, settled_until, tally, now)
    return added(tally, unsettled)


async def _read_segment(
    db: Database, visitor_id: str, since: datetime, is_alive: IsAlive, now: datetime
) -> Segment:
    until = since + SEGMENT
    # A view may be stored some minutes after it began.
    segment = Segment(visitor_id, max(since, min(until, _hour_of(now - LATE))))
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
    # Whichever server stores last, the document is right for its own `until`.
    values = {
        "until": until,
        "tallies": [{"key": key, "sums": list(sums)} for key, sums in sorted(tally.items())],
        "countedAt": now,
    }
    async with answered_within(ANSWER_WITHIN_S):
        await db[COLLECTION].update_one({"_id": visitor_id}, {"$set": values}, upsert=True)


async def forget_tallies(db: Database, visitor_ids: list[str]) -> None:
    """Remove the tallies of these visitors; they are made anew from what is stored."""
    async with answered_within(ANSWER_WITHIN_S):
        # The embedded database fails to delete from a collection that never had a document.
        wanted = {"_id": {"$in": visitor_ids}}
        if await db[COLLECTION].find_one(wanted, {"_id": 1}) is not None:
            await db[COLLECTION].delete_many(wanted)


def _hour_of(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
