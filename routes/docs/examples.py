"""Provide examples of request bodies, and of the parts of answers, for both API documents.

Invariants:

- Each example is an instance of its model, so it is valid.
- All examples are about one user and one session, with consistent numbers.
"""

from datetime import UTC, date, datetime, timedelta

from bson import ObjectId

from models.accounts.service import Logout, Refresh, SignedIn
from models.accounts.settings import GoalsBody, GoalsChange, LearnerSettings, SettingsChange
from models.accounts.user_directory import UserTotals
from models.accounts.users import Credentials, Leave, PasswordChange, Signup, UserView
from models.activity.events import TrackEvent
from models.activity.visits import TrackVisit
from models.admin.dashboard import DailyActivity, DayActivity, Metrics, MonthLogins
from models.admin.session_metrics import FocusDay, FocusMetrics, TopContent
from models.base.schema_types import WireModel
from models.pageviews.beacons import Engagement, StoredEngagement
from models.pageviews.coefficients import PageCoefficient, PageCoefficientView
from models.privacy.export_rows import (
    ExportedBrowserSession,
    ExportedEvent,
    ExportedGoals,
    ExportedLogin,
    ExportedPageView,
    ExportedSession,
    ExportedVisitor,
)
from models.sessions.manual_edits import Reassignment
from models.sessions.session import (
    EndSession,
    NewSession,
    ScoreBreakdown,
    SessionChange,
    SessionView,
)
from models.sessions.timeline_view import RunView, TimelineView
from models.study.statistics import (
    PeriodProgress,
    Point,
    Progress,
    SessionCounts,
    Sums,
    Today,
    UserStats,
)
from scoring.focus import focus_score

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
TODAY, TOMORROW = date(2026, 1, 31), date(2026, 2, 1)
MIDNIGHT = datetime(2026, 1, 31, tzinfo=UTC)
MONDAY = date(2026, 1, 26)
USER_ID = "697dc5ace4b0c1d2e3f40001"
SESSION_ID = "697dc5b7e4b0c1d2e3f40002"
VISITOR_ID = "0f6c1d2a9b8e4c7d8a5b6e3f2d1c0b9a"
VIEW_ID = ObjectId("697dc5c0e4b0c1d2e3f40003")
BROWSER_SESSION_ID = ObjectId("697dc5c0e4b0c1d2e3f40004")
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI2OTdkYzVhY2U0YjBjMWQyZTNmNDAwMDEifQ.c2lnbmF0dXJl"  # noqa: S105 - an example
REFRESH_TOKEN = "697dc5ace4b0c1d2e3f40005.c2VjcmV0"  # noqa: S105 - an example
EMAIL, ZONE = "ada@example.com", "Europe/Berlin"
PASSWORD = "correct horse"  # noqa: S105 - an example
NEW_PASSWORD = "battery staple"  # noqa: S105 - an example
ACTIVE_S, IDLE_S, TAB_SWITCHES = 1320, 180, 2
ELAPSED_S = ACTIVE_S + IDLE_S
STARTED_AT = NOW - timedelta(seconds=ELAPSED_S)

