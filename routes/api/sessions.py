"""`/api/sessions`: focus sessions over REST."""

import asyncio

from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_request, document_response, tag_blueprint

from models.base.schema_types import WireModel
from models.pageviews.storage_budgets import SESSION_BYTES
from models.sessions.list_query import DatedQuery
from models.sessions.manual_edits import Reassignment
from models.sessions.session import EndSession, NewSession, SessionChange, SessionView
from models.sessions.timeline_view import TimelineView
from routes.access.authentication import authenticated, identity
from routes.access.idempotency import repeatable, reserved_id
from routes.access.rate_limits import charge
from routes.http.bodies import NoContent, answer, no_content, read_body, read_query
from routes.http.error_codes import OF_A_BUDGET, document_problems
from routes.http.preconditions import conditional, etag, expected
from routes.http.services import services

blueprint = Blueprint("sessions", __name__, url_prefix="/api/sessions")
tag_blueprint(blueprint, ["Sessions"])


NO_EDITS = "[]}}"
"""How the JSON of a timeline without edits ends: they are its last field."""


class SessionBody(WireModel):
    """One session."""

    session: SessionView


class TimelineBody(WireModel):
    """What a session was made of."""

    timeline: TimelineView


def timeline_answer(timeline: TimelineView) -> Response:
    """Return the JSON of a `TimelineBody`, made edit by edit.

    Pydantic lets no other thread run, the event loop's neither, until all of a model is written:
    half a second for 50 edits of 2,000 runs.
    """
    edits = ",".join(edit.model_dump_json() for edit in timeline.edits)
    whole = TimelineBody(timeline=timeline.model_copy(update={"edits": []})).model_dump_json()
    body = f"{whole.removesuffix(NO_EDITS)}[{edits}]}}}}"
    return Response(body, content_type="application/json")


class SessionPage(WireModel):
    """Sessions, newest first; `nextCursor` is null on the last page."""

    sessions: list[SessionView]
    next_cursor: str | None


@blueprint.post("")
@authenticated
@repeatable
@document_request(NewSession)
@document_response(SessionBody, 201)
@document_problems(*OF_A_BUDGET)
async def create_session() -> Response:
    """Create a session"""
    body = await read_body(NewSession)
    charge("sessions", SESSION_BYTES + len(body.model_dump_json()), identity().user_id)
    session = await services().sessions.service.create(identity().user_id, body, reserved_id())
    location = f"{request.root_path}/api/sessions/{session.id}"
    return answer(SessionBody(session=session), 201, {"Location": location, **etag(session)})


@blueprint.get("")
@authenticated
@document_querystring(DatedQuery)
@document_response(SessionPage)
async def list_sessions() -> Response:
    """List one's sessions, newest first"""
    query = read_query(DatedQuery)
    page, cursor = await services().sessions.service.page(identity().user_id, query)
    return answer(SessionPage(sessions=page, next_cursor=cursor))


@blueprint.get("/<session_id>")
@authenticated
@document_response(SessionBody)
@document_problems("session_not_found")
async def get_session(session_id: str) -> Response:
    """Get one session"""
    session = await services().sessions.service.get(identity().user_id, session_id)
    return answer(SessionBody(session=session), headers=etag(session))


@blueprint.put("/<session_id>")
@authenticated
@conditional
@document_request(SessionChange)
@document_response(SessionBody)
@document_problems(
    *("session_not_found", "session_ended", "session_tracked", "superseded", "too_many_edits"),
    *("counters_inconsistent", "contended"),
)
async def update_session(session_id: str) -> Response:
    """Change a session

    Only the given fields change. Counters can be set by hand while no client tracks the
    session, and then mark it as edited; status moves between active and paused only. What
    changes counters, or the score of an ended session, is one of its 50 edits.
    """
    body = await read_body(SessionChange)
    session = await services().sessions.service.update(
        identity().user_id, session_id, body, expected()
    )
    return answer(SessionBody(session=session), headers=etag(session))


@blueprint.put("/<session_id>/end")
@authenticated
@conditional
@document_request(EndSession)
@document_response(SessionBody)
@document_problems("session_not_found", "session_ended", "superseded", "contended")
async def end_session(session_id: str) -> Response:
    """End a session and score it

    Works with or without a socket that tracks it. Ending it again the same way answers
    the same; another final status is a conflict.
    """
    body = await read_body(EndSession)
    session = await services().sessions.service.end(
        identity().user_id, session_id, body.status, expected()
    )
    return answer(SessionBody(session=session), headers=etag(session))


@blueprint.get("/<session_id>/timeline")
@authenticated
@document_response(TimelineBody)
@document_problems("session_not_found")
async def get_timeline(session_id: str) -> Response:
    """Tell the runs of a session, and its edits

    Active, idle, paused and away seconds come to those of the session. Each edit tells how
    the session was before it.
    """
    timeline = await services().sessions.service.timeline(identity().user_id, session_id)
    return await asyncio.to_thread(timeline_answer, timeline)  # it may be long


@blueprint.post("/<session_id>/reassign")
@authenticated
@conditional
@repeatable
@document_request(Reassignment)
@document_response(SessionBody)
@document_problems(
    *("session_not_found", "run_not_found", "run_not_reassignable", "session_not_ended"),
    *("too_many_edits", "contended"),
)
async def reassign_run(session_id: str) -> Response:
    """Let an idle or away run of an ended session be active

    The run is named by its start as the timeline shows it. The session is marked as edited,
    its score follows, and what it was stays among its edits.
    """
    body = await read_body(Reassignment)
    session = await services().sessions.service.reassign(
        identity().user_id, session_id, body, expected()
    )
    return answer(SessionBody(session=session), headers=etag(session))


@blueprint.delete("/<session_id>")
@authenticated
@conditional
@document_response(NoContent, 204)
@document_problems("session_not_found")
async def delete_session(session_id: str) -> Response:
    """Delete a session

    A socket that tracks it is closed with 4404.
    """
    await services().sessions.service.delete(identity().user_id, session_id, expected())
    return no_content()
