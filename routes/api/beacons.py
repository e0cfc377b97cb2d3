"""Serve `/api/track-engagement`: page views of browsers that cannot keep a socket open."""

from quart import Blueprint, request
from quart_schema import security_scheme, tag_blueprint

from models.base.schema_types import WireModel
from models.pageviews.beacons import Engagement, Sender, StoredEngagement
from routes.access.authentication import SCHEME, identity_if_any
from routes.access.rate_limits import network
from routes.access.visitor_cookie import presented_visitor, visitor_cookie
from routes.http.error_codes import VIEW_CODES, document_problems
from routes.http.operations import Headers, accepts, returns
from routes.http.services import services

blueprint = Blueprint("engagement", __name__, url_prefix="/api/track-engagement")
tag_blueprint(blueprint, ["Tracking"])


class EngagementBody(WireModel):
    """The stored view. `visitor` is the key to send from now on; null if a cookie carries it."""

    view: StoredEngagement
    visitor: str | None


@blueprint.post("")
@security_scheme([{}, {SCHEME: []}])
@accepts(Engagement)
@returns(EngagementBody)
@document_problems("not_a_beacon", *VIEW_CODES, "contended")
async def track_engagement(body: Engagement) -> tuple[EngagementBody, Headers]:
    """Report the time spent on a page.

    Made for `navigator.sendBeacon`: any content type is read as JSON. The first call starts a
    view with 0 seconds. Each later call with a higher `sequence` replaces both counters, which
    grow by no more than the time since the previous call. Other values of `sequence`, and calls
    after 12 hours, change nothing. An invalid token is ignored.
    """
    keys = services().page_views.visitor_keys
    presented = presented_visitor(request, keys, body.visitor)
    key = keys.new() if presented is None else presented.key
    user = await identity_if_any()
    sender = Sender(
        visitor_id=key.partition(".")[0],
        user_id=None if user is None else user.user_id,
        user_agent=request.headers.get("User-Agent", ""),
        address=network(),
    )
    stored = await services().page_views.beacons.store(body, sender, services().now())
    if presented is not None and presented.by_cookie:
        return EngagementBody(view=stored, visitor=None), {}
    return EngagementBody(view=stored, visitor=key), {"Set-Cookie": visitor_cookie(request, key)}
