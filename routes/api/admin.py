"""`/api/admin`: what admins see of everybody."""

from quart import Blueprint, Response
from quart_schema import document_querystring, document_response, tag_blueprint

from models.accounts.user_directory import UsersQuery, UserTotals
from models.admin.dashboard import Metrics
from models.admin.session_metrics import FocusMetrics
from models.base.schema_types import WireModel
from models.sessions.list_query import DatedQuery
from routes.access.authentication import admin_only
from routes.api.sessions import SessionPage
from routes.http.bodies import answer, read_query
from routes.http.services import services

blueprint = Blueprint("admin", __name__, url_prefix="/api/admin")
tag_blueprint(blueprint, ["Administration"])


class UserPage(WireModel):
    """Users, those first seen last; `nextCursor` is null on the last page."""

    users: list[UserTotals]
    next_cursor: str | None


@blueprint.get("/metrics")
@admin_only
@document_response(Metrics)
async def get_metrics() -> Response:
    """Count visits, users and activity"""
    return answer(await services().dashboard.read(services().now()))


@blueprint.get("/metrics/sessions")
@admin_only
@document_response(FocusMetrics)
async def get_focus_metrics() -> Response:
    """Count focus sessions

    A session belongs to the UTC day of its end.
    """
    return answer(await services().dashboard.focus(services().now()))


@blueprint.get("/users")
@admin_only
@document_querystring(UsersQuery)
@document_response(UserPage)
async def list_users() -> Response:
    """List users with their totals

    Everybody who signed up, made a session or sent a heartbeat, with an account here or
    with another issuer.
    """
    query = read_query(UsersQuery)
    users, cursor = await services().dashboard.users(query, services().now())
    return answer(UserPage(users=users, next_cursor=cursor))


@blueprint.get("/users/<path:user>/sessions")
@admin_only
@document_querystring(DatedQuery)
@document_response(SessionPage)
async def list_user_sessions(user: str) -> Response:
    """List one user's sessions, newest first"""
    page, cursor = await services().sessions.service.page(user, read_query(DatedQuery))
    return answer(SessionPage(sessions=page, next_cursor=cursor))
