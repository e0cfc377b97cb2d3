"""Serve `/api/stats`: statistics of page views."""

from quart import Blueprint, request
from quart_schema import security_scheme, tag_blueprint

from models.base.schema_types import WireModel
from models.page_statistics.reports import PagesQuery, PagesReport, StatsRange, UsersReport
from models.page_statistics.visitor_statistics import Reader, VisitorQuery, VisitorReport
from routes.access.authentication import (
    ADMIN,
    SCHEME,
    admin_only,
    bearer_token,
    identity_if_any,
    verified_identity,
)
from routes.access.visitor_cookie import presented_visitor
from routes.http.error_codes import TOKEN_CODES, document_problems
from routes.http.operations import accepts_query, returns
from routes.http.services import services

blueprint = Blueprint("stats", __name__, url_prefix="/api/stats")
tag_blueprint(blueprint, ["Statistics"])


class StatsBody(WireModel):
    """The average time per user, with the figures behind it."""

    stats: UsersReport


class VisitorBody(WireModel):
    """The page views of a visitor."""

    visitor: VisitorReport


@blueprint.get("")
@admin_only
@accepts_query(StatsRange)
@returns(StatsBody)
async def get_stats(query: StatsRange) -> StatsBody:
    """Get the average time per user.

    Divides the visible and engaged seconds of all page views started in the range by the number
    of users. Signed-out visitors count once per browser.
    """
    return StatsBody(stats=await services().page_views.statistics.users(query, services().now()))


@blueprint.get("/pages")
@admin_only
@accepts_query(PagesQuery)
@returns(PagesReport)
async def get_page_stats(query: PagesQuery) -> PagesReport:
    """Get views, visitors and time per page.

    Views count on the UTC day they start. `by=hour` allows at most 31 days.
    """
    return await services().page_views.statistics.pages(query, services().now())


@blueprint.get("/visitors/<visitor>")
@security_scheme([{}, {SCHEME: []}])
@accepts_query(VisitorQuery)
@returns(VisitorBody)
@document_problems("visitor_not_found", "too_busy", *TOKEN_CODES)
async def get_visitor_stats(query: VisitorQuery, visitor: str) -> VisitorBody:
    """Get a visitor's page views.

    Admins see all views. A signed-in user of this browser sees their own views and the anonymous
    ones. The visitor itself (by its cookie or `?visitor=`) sees only the anonymous ones without a
    token.
    """
    presented = presented_visitor(request, services().page_views.visitor_keys, query.visitor)
    has_key = presented is not None and presented.visitor_id == visitor
    if has_key or (bearer_token() is None and presented is not None):
        user = await identity_if_any()  # an invalid token is ignored
    else:
        user = await verified_identity()
    reader = Reader(
        has_key=has_key,
        user_id=None if user is None else user.user_id,
        is_admin=user is not None and user.role == ADMIN,
    )
    now = services().now()
    return VisitorBody(
        visitor=await services().page_views.visitor_statistics(visitor, query, reader, now)
    )
