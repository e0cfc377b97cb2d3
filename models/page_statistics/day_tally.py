"""The page views of a day, as statistics see them.

What must always hold: a view belongs to the UTC day of its `startedAt`; it is *over* once
nobody can add to it any more, and only then does it count for good.
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
"""So much of a day is read at once."""
LATE = timedelta(minutes=10)
"""How long after its begin a view may be stored for the first time, by our clock: the
database may be slow or gone, and the clocks of hosts differ."""
SILENT_FOR = timedelta(minutes=10)
"""A view whose process is taken for dead, and that nobody wrote for so long, is over."""
FORGOTTEN_AFTER = timedelta(days=7)
"""A view that is still open then is counted as it stands."""
FIELDS = dict.fromkeys(
    (
        *("page", "visitorId", "userId", "visibleSeconds", "engagedSeconds"),
        *("startedAt", "endedAt", "updatedAt", "owner", "source"),
    ),
    1,
)
CHUNK = 500

IsAlive = Callable[[str], bool]
"""Whether this process, by its name in `owner`, lives."""


def days_between(first: date, end: date) -> Iterator[date]:
    """The days from `first` to the one before `end`."""
    return (first + timedelta(days=number) for number in range((end - first).days))


def is_over(view: Mapping[str, Any], *, is_alive: IsAlive, now: datetime) -> bool:
    """Whether nobody will add to this view any more."""
    age = now - view["startedAt"]
    if view["endedAt"] is not None or age >= FORGOTTEN_AFTER:
        return True
    if view["source"] == "beacon":
        return bool(age >= BEACON_LIFE)
    owner = view["owner"]
    if owner is None:
        return True
    return not is_alive(owner) and now - view["updatedAt"] >= SILENT_FOR


async def read_started(db: Database, since: datetime, until: datetime) -> list[Document]:
    """The views that began in this stretch, `until` excluded."""
    wanted = {"startedAt": {"$gte": since, "$lt": until}}
    return await page_views(db).find(wanted, FIELDS).to_list(None)


async def read_views(db: Database, ids: Iterable[Any]) -> list[Document]:
    """These views, those that exist."""
    return await _by_id(page_views(db), list(ids), FIELDS)


async def with_users(db: Database, views: list[Document]) -> list[CountedView]:
    """What statistics need of each; a view that began before its visitor was joined to a
    user is the user's too."""
    alone = {view["visitorId"] for view in views if view["userId"] is None}
    visitors = await _by_id(db[VISITORS], list(alone), {"userId": 1})
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
    # Users' ids are anything: one may look like a visitor's.
    return f"visitor {visitor_id}" if user_id is None else f"user {user_id}"


async def _by_id(collection: Any, ids: list[Any], fields: Mapping[str, int]) -> list[Document]:
    found: list[Document] = []
    for start in range(0, len(ids), CHUNK):
        wanted = {"_id": {"$in": ids[start : start + CHUNK]}}
        found += await collection.find(wanted, fields).to_list(None)
    return found