_score = focus_score(
    elapsed_seconds=ELAPSED_S,
    active_seconds=ACTIVE_S,
    idle_seconds=IDLE_S,
    tab_switches=TAB_SWITCHES,
    target_minutes=25,
)
FOCUS_SCORE = _score.focus_score
SCORE_BREAKDOWN = ScoreBreakdown(
    completion=_score.completion,
    activity_ratio=_score.activity_ratio,
    penalty=_score.penalty,
    formula_version=_score.formula_version,
)
USER = UserView(
    id=USER_ID,
    email=EMAIL,
    name="Ada",
    time_zone=ZONE,
    role="user",
    created_at=STARTED_AT,
    password_expires_at=None,
)
ENDED = SessionView(
    id=SESSION_ID,
    user_id=USER_ID,
    target_minutes=25,
    content_id="algebra-3",
    title="Chapter 3",
    tags=["algebra"],
    notes=None,
    idle_mode="interactive",
    time_zone=ZONE,
    status="completed",
    elapsed_seconds=ELAPSED_S,
    active_seconds=ACTIVE_S,
    idle_seconds=IDLE_S,
    tab_switches=TAB_SWITCHES,
    paused_seconds=0,
    away_seconds=0,
    manual_seconds=0,
    tracked=False,
    focus_score=FOCUS_SCORE,
    score_breakdown=SCORE_BREAKDOWN,
    started_at=STARTED_AT,
    ended_at=NOW,
    last_active_at=NOW,
    created_at=STARTED_AT - timedelta(seconds=5),
    updated_at=NOW,
    edited=False,
)
STARTED = ENDED.model_copy(
    update={
        "status": "active",
        "elapsed_seconds": 0,
        "active_seconds": 0,
        "idle_seconds": 0,
        "tab_switches": 0,
        "tracked": True,
        "focus_score": None,
        "score_breakdown": None,
        "ended_at": None,
        "last_active_at": STARTED_AT,
        "updated_at": STARTED_AT,
    }
)
"""The same session at its start."""
RUNS = [
    RunView(kind="active", started_at=STARTED_AT, seconds=ACTIVE_S, tab_switches=TAB_SWITCHES),
    RunView(
        kind="idle",
        started_at=STARTED_AT + timedelta(seconds=ACTIVE_S),
        seconds=IDLE_S,
        tab_switches=0,
    ),
]
TIMELINE = TimelineView(
    session_id=SESSION_ID,
    status="completed",
    time_zone=ZONE,
    started_at=STARTED_AT,
    ended_at=NOW,
    target_minutes=25,
    runs=RUNS,
    edits=[],
)
GOALS = GoalsBody(daily_minutes=30, weekly_minutes=150, sessions_per_day=2)
SUMS = Sums(
    focused_seconds=ACTIVE_S,
    idle_seconds=IDLE_S,
    elapsed_seconds=ELAPSED_S,
    paused_seconds=0,
    away_seconds=0,
    manual_seconds=0,
    ended_sessions=1,
    completed_sessions=1,
    completion_rate=1,
    mean_focus_score=FOCUS_SCORE,
    best_focus_score=FOCUS_SCORE,
    last_focus_score=FOCUS_SCORE,
    tab_switches=TAB_SWITCHES,
    tab_switches_per_hour=TAB_SWITCHES * 3600 / ELAPSED_S,
)
STATS = UserStats(
    **dict(SUMS),
    sessions=SessionCounts(active=0, paused=0, completed=1, abandoned=0, cancelled=0),
    current_streak=0,
    longest_streak=0,
    time_zone=ZONE,
    goals=GOALS,
    today=Today(
        date=TODAY,
        focused_seconds=ACTIVE_S,
        completed_sessions=1,
        minutes=Progress(done=22, goal=30, reached=False),
        sessions=Progress(done=1, goal=2, reached=False),
    ),
    week=PeriodProgress(
        date=MONDAY,
        focused_seconds=ACTIVE_S,
        completed_sessions=1,
        minutes=Progress(done=22, goal=150, reached=False),
    ),
)
POINT = Point(**dict(SUMS), date=TODAY)
METRICS = Metrics(
    total_visits=1,
    total_visitors=1,
    visitors_now=1,
    visitors_today=1,
    active_visits=1,
    active_users_now=1,
    activity_by_day=[DayActivity(date="2026-01-31", logins=1, signups=1)],
    monthly_logins=[MonthLogins(month="2026-01", logins=1)],
    daily_activity=[DailyActivity(date="2026-01-31", logins=1, app_opens=1, actions=4)],
)
_focused_hours = ACTIVE_S / 3600
FOCUS_METRICS = FocusMetrics(
    tracked_now=0,
    by_day=[
        FocusDay(
            date="2026-01-31",
            ended=1,
            completed=1,
            abandoned=0,
            cancelled=0,
            completion_rate=1,
            mean_focus_score=FOCUS_SCORE,
            focused_hours=_focused_hours,
        )
    ],
    completion_rate=1,
    mean_focus_score=FOCUS_SCORE,
    top_content=[TopContent(content_id="algebra-3", sessions=1, focused_hours=_focused_hours)],
)
USER_TOTALS = UserTotals(
    id=USER_ID,
    email=EMAIL,
    name="Ada",
    role="user",
    first_seen_at=STARTED_AT,
    sessions=1,
    completed_sessions=1,
    focused_seconds=ACTIVE_S,
    elapsed_seconds=ELAPSED_S,
    mean_focus_score=FOCUS_SCORE,
)
COEFFICIENT = PageCoefficientView(pattern="/chapters/*", coefficient=2.5, updated_at=NOW)
STORED_ENGAGEMENT = StoredEngagement(
    view_id=VIEW_ID, sequence=1, visible_seconds=40, engaged_seconds=25
)
SIGNED_IN = SignedIn(
    user=USER,
    access_token=TOKEN,
    token=TOKEN,
    expires_at=NOW + timedelta(hours=1),
    refresh_token=REFRESH_TOKEN,
)
SETTINGS = LearnerSettings(time_zone=ZONE, week_starts_on="sunday", day_starts_at="04:00")
EXPORTED_GOALS = ExportedGoals(**dict(GOALS), since=TODAY)
EXPORTED_LOGIN = ExportedLogin(
    created_at=STARTED_AT, rotated_at=STARTED_AT, expires_at=NOW + timedelta(days=30)
)
EXPORTED_SESSION = ExportedSession(**dict(ENDED), timeline=RUNS, edits=[])
EXPORTED_EVENT = ExportedEvent(type="app_open", action_name=None, created_at=STARTED_AT)
EXPORTED_VISITOR = ExportedVisitor(id=VISITOR_ID, first_seen_at=STARTED_AT, last_seen_at=NOW)
EXPORTED_BROWSER_SESSION = ExportedBrowserSession(
    id=BROWSER_SESSION_ID,
    visitor_id=VISITOR_ID,
    user_agent="Mozilla/5.0",
    started_at=STARTED_AT,
)
EXPORTED_PAGE_VIEW = ExportedPageView(
    id=VIEW_ID,
    visitor_id=VISITOR_ID,
    browser_session_id=BROWSER_SESSION_ID,
    previous_view_id=None,
    page="/chapters/3",
    params={"language": "en"},
    title="Chapter 3",
    source="socket",
    attention_coefficient=2.5,
    visible_seconds=40,
    engaged_seconds=25,
    started_at=STARTED_AT,
    ended_at=NOW,
)

