"""Summarise a learner's days, and the cached form of a period. Pure.

Invariants:

- The cached sums of some days add up to the sums of those days.
- A session that was never started, and has no seconds by hand, is only counted.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from itertools import accumulate
from typing import Any, NamedTuple

from bson import ObjectId

from models.base.database import Document
from models.base.time_zones import UTC
from models.concurrency.slices import Slices
from models.sessions.session import FINAL, paused_and_away
from models.sessions.timeline import entries_in, origin_of, runs_in
from models.study.periods import Dates, Period
from scoring.local_days import instant_us
from scoring.streaks import DayMark
from scoring.study_days import DayTally, StudyDays, StudySession, day_tally_of, tally_steps
from scoring.text import clean, distinct

MOST_SHARES = 50_000
"""Contents and tags of all days of a period, each of less than 300 bytes: what is stored of it
has to fit into a document."""

StoredDays = list[list[Any]]
"""[date, document of its tally] of each."""


class Kept(NamedTuple):
    """The cached summary of a period, without its days.

    `open` are its sessions that had been started and had not ended; `never_started` counts the
    sessions that had not been started, by status. The sessions that had ended lie between the two
    moments.
    """

    open: list[ObjectId]
    never_started: Counter[str]
    since_us: int
    until_us: int
    total: DayTally
    marks: list[DayMark]


class Loaded:
    """Sessions of some UTC days."""

    def __init__(self) -> None:
        self.lived: list[StudySession] = []
        self.never_started: Counter[tuple[date, str]] = Counter()
        """Sessions that nothing is known of, by the day of their creation and status."""

    def add(self, other: "Loaded") -> None:
        """Add the sessions of other days."""
        self.lived += other.lived
        self.never_started += other.never_started

    def statuses(self, since: date = date.min, until: date = date.max) -> Counter[str]:
        """Return how many sessions of these days were never started, by status."""
        found: Counter[str] = Counter()
        for (day, status), count in self.never_started.items():
            if since <= day < until:
                found[status] += count
        return found


class DaySummary:
    """The result of a reading.

    `total` sums all days; `marks` has one entry a date; `days` are the dates that were wanted
    whole.
    """

    def __init__(self) -> None:
        self.total = DayTally()
        self.marks: dict[date, DayMark] = {}
        self.days: StudyDays = {}
        self.open: Counter[str] = Counter()
        """Sessions that have not ended, by status."""

    def add_days(self, days: StudyDays, whole: Dates) -> None:
        """Add days at once."""
        for _ in self.adding_days(days, whole):
            pass

    def adding_days(self, days: StudyDays, whole: Dates) -> Iterator[None]:
        """Add days one by one, with a step for each."""
        for day, each in days.items():
            self.total.merge(each, shares=False)
            self._mark(each.mark(day))
            if whole.since <= day < whole.until:
                day_tally_of(self.days, day).merge(each)
            yield

    def add_kept(self, kept: Kept) -> None:
        """Add a cached period."""
        self.total.merge(kept.total, shares=False)
        self.open += kept.never_started
        for mark in kept.marks:
            self._mark(mark)

    def adding_documents(self, stored: Iterable[list[Any]], whole: Dates) -> Iterator[None]:
        """Add the wanted ones of cached days, with a step for each.

        Their marks were added before, with the summary of the period.
        """
        for name, document in stored:
            day = date.fromisoformat(name)
            if whole.since <= day < whole.until:
                day_tally_of(self.days, day).merge(DayTally.from_document(document))
            yield

    def _mark(self, mark: DayMark) -> None:
        before = self.marks.get(mark.date)
        self.marks[mark.date] = mark if before is None else before.plus(mark)


def lived_of(document: Document) -> StudySession:
    """Return a stored session as the arithmetic of days takes it."""
    ended_at: datetime | None = document["endedAt"]
    paused, away = (0, 0) if ended_at is None else paused_and_away(document, ended_at)
    return StudySession(
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
        by_hand=entries_in(document),
    )


async def kept_of(
    lived: list[StudySession], never_started: Counter[str], starts_at: int, slices: Slices
) -> tuple[Document, StoredDays] | None:
    """Return the stored form of the sessions of a period: a summary, and its days.

    None if it would be too large for a document.
    """
    ended = [each for each in lived if each.status in FINAL]
    days: StudyDays = {}
    await slices.run(tally_steps(days, ended, starts_at))
    if sum(len(each.contents) + len(each.tags) for each in days.values()) > MOST_SHARES:
        return None
    stored: StoredDays = []
    total = DayTally()
    for day, each in days.items():
        total.merge(each, shares=False)
        stored.append([day.isoformat(), each.to_document()])
        await slices.did(20 + len(each.contents) + len(each.tags))
    summary = {
        "open": [ObjectId(each.id) for each in lived if each.status not in FINAL],
        "neverStarted": dict(never_started),
        "since": min((each.origin_us for each in ended if each.runs), default=0),
        "until": max((each.until_us for each in ended if each.runs), default=0),
        "total": total.to_document(),
        "marks": [each.mark(day).to_row() for day, each in days.items()],
    }
    return summary, stored


def read_kept(summary: Document) -> Kept:
    """Read the stored summary of a period."""
    return Kept(
        open=summary["open"],
        never_started=Counter(summary["neverStarted"]),
        since_us=summary["since"],
        until_us=summary["until"],
        total=DayTally.from_document(summary["total"]),
        marks=[DayMark.from_row(row) for row in summary["marks"]],
    )


async def overlapping(
    kept: dict[Period, Kept], lived: Iterable[StudySession], slices: Slices
) -> list[Period]:
    """Return the cached periods of which a session may overlap a session of another period."""
    periods = [(each.since_us, each.until_us, period) for period, each in kept.items()]
    periods = sorted(each for each in periods if each[0] < each[1])
    found: set[Period] = set()
    last_us, reaching = 0, None
    for since_us, until_us, period in periods:
        if reaching is not None and since_us < last_us:
            found |= {period, reaching}
        if until_us > last_us:
            last_us, reaching = until_us, period
    begins = [since_us for since_us, _, _ in periods]
    reached = list(accumulate((until_us for _, until_us, _ in periods), max))
    for each in lived:
        await slices.did()
        if not each.runs:
            continue
        at = bisect_left(begins, each.until_us) - 1
        while at >= 0 and reached[at] > each.origin_us:
            if periods[at][1] > each.origin_us:
                found.add(periods[at][2])
            at -= 1
    return sorted(found)
