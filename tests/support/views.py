"""Page views as they stand in the database, and their statistics by a plain walk."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

from bson import ObjectId

from models.pageviews.page_view import new_view

View = dict[str, Any]
SECOND = timedelta(seconds=1)


def a_view(
    started_at: datetime,
    *,
    page: str = "/home",
    visitor: str = "a" * 32,
    user: str | None = None,
    visible: int = 10,
    engaged: int = 5,
    **fields: Any,
) -> View:
    """A view that ended after its visible seconds."""
    document = new_view(
        view_id=ObjectId(),
        visitor_id=visitor,
        user_id=user,
        browser_session_id=ObjectId(),
        page=page,
        params={},
        title=None,
        previous_view_id=None,
        source="socket",
        coefficient=1.0,
        visible=True,
        stamp="test.1",
        owner=None,
        now=started_at,
    )
    ended_at = started_at + visible * SECOND
    ended = {"endedAt": ended_at, "updatedAt": ended_at, "status": "ended"}
    counted = {"visibleSeconds": visible, "engagedSeconds": engaged}
    return {**document, **ended, **counted, **fields}


def is_open(owner: str = "alive") -> View:
    """The fields of a view that this process tracks."""
    return {"endedAt": None, "status": "visible", "owner": owner}


def began(views: Iterable[View], first: date, end: date) -> list[View]:
    """Those that began in these days, `end` excluded."""
    return [view for view in views if first <= view["startedAt"].astimezone(UTC).date() < end]


def naive(views: Iterable[View]) -> dict[str, Any]:
    """What `ViewStats` says of these views, medians exact."""
    all_views = list(views)
    seen = [view for view in all_views if view["visibleSeconds"]]

    def seconds(name: str) -> dict[str, Any]:
        values = [view[name] for view in seen]
        return {
            "total": sum(view[name] for view in all_views),
            "mean": round(sum(values) / len(values), 2) if values else None,
            "median": median(values) if values else None,
        }

    return {
        "views": len(all_views),
        "never_visible": len(all_views) - len(seen),
        "visitors": len({view["visitorId"] for view in all_views}),
        "visible_seconds": seconds("visibleSeconds"),
        "engaged_seconds": seconds("engagedSeconds"),
    }
