"""`/api/stats/me`, `/api/goals`, `/api/me/settings`: what a learner sees and sets."""

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag_blueprint

from models.accounts.settings import GoalsBody, GoalsChange, LearnerSettings, SettingsChange
from models.base.schema_types import WireModel
from models.study.statistics import CalendarQuery, CalendarYear, Series, SeriesQuery, UserStats
from routes.access.authentication import authenticated, identity
from routes.http.bodies import answer, read_body, read_query
from routes.http.error_codes import document_problems
from routes.http.preconditions import conditional, etag, expected
from routes.http.services import services

blueprint = Blueprint("learners", __name__, url_prefix="/api")
tag_blueprint(blueprint, ["Learners"])


class UserStatsBody(WireModel):
    """One's own statistics."""

    stats: UserStats


class SeriesBody(WireModel):
    """One's own days, or what they are made of."""

    series: Series


class CalendarBody(WireModel):
    """One's own year."""

    calendar: CalendarYear


class GoalsAnswer(WireModel):
    """The goals that hold now."""

    goals: GoalsBody


class SettingsBody(WireModel):
    """The settings."""

    settings: LearnerSettings


@blueprint.get("/stats/me")
@authenticated
@document_response(UserStatsBody)
async def get_my_stats() -> Response:
    """Tell what one's sessions come to, streaks, and today against the goals"""
    stats = await services().study.stats(identity().user_id, services().now())
    return answer(UserStatsBody(stats=stats))


@blueprint.get("/stats/me/series")
@authenticated
@document_querystring(SeriesQuery)
@document_response(SeriesBody)
async def get_my_series() -> Response:
    """Tell one's days, weeks or months, hours of the week, contents or tags

    Of 400 days at most; dates without a session are there as zeros. A second belongs to the
    date and hour in which it began, by the clock where the session was lived.
    """
    query = read_query(SeriesQuery)
    series = await services().study.series(identity().user_id, query, services().now())
    return answer(SeriesBody(series=series))


@blueprint.get("/stats/me/calendar")
@authenticated
@document_querystring(CalendarQuery)
@document_response(CalendarBody)
async def get_my_calendar() -> Response:
    """Tell each date of a year"""
    year = read_query(CalendarQuery).year
    calendar = await services().study.calendar(identity().user_id, year, services().now())
    return answer(CalendarBody(calendar=calendar))


@blueprint.get("/goals")
@authenticated
@document_response(GoalsAnswer)
async def get_goals() -> Response:
    """Tell one's goals"""
    goals = await services().study.goals(identity().user_id)
    return answer(GoalsAnswer(goals=goals), headers=etag(goals))


@blueprint.put("/goals")
@authenticated
@conditional
@document_request(GoalsChange)
@document_response(GoalsAnswer)
@document_problems("too_many_changes", "contended")
async def put_goals() -> Response:
    """Set one's goals, from today on

    Only the given goals change; null takes one back. What was reached on earlier dates stays
    reached.
    """
    body = await read_body(GoalsChange)
    user_id = identity().user_id
    goals = await services().study.set_goals(user_id, body, services().now(), expected())
    services().sessions.tracking.goals.look(user_id)
    return answer(GoalsAnswer(goals=goals), headers=etag(goals))


@blueprint.get("/me/settings")
@authenticated
@document_response(SettingsBody)
async def get_settings() -> Response:
    """Tell one's settings"""
    settings = await services().study.settings(identity().user_id)
    return answer(SettingsBody(settings=settings), headers=etag(settings))


@blueprint.put("/me/settings")
@authenticated
@conditional
@document_request(SettingsChange)
@document_response(SettingsBody)
@document_problems("contended")
async def put_settings() -> Response:
    """Set one's time zone, and when weeks and days begin

    Only the given fields change. Sessions that there are keep the zone that they were lived in;
    `weekStartsOn` and `dayStartsAt` hold for past days too.
    """
    body = await read_body(SettingsChange)
    settings = await services().study.set_settings(identity().user_id, body, expected())
    return answer(SettingsBody(settings=settings), headers=etag(settings))
