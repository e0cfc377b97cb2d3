"""What is asked and answered about page views, and the arithmetic between. Pure.

What must always hold: a mean or median is that of the views that were visible for a whole
second or more; the days of a range are each taken from one place only.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from models.base.database import Document
from models.base.errors import FieldError, Invalid
from models.base.schema_types import Day, UtcDatetime, WireModel
from models.page_statistics.day_tally import DAY
from models.page_statistics.rollups import day_id, month_id, next_month
from scoring.tallies import Tally, ViewCounts

DEFAULT_DAYS = 30
MOST_DAYS = 3660
MOST_DAYS_BY_HOUR = 31


class StatsRange(WireModel):
    """`from` (included) and `to` (excluded) are UTC days; by default the last 30, today
    included."""

    from_: Annotated[Day | None, Field(alias="from")] = None
    to: Day | None = None


Ranking = Literal["views", "visibleSeconds", "engagedSeconds", "page"]


class PagesQuery(StatsRange):
    """`sort` names what the pages are ranked by: most first, or by name."""

    by: Literal["day", "hour"] = "day"
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    sort: Ranking = "visibleSeconds"


class SecondsStats(WireModel):
    """Seconds of views; mean and median are those of the views that were visible for a
    second or more, and null without any."""

    total: int
    mean: float | None
    median: float | None


class ViewStats(WireModel):
    """Some views; `neverVisible` of them were not visible for a whole second."""

    views: int
    never_visible: int
    visitors: int
    visible_seconds: SecondsStats
    engaged_seconds: SecondsStats


class PageRow(ViewStats):
    """The views of one page."""

    page: str


class Moment(ViewStats):
    """The views that began in the day or hour that begins at `at`."""

    at: UtcDatetime


class PagesReport(WireModel):
    """The pages ranked first (of `pageCount`), all pages together, and those by time."""

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
    """Where the days of a range come from: closed periods, and the days that are read."""

    periods: list[str]
    live: list[date]


def sources(first: date, end: date, is_closed: Callable[[str], bool]) -> Sources:
    """The fewest closed periods, for the days from `first` to the one before `end`."""
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


def bounds(query: StatsRange, now: datetime, most_days: int = MOST_DAYS) -> tuple[date, date]:
    """The first day, and the one after the last; raises Invalid."""
    first, end = query.from_, query.to
    if end is None:
        tomorrow = now.date() + DAY
        end = tomorrow if first is None else max(tomorrow, first + DAY)
    if first is None:
        first = end - DEFAULT_DAYS * DAY
    if first >= end:
        raise refused("to", "must be later than from")
    if (end - first).days > most_days:
        raise refused("to", f"must be at most {most_days} days after from")
    return first, end


def refused(field: str, message: str) -> Invalid:
    errors: list[FieldError] = [{"field": field, "message": message}]
    return Invalid("invalid_query", "The query string breaks the rules named in errors.", errors)


def rank(sort: Ranking, counts: ViewCounts) -> int:
    """The smaller, the earlier."""
    if sort == "page":
        return 0
    if sort == "views":
        return -counts.views
    return -(counts.visible_seconds if sort == "visibleSeconds" else counts.engaged_seconds)


def stats_of(tally: Tally) -> dict[str, Any]:
    return _of(tally.counts, tally.visitors.count(), tally.visible.median(), tally.engaged.median())


def stats_of_summary(day: Document) -> dict[str, Any]:
    counts = ViewCounts(day["counts"])
    return _of(counts, day["visitorCount"], day["visibleMedian"], day["engagedMedian"])


def _of(
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
    return round(total / number, 2) if number else None