BODIES: tuple[WireModel, ...] = (
    Signup(email=EMAIL, password=PASSWORD, name="Ada", time_zone=ZONE),
    Credentials(email=EMAIL, password=PASSWORD),
    Refresh(refresh_token=REFRESH_TOKEN),
    Logout(refresh_token=REFRESH_TOKEN),
    PasswordChange(current_password=PASSWORD, new_password=NEW_PASSWORD),
    Leave(password=PASSWORD),
    NewSession(target_minutes=25, content_id="algebra-3", title="Chapter 3", tags=["algebra"]),
    SessionChange(title="Chapters 3 and 4", notes="Exercises 1 to 7", status="paused"),
    EndSession(status="completed"),
    Reassignment(started_at=RUNS[1].started_at or STARTED_AT, reason="I read on paper"),
    GoalsChange(**GOALS.model_dump(by_alias=False)),
    SettingsChange(**SETTINGS.model_dump(by_alias=False)),
    TrackVisit(session_id="5e1f9c52-3c1d-4a6e-9a57-0d8f7a4c2b10"),
    TrackEvent(type="action", action_name="flashcard_flipped"),
    Engagement(
        view="b7c1",
        sequence=1,
        page="/chapters/3",
        title="Chapter 3",
        visible_seconds=40,
        engaged_seconds=25,
    ),
    PageCoefficient(pattern="/chapters/*", coefficient=2.5),
)
