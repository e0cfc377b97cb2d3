"""Serve `/api/stats/me`, `/api/goals` and `/api/me/settings`: a learner's figures and settings."""

from quart import Blueprint
from quart_schema import tag_blueprint

from models.accounts.settings import GoalsBody, GoalsChange, LearnerSettings, SettingsChange
from models.base.schema_types import WireModel
from models.study.statistics import CalendarQuery, CalendarYear, Series, SeriesQuery, UserStats
from routes.access.authentication import authenticated, identity
from routes.http.error_codes import document_problems
from routes.http.operations import Headers, accepts, accepts_query, returns
from routes.http.preconditions import conditional, etag, expected
from routes.http.services import services

blueprint = Blueprint("learners", __name__, url_prefix="/api")
tag_blueprint(blueprint, ["Learners"])


class UserStatsBody(WireModel):
    """Your totals, streaks and goal progress."""

    stats: UserStats


class SeriesBody(WireModel):
    """Your time over a range of dates."""

    series: Series


class CalendarBody(WireModel):
    """Your calendar of a year."""

    calendar: CalendarYear


class GoalsAnswer(WireModel):
    """Your current goals."""

    goals: GoalsBody


class SettingsBody(WireModel):
    """Your settings."""

    settings: LearnerSettings


@blueprint.get("/stats/me")
@authenticated
@returns(UserStatsBody)
async def get_my_stats() -> UserStatsBody:
    """Get your totals, streaks and goal progress."""
    return UserStatsBody(stats=await services().study.stats(identity().user_id, services().now()))


@blueprint.get("/stats/me/series")
@authenticated
@accepts_query(SeriesQuery)
@returns(SeriesBody)
async def get_my_series(query: SeriesQuery) -> SeriesBody:
    """Get your time by day, week, month, hour, subject or tag.

    Covers at most 400 days; dates without a session are zeros. Each second counts on the date and
    hour it started, in the time zone of its session.
    """
    series = await services().study.series(identity().user_id, query, services().now())
    return SeriesBody(series=series)


@blueprint.get("/stats/me/calendar")
@authenticated
@accepts_query(CalendarQuery)
@returns(CalendarBody)
async def get_my_calendar(query: CalendarQuery) -> CalendarBody:
    """Get a year's calendar."""
    calendar = await services().study.calendar(identity().user_id, query.year, services().now())
    return CalendarBody(calendar=calendar)


@blueprint.get("/goals")
@authenticated
@returns(GoalsAnswer)
async def get_goals() -> tuple[GoalsAnswer, Headers]:
    """Get your goals."""
    goals = await services().study.goals(identity().user_id)
    return GoalsAnswer(goals=goals), etag(goals)


@blueprint.put("/goals")
@authenticated
@conditional
@accepts(GoalsChange)
@returns(GoalsAnswer)
@document_problems("too_many_changes", "contended")
async def put_goals(body: GoalsChange) -> tuple[GoalsAnswer, Headers]:
    """Set your goals.

    Changes apply from today. Omitted goals stay as they are; null removes a goal. Goals that were
    reached on earlier dates stay reached.
    """
    user_id = identity().user_id
    goals = await services().study.set_goals(user_id, body, services().now(), expected())
    services().sessions.tracking.goals.look(user_id)
    return GoalsAnswer(goals=goals), etag(goals)


@blueprint.get("/me/settings")
@authenticated
@returns(SettingsBody)
async def get_settings() -> tuple[SettingsBody, Headers]:
    """Get your settings."""
    settings = await services().study.settings(identity().user_id)
    return SettingsBody(settings=settings), etag(settings)


@blueprint.put("/me/settings")
@authenticated
@conditional
@accepts(SettingsChange)
@returns(SettingsBody)
@document_problems("contended")
async def put_settings(body: SettingsChange) -> tuple[SettingsBody, Headers]:
    """Change your time zone, and when your weeks and days start.

    Omitted fields stay as they are. Existing sessions keep their time zone; `weekStartsOn` and
    `dayStartsAt` apply to past days too.
    """
    settings = await services().study.set_settings(identity().user_id, body, expected())
    return SettingsBody(settings=settings), etag(settings)
