"""Provide examples of all answers over REST, and collect all examples by model.

Invariant: every JSON answer has an example (a test checks it).
"""

from collections.abc import Mapping

from models.base.schema_types import WireModel
from models.page_statistics.reports import (
    Moment,
    PageRow,
    PagesReport,
    SecondsStats,
    UserSeconds,
    UsersReport,
    ViewStats,
)
from models.page_statistics.visitor_statistics import (
    BrowserSessionView,
    PageViewView,
    VisitorReport,
    VisitorTotals,
)
from models.study.statistics import CalendarDay, CalendarYear, Series
from routes.api.admin import UserPage
from routes.api.auth import Me
from routes.api.beacons import EngagementBody
from routes.api.coefficients import PageCoefficientBody, PageCoefficientList
from routes.api.learners import CalendarBody, GoalsAnswer, SeriesBody, SettingsBody, UserStatsBody
from routes.api.me import Export
from routes.api.page_stats import StatsBody, VisitorBody
from routes.api.sessions import SessionBody, SessionPage, TimelineBody
from routes.api.visits import Cadence
from routes.docs import examples as of
from routes.monitoring.health import DatabaseHealth, DiskHealth, Health, Probe

_SECONDS = SecondsStats(total=40, mean=40, median=40)
_ENGAGED = SecondsStats(total=25, mean=25, median=25)
_VIEWS = ViewStats(
    views=1, never_visible=0, visitors=1, visible_seconds=_SECONDS, engaged_seconds=_ENGAGED
)
_VIEWS_FIELDS = dict(_VIEWS)
_VIEW = PageViewView(
    id=of.VIEW_ID,
    browser_session_id=of.BROWSER_SESSION_ID,
    previous_view_id=None,
    user_id=of.USER_ID,
    page="/chapters/3",
    params={"language": "en"},
    title="Chapter 3",
    source="socket",
    attention_coefficient=2.5,
    status="ended",
    started_at=of.STARTED_AT,
    ended_at=of.NOW,
    visible_seconds=40,
    engaged_seconds=25,
)
_PAGES = PagesReport(
    from_="2026-01-31",
    to="2026-02-01",
    as_of=of.NOW,
    page_count=1,
    pages=[PageRow(**_VIEWS_FIELDS, page="/chapters/3")],
    total=_VIEWS,
    series=[Moment(**_VIEWS_FIELDS, at=of.MIDNIGHT)],
)
_USERS = UsersReport(
    from_="2026-01-31",
    to="2026-02-01",
    as_of=of.NOW,
    users=1,
    visitors=1,
    views=1,
    never_visible=0,
    visible_seconds=UserSeconds(total=40, per_user=40),
    engaged_seconds=UserSeconds(total=25, per_user=25),
)
_VISITOR = VisitorReport(
    visitor_id=of.VISITOR_ID,
    user_id=of.USER_ID,
    first_seen_at=of.STARTED_AT,
    last_seen_at=of.NOW,
    totals=VisitorTotals(views=1, never_visible=0, visible_seconds=40, engaged_seconds=25),
    browser_sessions=[
        BrowserSessionView(
            id=of.BROWSER_SESSION_ID,
            user_id=of.USER_ID,
            user_agent="Mozilla/5.0",
            started_at=of.STARTED_AT,
        )
    ],
    views=[_VIEW],
    next_cursor=None,
)
_DAY = CalendarDay(date=of.TODAY, focused_seconds=of.ACTIVE_S, completed_sessions=1, counts=False)
_HEALTH = Health(
    status="ok",
    version="0.1.0",
    database=DatabaseHealth(kind="secantusdb", latency_ms=0.41),
    disk=DiskHealth(free_mib=41_272, low=False),
    tracked_sessions=1,
    viewed_pages=1,
    sockets=2,
    tasks=24,
    tick_lag_ms=0.3,
    flush_ms=1.2,
)
_EXPORT = Export(
    exported_at=of.NOW,
    account=of.USER,
    first_seen_at=of.STARTED_AT,
    last_seen_at=of.NOW,
    signed_out_everywhere_at=None,
    settings=of.SETTINGS,
    goals=[of.EXPORTED_GOALS],
    logins=[of.EXPORTED_LOGIN],
    sessions=[of.EXPORTED_SESSION],
    events=[of.EXPORTED_EVENT],
    visitors=[of.EXPORTED_VISITOR],
    browser_sessions=[of.EXPORTED_BROWSER_SESSION],
    page_views=[of.EXPORTED_PAGE_VIEW],
)
ANSWERS: tuple[WireModel, ...] = (
    of.SIGNED_IN,
    Me(user=of.USER),
    SessionBody(session=of.ENDED),
    SessionPage(sessions=[of.ENDED], next_cursor=None),
    TimelineBody(timeline=of.TIMELINE),
    UserStatsBody(stats=of.STATS),
    SeriesBody(
        series=Series(by="day", from_=of.TODAY, to=of.TOMORROW, total=of.SUMS, points=[of.POINT])
    ),
    CalendarBody(calendar=CalendarYear(year=2026, days=[_DAY])),
    GoalsAnswer(goals=of.GOALS),
    SettingsBody(settings=of.SETTINGS),
    _EXPORT,
    StatsBody(stats=_USERS),
    _PAGES,
    VisitorBody(visitor=_VISITOR),
    Cadence(next_in_seconds=300),
    EngagementBody(view=of.STORED_ENGAGEMENT, visitor=None),
    of.METRICS,
    of.FOCUS_METRICS,
    UserPage(users=[of.USER_TOTALS], next_cursor=None),
    PageCoefficientList(page_coefficients=[of.COEFFICIENT]),
    PageCoefficientBody(page_coefficient=of.COEFFICIENT),
    _HEALTH,
    Probe(status="ok"),
)
EXAMPLES: Mapping[type[WireModel], WireModel] = {
    type(example): example for example in (*of.BODIES, *ANSWERS)
}
"""All examples by their model."""
