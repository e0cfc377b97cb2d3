"""Define the queries and reports of page statistics, and compute reports from tallies. Pure.

Invariants:

- Means and medians are those of views that were visible for a whole second or more.
- Each day of a range comes from exactly one source.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from models.base.errors import FieldError, Invalid
from models.base.schema_types import Day, UtcDatetime, WireModel
from models.page_statistics.day_tally import DAY
from models.page_statistics.rollups import (
    HourSummary,
    RollupDocument,
    day_id,
    month_id,
    next_month,
)
from scoring.tallies import Tally, ViewCounts

DEFAULT_DAYS = 30
MOST_DAYS = 3660
MOST_DAYS_BY_HOUR = 31


class StatsRange(WireModel):
    """A range of UTC days: `from` (included) to `to` (excluded).

    By default it is the last 30 days, today included.
    """

    from_: Annotated[Day | None, Field(alias="from")] = None
    to: Day | None = None


Ranking = Literal["views", "visibleSeconds", "engagedSeconds", "page"]


class PagesQuery(StatsRange):
    """Which pages are listed; `sort` ranks them by a sum (largest first) or by name."""

    by: Literal["day", "hour"] = "day"
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    sort: Ranking = "visibleSeconds"


class SecondsStats(WireModel):
    """Seconds of views.

    Mean and median are those of the views that were visible for a second or more; they are null
    if there is no such view.
    """

    total: int
    mean: float | None
    median: float | None


class ViewStats(WireModel):
    """Sums of views; `neverVisible` of them were not visible for a whole second."""

    views: int
    never_visible: int
    visitors: int
    visible_seconds: SecondsStats
    engaged_seconds: SecondsStats


class PageRow(ViewStats):
    """The views of one page."""

    page: str


class Moment(ViewStats):
    """The views that started in the day or hour that starts at `at`."""

    at: UtcDatetime


class PagesReport(WireModel):
    """The first pages in rank order (of `pageCount`), and the sums of all pages, also by time."""

    from_: Annotated[str, Field(alias="from")]
    to: str
    as_of: UtcDatetime
    page_count: int
    pages: list[PageRow]
    total: ViewStats
    series: list[Moment]


class UserSeconds(WireModel):
    """Seconds of all users, and their mean; null without any user."""

    total: int
    per_user: float | None


class UsersReport(WireModel):
    """How long users viewed pages; a visitor who is joined to no user counts as one."""

    from_: Annotated[str, Field(alias="from")]
    to: str
    as_of: UtcDatetime
    users: int
    visitors: int
    views: int
    never_visible: int
    visible_seconds: UserSeconds
    engaged_seconds: UserSeconds


class Sources(NamedTuple):
    """The sources of a range."""

    periods: list[str]
    """Ids of closed days and months."""
    live: list[date]
    """Days that are not closed, whose views are read."""


def choose_sources(first: date, end: date, is_closed: Callable[[str], bool]) -> Sources:
    """Return sources for the days from `first` up to the one before `end`, as few as possible."""
    found = Sources([], [])
    day = first
    while day < end:
        after = next_month(day)
        if day.day == 1 and after <= end and is_closed(month_id(day)):
            found.periods.append(month_id(day))
            day = after
            continue
        if is_closed(day_id(day)):
            found.periods.append(day_id(day))
        else:
            found.live.append(day)
        day += DAY
    return found


def date_range(query: StatsRange, now: datetime, most_days: int = MOST_DAYS) -> tuple[date, date]:
    """Return the first day of a range, and the day after its last one.

    Raises:
        Invalid: "invalid_query": the range is empty, or longer than `most_days`.
    """
    first, end = query.from_, query.to
    if end is None:
        tomorrow = now.date() + DAY
        end = tomorrow if first is None else max(tomorrow, first + DAY)
    if first is None:
        first = end - DEFAULT_DAYS * DAY
    if first >= end:
        raise _invalid_to("must be later than from")
    if (end - first).days > most_days:
        raise _invalid_to(f"must be at most {most_days} days after from")
    return first, end


def _invalid_to(message: str) -> Invalid:
    errors: list[FieldError] = [{"field": "to", "message": message}]
    return Invalid("invalid_query", "Some query parameters are invalid.", errors)


def rank_key(sort: Ranking, counts: ViewCounts) -> int:
    """Return the sort key of a page; pages with smaller keys come first."""
    if sort == "page":
        return 0
    if sort == "views":
        return -counts.views
    return -(counts.visible_seconds if sort == "visibleSeconds" else counts.engaged_seconds)


def stats_of(tally: Tally) -> dict[str, Any]:
    """Return the fields of `ViewStats` for a tally."""
    return _stats(
        tally.counts, tally.visitors.count(), tally.visible.median(), tally.engaged.median()
    )


def stats_of_summary(summary: RollupDocument | HourSummary) -> dict[str, Any]:
    """Return the fields of `ViewStats` for the stored summary of a day or hour."""
    counts = ViewCounts(summary["counts"])
    medians = summary["visibleMedian"], summary["engagedMedian"]
    return _stats(counts, summary["visitorCount"], *medians)


def _stats(
    counts: ViewCounts, visitors: int, visible_median: float | None, engaged_median: float | None
) -> dict[str, Any]:
    def seconds(total: int, median: float | None) -> SecondsStats:
        return SecondsStats(
            total=total,
            mean=mean(total, counts.visible_views),
            median=None if median is None else round(median, 2),
        )

    return {
        "views": counts.views,
        "never_visible": counts.never_visible,
        "visitors": visitors,
        "visible_seconds": seconds(counts.visible_seconds, visible_median),
        "engaged_seconds": seconds(counts.engaged_seconds, engaged_median),
    }


def mean(total: int, number: int) -> float | None:
    """Return the mean, rounded to two digits; None for no values."""
    return round(total / number, 2) if number else None
