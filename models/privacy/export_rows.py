"""Define the rows of an export, and make them from documents."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from bson import ObjectId
from pydantic import Field

from models.accounts.settings import GoalsBody, Learner, LearnerSettings
from models.accounts.users import UserView
from models.base.database import Document
from models.base.schema_types import DocumentId, UtcDatetime, WireModel, iso_utc
from models.pageviews.page_view import Source
from models.sessions.session import SessionView
from models.sessions.timeline_view import EditView, RunView, timeline_view


class ExportedSession(SessionView):
    """A session with its timeline and the values before each edit."""

    timeline: list[RunView]
    edits: list[EditView]


class ExportedGoals(GoalsBody):
    """Goals, and the first date on which they apply."""

    since: date


class ExportedLogin(WireModel):
    """A login that can be renewed by its refresh token."""

    created_at: UtcDatetime
    rotated_at: UtcDatetime
    expires_at: UtcDatetime


class ExportedEvent(WireModel):
    """An event that a study app reported."""

    type: str
    action_name: str | None
    created_at: UtcDatetime


class ExportedVisitor(WireModel):
    """A browser in which the user signed in."""

    id: Annotated[str, Field(alias="_id")]
    first_seen_at: UtcDatetime
    last_seen_at: UtcDatetime


class ExportedBrowserSession(WireModel):
    """Page views with no gap over 30 minutes."""

    id: Annotated[DocumentId, Field(alias="_id")]
    visitor_id: str
    user_agent: str
    started_at: UtcDatetime


class ExportedPageView(WireModel):
    """A page view."""

    id: Annotated[DocumentId, Field(alias="_id")]
    visitor_id: str
    browser_session_id: DocumentId
    previous_view_id: DocumentId | None
    page: str
    params: dict[str, Any]
    title: str | None
    source: Source
    attention_coefficient: float
    visible_seconds: int
    engaged_seconds: int
    started_at: UtcDatetime
    ended_at: UtcDatetime | None


class ExportHead(WireModel):
    """The account, its settings, and when the export was written."""

    exported_at: UtcDatetime
    account: UserView
    first_seen_at: UtcDatetime | None
    last_seen_at: UtcDatetime | None
    signed_out_everywhere_at: UtcDatetime | None
    settings: LearnerSettings
    goals: list[ExportedGoals]


class ExportBody(ExportHead):
    """All personal data of a user. As `text/csv`: the sessions only, one a row."""

    logins: list[ExportedLogin]
    sessions: list[ExportedSession]
    events: list[ExportedEvent]
    visitors: list[ExportedVisitor]
    browser_sessions: list[ExportedBrowserSession]
    page_views: list[ExportedPageView]


class ExportQuery(WireModel):
    """The format of an export."""

    format: Literal["json", "csv"] = "json"


LISTS = ("logins", "sessions", "events", "visitors", "browserSessions", "pageViews")
"""The lists of `ExportBody`, in its order."""


def exported_goals(learner: Learner) -> list[ExportedGoals]:
    """Return all goals that a learner ever set, oldest first."""
    return [ExportedGoals(since=each.since, **each.goals._asdict()) for each in learner.goals]


def exported_session(document: Document, view: SessionView, now: datetime) -> Document:
    """Return a session as JSON (`ExportedSession`), with its runs and its edits.

    Args:
        document: As stored.
        view: The same session as clients see it.
        now: The end of the last run, if the session has not ended.
    """
    found = timeline_view(document, now=now, tracked=view.tracked).model_dump(mode="json")
    return {**view.model_dump(mode="json"), "timeline": found["runs"], "edits": found["edits"]}


def exported_row(model: type[WireModel], document: Mapping[str, Any]) -> Document:
    """Return the fields of a document that the model has, as JSON values."""
    names = (field.alias or name for name, field in model.model_fields.items())
    return {name: _plain(document[name]) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso_utc(value)
    return str(value) if isinstance(value, ObjectId) else value
