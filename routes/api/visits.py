"""`/api/track-visit`, `/api/heartbeat`, `/api/track-event`: what a study app reports."""

from typing import Annotated

from pydantic import Field
from quart import Blueprint, Response, request
from quart_schema import document_request, document_response, security_scheme, tag_blueprint

from models.activity.events import Event, TrackEvent
from models.activity.visits import TrackVisit
from models.base.schema_types import WireModel
from models.pageviews.storage_budgets import EVENT_BYTES, VISIT_BYTES
from routes.access.authentication import SCHEME, authenticated, identity, identity_if_any
from routes.access.idempotency import repeatable, reserved_id
from routes.access.rate_limits import charge
from routes.http.bodies import NoContent, answer, no_content, read_body
from routes.http.error_codes import OF_A_BUDGET, document_problems
from routes.http.services import services

blueprint = Blueprint("tracking", __name__, url_prefix="/api")
tag_blueprint(blueprint, ["Tracking"])


class Cadence(WireModel):
    """It is stored; call again after so many seconds."""

    next_in_seconds: Annotated[int, Field(ge=1)]


@blueprint.post("/track-visit")
@repeatable
@document_request(TrackVisit)
@document_response(Cadence)
@document_problems("too_busy", *OF_A_BUDGET)
async def track_visit() -> Response:
    """Report that a visit goes on

    `sessionId` is made by the client and lasts as long as it likes. No token is needed.
    """
    body = await read_body(TrackVisit)
    reporting = services().reporting
    address = reporting.proxies.client_of(request)
    if body.session_id not in reporting.known_visits:
        charge("visits", VISIT_BYTES)
        reporting.known_visits.add(body.session_id)
    visitor = reporting.hashes.visitor(address, request.headers.get("User-Agent", ""))
    await reporting.reports.visit(body.session_id, visitor)
    return answer(Cadence(next_in_seconds=reporting.visit_every_s))


@blueprint.post("/heartbeat")
@authenticated
@document_response(Cadence)
@document_problems("too_busy")
async def heartbeat() -> Response:
    """Report that the user is there"""
    reporting = services().reporting
    await reporting.reports.heartbeat(identity().user_id)
    return answer(Cadence(next_in_seconds=reporting.heartbeat_every_s))


@blueprint.post("/track-event")
@repeatable
@document_request(TrackEvent)
@security_scheme([{}, {SCHEME: []}])
@document_response(NoContent, 204)
@document_problems("too_busy", *OF_A_BUDGET)
async def track_event() -> Response:
    """Report what a user did

    It belongs to the user whose valid token came along, else to nobody. Signing up and in
    here reports nothing by itself.
    """
    body = await read_body(TrackEvent)
    who = await identity_if_any()
    charge("events", EVENT_BYTES, None if who is None else who.user_id)
    event = Event(body.type, body.action_name, None if who is None else who.user_id)
    await services().reporting.reports.event(event, reserved_id())
    return no_content()
