"""Read the page views of a day for statistics.

Invariants:

- A view belongs to the UTC day of its `startedAt`.
- A view is *over* once no process can change it any more. Only then may a stored sum include it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from models.base.database import Database, Document
from models.pageviews.page_view import BEACON_LIFE, page_views
from models.pageviews.visitors import VISITORS
from scoring.tallies import CountedView

DAY = timedelta(days=1)
SLICE = timedelta(hours=3)
"""The part of a day that is read at once."""
STORED_WITHIN = timedelta(minutes=10)
"""How long after its start a view may be stored for the first time, by this process's clock: the
database may be slow or unavailable, and clocks of hosts differ."""
DEAD_AFTER = timedelta(minutes=10)
"""A view is over if its process is considered dead and it was not written for this long."""
ABANDONED_AFTER = timedelta(days=7)
"""A view that is still open at this age is over, too."""
FIELDS = dict.fromkeys(
    (
        *("page", "visitorId", "userId", "visibleSeconds", "engagedSeconds"),
        *("startedAt", "endedAt", "updatedAt", "owner", "source"),
    ),
    1,
)
CHUNK = 500

IsAlive = Callable[[str], bool]
"""Returns whether a process, by its name in `owner`, is alive."""


def days_between(first: date, end: date) -> Iterator[date]:
    """Yield the days from `first` up to the one before `end`."""
    return (first + timedelta(days=number) for number in range((end - first).days))


def is_over(view: Mapping[str, Any], *, is_alive: IsAlive, now: datetime) -> bool:
    """Return whether no process will change a view any more."""
    age = now - view["startedAt"]
    if view["endedAt"] is not None or age >= ABANDONED_AFTER:
        return True
    if view["source"] == "beacon":
        return bool(age >= BEACON_LIFE)
    owner = view["owner"]
    if owner is None:
        return True
    return not is_alive(owner) and now - view["updatedAt"] >= DEAD_AFTER


async def read_started(db: Database, since: datetime, until: datetime) -> list[Document]:
    """Return the views that started from `since` to `until` (excluded)."""
    filter_ = {"startedAt": {"$gte": since, "$lt": until}}
    return await page_views(db).find(filter_, FIELDS).to_list(None)


async def read_views(db: Database, ids: Iterable[Any]) -> list[Document]:
    """Return the views with these ids that are stored."""
    return await _by_id(page_views(db), list(ids), FIELDS)


async def with_users(db: Database, views: list[Document]) -> list[CountedView]:
    """Return the views as statistics count them, in the same order.

    A view that started before its visitor was joined to a user counts as that user's.
    """
    unowned = {view["visitorId"] for view in views if view["userId"] is None}
    visitors = await _by_id(db[VISITORS], list(unowned), {"userId": 1})
    joined = {visitor["_id"]: visitor["userId"] for visitor in visitors}
    return [
        CountedView(
            page=view["page"],
            hour=view["startedAt"].hour,
            visitor=view["visitorId"],
            user=_user(view["visitorId"], view["userId"] or joined.get(view["visitorId"])),
            visible_seconds=view["visibleSeconds"],
            engaged_seconds=view["engagedSeconds"],
        )
        for view in views
    ]


def _user(visitor_id: str, user_id: str | None) -> str:
    # The prefixes keep ids apart: a user's id is an arbitrary text, perhaps a visitor's id.
    return f"visitor {visitor_id}" if user_id is None else f"user {user_id}"


async def _by_id(collection: Any, ids: list[Any], fields: Mapping[str, int]) -> list[Document]:
    found: list[Document] = []
    for start in range(0, len(ids), CHUNK):
        filter_ = {"_id": {"$in": ids[start : start + CHUNK]}}
        found += await collection.find(filter_, fields).to_list(None)
    return found
