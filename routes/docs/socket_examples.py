"""Provide an example of every message of the sockets for the AsyncAPI document.

Invariant: each message class has one example, an instance of it, of the same user and session as in
`routes.docs.examples`.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from realtime.protocol.client_messages import (
    Activity,
    Auth,
    ClientMessage,
    Pause,
    Ping,
    Resume,
    Start,
    Stop,
    TabSwitch,
)
from realtime.protocol.page_messages import Hidden, Leave, Left, PageTick, View, Viewing, Visible
from realtime.protocol.server_messages import (
    Authenticated,
    Degraded,
    Error,
    Expiring,
    GoalReached,
    Paused,
    Pong,
    Recovered,
    Resumed,
    ServerMessage,
    Started,
    State,
    Stopped,
    Superseded,
    TargetReached,
    Tick,
)
from routes.docs import examples as of
from routes.http.error_codes import CODES
from scoring.focus import score_points

_COUNTS: Mapping[str, Any] = {
    "session_id": of.SESSION_ID,
    "elapsed_seconds": of.ELAPSED_S,
    "active_seconds": of.ACTIVE_S,
    "idle_seconds": of.IDLE_S,
    "tab_switches": of.TAB_SWITCHES,
}
_SCORE = score_points(of.ELAPSED_S, of.ACTIVE_S, of.IDLE_S, of.TAB_SWITCHES, 25)
_LATER = of.NOW + timedelta(hours=1)
_VIEW = str(of.VIEW_ID)

FROM_CLIENT: tuple[ClientMessage, ...] = (
    Start(type="start", id=1, sessionId=of.SESSION_ID, heartbeatSeconds=10),
    Activity(type="activity"),
    TabSwitch(type="tabSwitch"),
    Pause(type="pause", id=2),
    Resume(type="resume", id=3),
    Stop(type="stop", id=4, status="completed"),
    Auth(type="auth", id=5, token=of.TOKEN),
    Ping(type="ping", id=6),
    View(type="view", id=1, page="/chapters/3", params={"language": "en"}, title="Chapter 3"),
    Visible(type="visible"),
    Hidden(type="hidden"),
    Leave(type="leave", id=2),
)
FROM_SERVER: tuple[ServerMessage, ...] = (
    Started(
        id=1,
        session_id=of.SESSION_ID,
        session=of.STARTED,
        resumed=False,
        idle_threshold_seconds=15,
        next_second_in_ms=1000,
        server_time=of.STARTED_AT,
    ),
    Tick(**_COUNTS, idle=True, focus_score=_SCORE),
    State(**_COUNTS, idle=True, focus_score=_SCORE),
    Paused(id=2, **_COUNTS, server_time=of.NOW),
    Resumed(id=3, **_COUNTS, next_second_in_ms=400, server_time=of.NOW),
    Stopped(
        id=4,
        session=of.ENDED,
        focus_score=of.FOCUS_SCORE,
        score_breakdown=of.SCORE_BREAKDOWN,
        stats=of.STATS,
    ),
    TargetReached(**_COUNTS),
    GoalReached(goal="dailyMinutes", value=30, done=30, date=of.TODAY),
    Superseded(session_id=of.SESSION_ID),
    Expiring(expires_at=of.NOW + timedelta(seconds=30)),
    Authenticated(id=5, expires_at=_LATER, server_time=of.NOW),
    Pong(id=6, server_time=of.NOW),
    Degraded(server_time=of.NOW),
    Recovered(server_time=of.NOW),
    Error(id=4, code="not_started", message=CODES["not_started"].meaning),
    Viewing(
        id=1,
        view_id=_VIEW,
        visitor_id=of.VISITOR_ID,
        visitor=None,
        browser_session_id=str(of.BROWSER_SESSION_ID),
        page="/chapters/3",
        attention_coefficient=2.5,
        idle_threshold_seconds=37.5,
        next_second_in_ms=1000,
        server_time=of.STARTED_AT,
    ),
    PageTick(view_id=_VIEW, visible_seconds=40, engaged_seconds=25, engaged=False),
    Left(id=2, view_id=_VIEW, visible_seconds=40, engaged_seconds=25, server_time=of.NOW),
)


def _payload(message: ClientMessage) -> dict[str, Any]:
    """Return the message as a client sends it, without fields at their defaults."""
    fields = message.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {"type": fields.pop("type"), **fields}


EXAMPLES: Mapping[type[ClientMessage | ServerMessage], Mapping[str, Any]] = dict(
    [(type(message), _payload(message)) for message in FROM_CLIENT]
    + [(type(message), message.model_dump(mode="json")) for message in FROM_SERVER]
)
"""Payloads by the class of the message."""
