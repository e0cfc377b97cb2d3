"""Serve `/api/admin`: statistics, users and their sessions, for admins."""

from quart import Blueprint
from quart_schema import tag_blueprint

from models.accounts.user_directory import UsersQuery, UserTotals
from models.admin.dashboard import Metrics
from models.admin.session_metrics import FocusMetrics
from models.base.schema_types import WireModel
from models.sessions.list_query import DatedQuery
from routes.access.authentication import admin_only
from routes.api.sessions import SessionPage
from routes.http.operations import accepts_query, returns
from routes.http.services import services

blueprint = Blueprint("admin", __name__, url_prefix="/api/admin")
tag_blueprint(blueprint, ["Administration"])


class UserPage(WireModel):
    """Users, most recently joined first. `nextCursor` is null on the last page."""

    users: list[UserTotals]
    next_cursor: str | None


@blueprint.get("/metrics")
@admin_only
@returns(Metrics)
async def get_metrics() -> Metrics:
    """Get visits, users and activity."""
    return await services().dashboard.read(services().now())


@blueprint.get("/metrics/sessions")
@admin_only
@returns(FocusMetrics)
async def get_focus_metrics() -> FocusMetrics:
    """Get focus session statistics.

    Sessions count on the UTC day they end.
    """
    return await services().dashboard.focus(services().now())


@blueprint.get("/users")
@admin_only
@accepts_query(UsersQuery)
@returns(UserPage)
async def list_users(query: UsersQuery) -> UserPage:
    """List users and their totals.

    Includes every user who signed up, created a session or sent a heartbeat, with an account on
    this server or with another issuer.
    """
    users, cursor = await services().dashboard.users(query, services().now())
    return UserPage(users=users, next_cursor=cursor)


@blueprint.get("/users/<path:user>/sessions")
@admin_only
@accepts_query(DatedQuery)
@returns(SessionPage)
async def list_user_sessions(query: DatedQuery, user: str) -> SessionPage:
    """List a user's sessions, newest first."""
    page, cursor = await services().sessions.service.page(user, query)
    return SessionPage(sessions=page, next_cursor=cursor)
