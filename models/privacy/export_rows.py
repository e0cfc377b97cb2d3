"""What an export tells of each thing, and how a document becomes it."""

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
    """A session, what happened in it one after the other, and what was before each edit."""

    timeline: list[RunView]
    edits: list[EditView]


class ExportedGoals(GoalsBody):
    """Goals, and the date from which on they hold."""

    since: date


class ExportedLogin(WireModel):
    """A sign-in that lasts."""

    created_at: UtcDatetime
    rotated_at: UtcDatetime
    expires_at: UtcDatetime


class ExportedEvent(WireModel):
    """What a study app reported."""

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
    """Who it is about, and when it was written."""

    exported_at: UtcDatetime
    account: UserView
    first_seen_at: UtcDatetime | None
    last_seen_at: UtcDatetime | None
    signed_out_everywhere_at: UtcDatetime | None
    settings: LearnerSettings
    goals: list[ExportedGoals]


class ExportBody(ExportHead):
    """All that is known of a user. As `text/csv`: the sessions alone, one a row."""

    logins: list[ExportedLogin]
    sessions: list[ExportedSession]
    events: list[ExportedEvent]
    visitors: list[ExportedVisitor]
    browser_sessions: list[ExportedBrowserSession]
    page_views: list[ExportedPageView]


class ExportQuery(WireModel):
    """In which form."""

    format: Literal["json", "csv"] = "json"


LISTS = ("logins", "sessions", "events", "visitors", "browserSessions", "pageViews")
"""The lists of `ExportBody`, in its order."""


def goals_set(learner: Learner) -> list[ExportedGoals]:
    return [ExportedGoals(since=each.since, **each.goals._asdict()) for each in learner.goals]


def exported_session(document: Document, view: SessionView, now: datetime) -> Document:
    found = timeline_view(document, now=now, tracked=view.tracked).model_dump(mode="json")
    return {**view.model_dump(mode="json"), "timeline": found["runs"], "edits": found["edits"]}


def shown(model: type[WireModel], document: Mapping[str, Any]) -> Document:
    """What the model names of a document, as JSON has it."""
    names = (field.alias or name for name, field in model.model_fields.items())
    return {name: _plain(document[name]) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso_utc(value)
    return str(value) if isinstance(value, ObjectId) else value
