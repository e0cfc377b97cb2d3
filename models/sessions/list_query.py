"""Define the query string of the list of a user's sessions."""

from datetime import date, datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from models.base.schema_types import NOT_BLANK, ONE_SPELLING, Moment, UtcDatetime, WireModel
from models.sessions.session import SessionId, ShortText, Status, Tag
from scoring.local_days import LocalClock, day_start_us, utc_datetime

SearchText = Annotated[
    str, StringConstraints(min_length=1, max_length=200), NOT_BLANK, ONE_SPELLING
]


class SessionQuery(WireModel):
    """Filters of `GET /api/sessions`.

    `from` (included) and `to` (excluded) limit when the session was studied: its `startedAt`, or
    its `createdAt` if it was never started. `q` searches title and notes, in any case.
    """

    q: SearchText | None = None
    status: Status | None = None
    from_: Annotated[UtcDatetime | None, Field(alias="from")] = None
    to: UtcDatetime | None = None
    content_id: ShortText | None = None
    tag: Tag | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: SessionId | None = None


class DatedQuery(SessionQuery):
    """The filters as sent: a bare date is the begin of that day in the user's time zone."""

    from_: Annotated[Moment | None, Field(alias="from")] = None  # type: ignore[assignment]
    to: Moment | None = None  # type: ignore[assignment]

    def of(self, clock: LocalClock) -> SessionQuery:
        """Return the filters with instants, by the days of a clock."""
        values = self.model_dump(by_alias=False)
        for name in ("from_", "to"):
            given = values[name]
            if isinstance(given, date) and not isinstance(given, datetime):
                values[name] = utc_datetime(day_start_us(given, clock.zone, clock.starts_at))
        return SessionQuery(**values)
