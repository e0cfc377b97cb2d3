"""`/api/track-engagement`: page views of browsers that can't hold a socket."""

from quart import Blueprint, Response, request
from quart_schema import document_request, document_response, security_scheme, tag_blueprint

from models.base.schema_types import WireModel
from models.pageviews.beacons import Engagement, Sender, StoredEngagement
from routes.access.authentication import SCHEME, identity_if_any
from routes.access.rate_limits import network
from routes.access.visitor_cookie import presented_visitor, visitor_cookie
from routes.http.bodies import answer, read_body
from routes.http.error_codes import OF_A_VIEW, document_problems
from routes.http.services import services

blueprint = Blueprint("engagement", __name__, url_prefix="/api/track-engagement")
tag_blueprint(blueprint, ["Tracking"])


class EngagementBody(WireModel):
    """What is stored; `visitor` is the key to send from now on where no cookie is kept, and
    null where the cookie carries it."""

    view: StoredEngagement
    visitor: str | None


@blueprint.post("")
@security_scheme([{}, {SCHEME: []}])
@document_request(Engagement)
@document_response(EngagementBody)
@document_problems("not_a_beacon", *OF_A_VIEW, "contended")
async def track_engagement() -> Response:
    """Report how long a page was viewed

    For `navigator.sendBeacon`, so any content type is read as JSON. The first call of a
    view begins it with 0 seconds; each later one, with a higher `sequence`, replaces both
    counters, which grow by no more than the seconds that have passed here since the last.
    Beyond 12 hours, and for any other `sequence`, nothing changes. A bad token counts as
    none.
    """
    body = await read_body(Engagement)
    keys = services().page_views.visitor_keys
    presented = presented_visitor(request, keys, body.visitor)
    key = keys.new() if presented is None else presented.key
    who = await identity_if_any()
    sender = Sender(
        visitor_id=key.partition(".")[0],
        user_id=None if who is None else who.user_id,
        user_agent=request.headers.get("User-Agent", ""),
        address=network(),
    )
    stored = await services().page_views.beacons.store(body, sender, services().now())
    by_cookie = presented is not None and presented.by_cookie
    headers = {} if by_cookie else {"Set-Cookie": visitor_cookie(request, key)}
    return answer(EngagementBody(view=stored, visitor=None if by_cookie else key), headers=headers)
