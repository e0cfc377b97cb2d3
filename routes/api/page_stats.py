"""`/api/stats`: what is known of page views."""

from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_response, security_scheme, tag_blueprint

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
from routes.http.bodies import answer, read_query
from routes.http.error_codes import OF_A_TOKEN, document_problems
from routes.http.services import services

blueprint = Blueprint("stats", __name__, url_prefix="/api/stats")
tag_blueprint(blueprint, ["Statistics"])


class StatsBody(WireModel):
    """The average time spent by one user, and what it is made of."""

    stats: UsersReport


class VisitorBody(WireModel):
    """What one visitor has viewed."""

    visitor: VisitorReport


@blueprint.get("")
@admin_only
@document_querystring(StatsRange)
@document_response(StatsBody)
async def get_stats() -> Response:
    """Tell the average time spent by one user

    Visible and engaged seconds of all page views that began in the range, divided by the
    number of users. Who is joined to no user counts by the visitor.
    """
    query = read_query(StatsRange)
    return answer(
        StatsBody(stats=await services().page_views.statistics.users(query, services().now()))
    )


@blueprint.get("/pages")
@admin_only
@document_querystring(PagesQuery)
@document_response(PagesReport)
async def get_page_stats() -> Response:
    """Tell views, visitors and seconds of each page

    A view belongs to the UTC day in which it began. `by=hour` needs a range of 31 days at
    most.
    """
    query = read_query(PagesQuery)
    return answer(await services().page_views.statistics.pages(query, services().now()))


@blueprint.get("/visitors/<visitor>")
@security_scheme([{}, {SCHEME: []}])
@document_querystring(VisitorQuery)
@document_response(VisitorBody)
@document_problems("visitor_not_found", "too_busy", *OF_A_TOKEN)
async def get_visitor_stats(visitor: str) -> Response:
    """Tell what one visitor has viewed

    To admins: everything. To the user of a token who has used this browser: their own views,
    and those without a user. To the visitor itself (by its cookie or `?visitor=`), without a
    token: those without a user alone.
    """
    query = read_query(VisitorQuery)
    presented = presented_visitor(request, services().page_views.visitor_keys, query.visitor)
    has_key = presented is not None and presented.visitor_id == visitor
    if has_key or (bearer_token() is None and presented is not None):
        who = await identity_if_any()  # a bad token counts as none
    else:
        who = await verified_identity()
    reader = Reader(
        has_key=has_key,
        user_id=None if who is None else who.user_id,
        is_admin=who is not None and who.role == ADMIN,
    )
    report = await services().page_views.visitor_statistics(
        visitor, query, reader, services().now()
    )
    return answer(VisitorBody(visitor=report))
