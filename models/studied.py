"""What is known of a learner's days, and what is remembered of a period. Pure.

What must always hold: what was stored of some days adds up to what the days do.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, NamedTuple

from bson import ObjectId

from models.sessions import FINAL, Document, paused_and_away
from models.time_zones import UTC
from models.timelines import origin_of, runs_in
from scoring.local_days import instant_us
from scoring.study_days import DayMark, DayTally, Lived, StudyDays, day_in, tally, together
from scoring.text import clean, distinct

StoredDays = list[list[Any]]
"""[date, document of its tally] of each."""


class Dates(NamedTuple):
    """From `since` (included) to `until` (excluded)."""

    since: date
    until: date


NO_DATES = Dates(date.min, date.min)


class Kept(NamedTuple):
    """What is remembered of a period, without all that its days were. `open` are its
    sessions that had not ended; between the two instants lie those that had."""

    open: list[ObjectId]
    since_us: int
    until_us: int
    total: DayTally
    marks: list[DayMark]


class Studied:
    """`total` of all days; a mark of each date; `days` are those that were wanted whole."""

    def __init__(self) -> None:
        self.total = DayTally()
        self.marks: dict[date, DayMark] = {}
        self.days: StudyDays = {}
        self.open: Counter[str] = Counter()
        """Sessions that have not ended, by status."""

    def add_days(self, days: StudyDays, whole: Dates) -> None:
        for day, each in days.items():
            self.total.merge(each)
            self._mark(each.mark(day))
            if whole.since <= day < whole.until:
                day_in(self.days, day).merge(each)

    def add_kept(self, kept: Kept) -> None:
        self.total.merge(kept.total)
        for mark in kept.marks:
            self._mark(mark)

    def add_documents(self, stored: Iterable[list[Any]], whole: Dates) -> None:
        """Days as they were stored, those that are wanted; their marks were added before."""
        for name, document in stored:
            day = date.fromisoformat(name)
            if whole.since <= day < whole.until:
                day_in(self.days, day).merge(DayTally.from_document(document))

    def _mark(self, mark: DayMark) -> None:
        before = self.marks.get(mark.date)
        self.marks[mark.date] = mark if before is None else before.plus(mark)


def lived_of(document: Document) -> Lived:
    ended_at: datetime | None = document["endedAt"]
    paused, away = (0, 0) if ended_at is None else paused_and_away(document, ended_at)
    return Lived(
        id=str(document["_id"]),
        zone=document.get("timeZone", UTC),
        status=document["status"],
        origin_us=instant_us(origin_of(document)),
        end_us=None if ended_at is None else instant_us(ended_at),
        runs=runs_in(document),
        paused_seconds=paused,
        away_seconds=away,
        focus_score=document["focusScore"],
        # Earlier versions stored names as they were typed.
        content=None if document["contentId"] is None else clean(document["contentId"]),
        tags=distinct(document["tags"]),
    )


def kept_of(lived: list[Lived]) -> tuple[Document, StoredDays]:
    """What is stored of the sessions of a period: a summary, and its days."""
    ended = [each for each in lived if each.status in FINAL]
    days = tally(ended)
    summary = {
        "open": [ObjectId(each.id) for each in lived if each.status not in FINAL],
        "since": min((each.origin_us for each in ended), default=0),
        "until": max((each.until_us for each in ended), default=0),
        "total": together(days.values()).to_document(),
        "marks": [each.mark(day).to_row() for day, each in days.items()],
    }
    return summary, [[day.isoformat(), each.to_document()] for day, each in days.items()]


def read_kept(summary: Document) -> Kept:
    return Kept(
        open=summary["open"],
        since_us=summary["since"],
        until_us=summary["until"],
        total=DayTally.from_document(summary["total"]),
        marks=[DayMark.from_row(row) for row in summary["marks"]],
    )
