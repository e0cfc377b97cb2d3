"""Serve `/api/track-visit`, `/api/heartbeat` and `/api/track-event`: reports of study apps."""

from typing import Annotated

from pydantic import Field
from quart import Blueprint, request
from quart_schema import security_scheme, tag_blueprint

from models.activity.events import Event, TrackEvent
from models.activity.visits import TrackVisit
from models.base.schema_types import WireModel
from models.pageviews.storage_budgets import EVENT_BYTES, VISIT_BYTES
from routes.access.authentication import SCHEME, authenticated, identity, identity_if_any
from routes.access.idempotency import repeatable, reserved_id
from routes.access.rate_limits import charge
from routes.http.error_codes import BUDGET_CODES, document_problems
from routes.http.operations import accepts, returns, returns_nothing
from routes.http.services import services

blueprint = Blueprint("tracking", __name__, url_prefix="/api")
tag_blueprint(blueprint, ["Tracking"])


class Cadence(WireModel):
    """The report is stored. Send the next one after `nextInSeconds`."""

    next_in_seconds: Annotated[int, Field(ge=1)]


@blueprint.post("/track-visit")
@repeatable
@accepts(TrackVisit)
@returns(Cadence)
@document_problems("too_busy", *BUDGET_CODES)
async def track_visit(body: TrackVisit) -> Cadence:
    """Report a visit.

    The client chooses `sessionId` and how long to keep it. No token is needed.
    """
    reporting = services().reporting
    address = reporting.proxies.client_of(request)
    if body.session_id not in reporting.known_visits:
        charge("visits", VISIT_BYTES)
        reporting.known_visits.add(body.session_id)
    visitor = reporting.hashes.visitor(address, request.headers.get("User-Agent", ""))
    await reporting.reports.visit(body.session_id, visitor)
    return Cadence(next_in_seconds=reporting.visit_every_s)


@blueprint.post("/heartbeat")
@authenticated
@returns(Cadence)
@document_problems("too_busy")
async def heartbeat() -> Cadence:
    """Report that you're active."""
    reporting = services().reporting
    await reporting.reports.heartbeat(identity().user_id)
    return Cadence(next_in_seconds=reporting.heartbeat_every_s)


@blueprint.post("/track-event")
@repeatable
@accepts(TrackEvent)
@security_scheme([{}, {SCHEME: []}])
@returns_nothing
@document_problems("too_busy", *BUDGET_CODES)
async def track_event(body: TrackEvent) -> None:
    """Report an event.

    With a valid token the event belongs to its user, otherwise it is anonymous. Signing up and
    signing in report no event by themselves.
    """
    user = await identity_if_any()
    user_id = None if user is None else user.user_id
    charge("events", EVENT_BYTES, user_id)
    event = Event(body.type, body.action_name, user_id)
    await services().reporting.reports.event(event, reserved_id())
