"""Sum up focus sessions by day and by content, for the admin dashboard.

A session belongs to the UTC day on which it ended. Nothing is cached: sessions may be edited or
deleted later, and abandoned ones end in the past.
"""

import asyncio
from collections import Counter
from datetime import datetime
from typing import Any

from models.base.database import Database, Document
from models.base.schema_types import WireModel
from models.sessions.queries import sessions
from models.sessions.session import FINAL
from scoring.utc_days import Span, last_days

DAYS = 7
TOP = 10
"""Number of contents that are listed."""


class FocusDay(WireModel):
    """The sessions that ended on a day; rate and score are null when there are none."""

    date: str
    ended: int
    completed: int
    abandoned: int
    cancelled: int
    completion_rate: float | None
    mean_focus_score: float | None
    focused_hours: float


class TopContent(WireModel):
    """What sessions of the seven days were about."""

    content_id: str
    sessions: int
    focused_hours: float


class FocusMetrics(WireModel):
    """Focus sessions of the last seven days, today included.

    `trackedNow` is the number of sessions that clients track at this moment.
    """

    tracked_now: int
    by_day: list[FocusDay]
    completion_rate: float | None
    mean_focus_score: float | None
    top_content: list[TopContent]


async def focus_metrics(db: Database, now: datetime, *, tracked_now: int) -> FocusMetrics:
    """Return the sums of the last seven days, today included."""
    days = last_days(now, DAYS)
    by_day = await asyncio.gather(*(_ended_on(db, day) for day in days))
    all_groups = [group for groups in by_day for group in groups]
    return FocusMetrics(
        tracked_now=tracked_now,
        by_day=[_day(span, groups) for span, groups in zip(days, by_day, strict=True)],
        completion_rate=_completion_rate(all_groups),
        mean_focus_score=_mean_score(all_groups),
        top_content=_top_content(all_groups),
    )


async def _ended_on(db: Database, day: Span) -> list[Document]:
    """Return the sums of the sessions that ended on a day, grouped by status and content."""
    sums: dict[str, Any] = {
        "sessions": {"$sum": 1},
        "active": {"$sum": "$activeSeconds"},
        "score": {"$sum": "$focusScore"},
    }
    found = sessions(db).aggregate(
        [
            {"$match": {"endedAt": {"$gte": day.since, "$lt": day.until}}},
            {"$group": {"_id": {"status": "$status", "content": "$contentId"}, **sums}},
        ]
    )
    return await found.to_list(None)


def _day(span: Span, groups: list[Document]) -> FocusDay:
    ended = {
        status: sum(group["sessions"] for group in groups if group["_id"]["status"] == status)
        for status in sorted(FINAL)
    }
    return FocusDay(
        date=span.name,
        ended=sum(ended.values()),
        **ended,
        completion_rate=_completion_rate(groups),
        mean_focus_score=_mean_score(groups),
        focused_hours=_hours(sum(group["active"] for group in groups)),
    )


def _completion_rate(groups: list[Document]) -> float | None:
    ended = sum(group["sessions"] for group in groups)
    completed = (g["sessions"] for g in groups if g["_id"]["status"] == "completed")
    return round(sum(completed) / ended, 4) if ended else None


def _mean_score(groups: list[Document]) -> float | None:
    ended = sum(group["sessions"] for group in groups)
    return round(sum(group["score"] for group in groups) / ended, 1) if ended else None


def _top_content(groups: list[Document]) -> list[TopContent]:
    seconds: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for group in groups:
        content = group["_id"].get("content")
        if content is not None:
            seconds[content] += group["active"]
            count[content] += group["sessions"]
    first = sorted(seconds, key=lambda content: (-seconds[content], -count[content], content))
    return [
        TopContent(content_id=id_, sessions=count[id_], focused_hours=_hours(seconds[id_]))
        for id_ in first[:TOP]
    ]


def _hours(seconds: int) -> float:
    return round(seconds / 3600, 2)
