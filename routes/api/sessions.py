"""Serve `/api/sessions`: focus sessions."""

import asyncio

from quart import Blueprint, Response, request
from quart_schema import document_response, tag_blueprint

from models.base.schema_types import WireModel
from models.pageviews.storage_budgets import SESSION_BYTES
from models.sessions.list_query import DatedQuery
from models.sessions.manual_edits import Reassignment
from models.sessions.session import EndSession, NewSession, SessionChange, SessionView
from models.sessions.timeline_view import TimelineView
from routes.access.authentication import authenticated, identity
from routes.access.idempotency import repeatable, reserved_id
from routes.access.rate_limits import charge
from routes.http.error_codes import BUDGET_CODES, document_problems
from routes.http.operations import Headers, accepts, accepts_query, returns, returns_nothing
from routes.http.preconditions import conditional, etag, expected
from routes.http.services import services

blueprint = Blueprint("sessions", __name__, url_prefix="/api/sessions")
tag_blueprint(blueprint, ["Sessions"])

NO_EDITS = "[]}}"
"""The end of a timeline's JSON without edits, which are its last field."""


class SessionBody(WireModel):
    """A session."""

    session: SessionView


class TimelineBody(WireModel):
    """The segments and edits of a session."""

    timeline: TimelineView


class SessionPage(WireModel):
    """Sessions, newest first. `nextCursor` is null on the last page."""

    sessions: list[SessionView]
    next_cursor: str | None


def timeline_answer(timeline: TimelineView) -> Response:
    """Return the JSON of a `TimelineBody`, encoded edit by edit.

    Pydantic holds the interpreter lock while it encodes a model, so the event loop would stand
    still: half a second for 50 edits of 2,000 runs.
    """
    edits = ",".join(edit.model_dump_json() for edit in timeline.edits)
    whole = TimelineBody(timeline=timeline.model_copy(update={"edits": []})).model_dump_json()
    body = f"{whole.removesuffix(NO_EDITS)}[{edits}]}}}}"
    return Response(body, content_type="application/json")


def _tagged(session: SessionView) -> tuple[SessionBody, dict[str, str]]:
    return SessionBody(session=session), etag(session)


@blueprint.post("")
@authenticated
@repeatable
@accepts(NewSession)
@returns(SessionBody, 201)
@document_problems(*BUDGET_CODES)
async def create_session(body: NewSession) -> tuple[SessionBody, Headers]:
    """Create a session."""
    charge("sessions", SESSION_BYTES + len(body.model_dump_json()), identity().user_id)
    session = await services().sessions.service.create(identity().user_id, body, reserved_id())
    answer, headers = _tagged(session)
    return answer, {"Location": f"{request.root_path}/api/sessions/{session.id}", **headers}


@blueprint.get("")
@authenticated
@accepts_query(DatedQuery)
@returns(SessionPage)
async def list_sessions(query: DatedQuery) -> SessionPage:
    """List your sessions, newest first."""
    page, cursor = await services().sessions.service.page(identity().user_id, query)
    return SessionPage(sessions=page, next_cursor=cursor)


@blueprint.get("/<session_id>")
@authenticated
@returns(SessionBody)
@document_problems("session_not_found")
async def get_session(session_id: str) -> tuple[SessionBody, Headers]:
    """Get a session."""
    return _tagged(await services().sessions.service.get(identity().user_id, session_id))


@blueprint.put("/<session_id>")
@authenticated
@conditional
@accepts(SessionChange)
@returns(SessionBody)
@document_problems(
    *("session_not_found", "session_ended", "session_tracked", "superseded", "too_many_edits"),
    *("counters_inconsistent", "contended"),
)
async def update_session(body: SessionChange, session_id: str) -> tuple[SessionBody, Headers]:
    """Update a session.

    Omitted fields stay as they are. Counters can be set while no client tracks the session, which
    marks it as edited. `status` changes only between active and paused. A change of the counters,
    or of the score of an ended session, is kept as one of at most 50 edits.
    """
    service = services().sessions.service
    return _tagged(await service.update(identity().user_id, session_id, body, expected()))


@blueprint.put("/<session_id>/end")
@authenticated
@conditional
@accepts(EndSession)
@returns(SessionBody)
@document_problems("session_not_found", "session_ended", "superseded", "contended")
async def end_session(body: EndSession, session_id: str) -> tuple[SessionBody, Headers]:
    """End and score a session.

    Works whether or not a socket tracks the session. Repeating the request with the same status
    returns the same result; another status is a conflict.
    """
    service = services().sessions.service
    return _tagged(await service.end(identity().user_id, session_id, body.status, expected()))


@blueprint.get("/<session_id>/timeline")
@authenticated
@document_response(TimelineBody)
@document_problems("session_not_found")
async def get_timeline(session_id: str) -> Response:
    """Get a session's segments and edits.

    The active, idle, paused and away seconds add up to the session's counters. Each edit holds
    the session's values before it.
    """
    timeline = await services().sessions.service.timeline(identity().user_id, session_id)
    return await asyncio.to_thread(timeline_answer, timeline)  # encoding can take long


@blueprint.post("/<session_id>/reassign")
@authenticated
@conditional
@repeatable
@accepts(Reassignment)
@returns(SessionBody)
@document_problems(
    *("session_not_found", "run_not_found", "run_not_reassignable", "session_not_ended"),
    *("too_many_edits", "contended"),
)
async def reassign_run(body: Reassignment, session_id: str) -> tuple[SessionBody, Headers]:
    """Mark a segment as active.

    Identify an idle or away segment of an ended session by its start in the timeline. The session
    is marked as edited and its score is recalculated. The original values stay in its edit
    history.
    """
    service = services().sessions.service
    return _tagged(await service.reassign(identity().user_id, session_id, body, expected()))


@blueprint.delete("/<session_id>")
@authenticated
@conditional
@returns_nothing
@document_problems("session_not_found")
async def delete_session(session_id: str) -> None:
    """Delete a session.

    A socket that tracks it is closed with 4404.
    """
    await services().sessions.service.delete(identity().user_id, session_id, expected())
