"""Define the messages that the server sends on `/ws/sessions`.

Invariants:

- Every text that is sent is of a class here or in `realtime.protocol.page_messages`, from which the
  AsyncAPI document is made.
- An answer carries the `id` of the message that it answers.
"""

import datetime as dt
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from models.base.schema_types import UtcDatetime, WireModel
from models.sessions.session import ScoreBreakdown, SessionView
from models.study.statistics import UserStats
from realtime.protocol.client_messages import (
    Auth,
    ClientMessage,
    MessageId,
    Pause,
    Ping,
    Resume,
    Start,
    Stop,
)

GoalName = Literal["dailyMinutes", "sessionsPerDay", "weeklyMinutes"]


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]  # it would say null, and what is left out is not null


class ServerMessage(WireModel):
    """The base of all messages of the server.

    `answers` are the client messages that it may answer; `unasked` says whether it is also sent
    without one.
    """

    model_config = ConfigDict(
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,  # what has a default is sent, too
    )

    answers: ClassVar[tuple[type[ClientMessage], ...]] = ()
    unasked: ClassVar[bool] = True

    type: str
    id: Annotated[
        MessageId | SkipJsonSchema[None],
        Field(exclude_if=lambda id_: id_ is None, json_schema_extra=_without_default),
    ] = None
    """Of the message that is answered, if it had one."""

    def text(self) -> str:
        """The message as it is sent."""
        return self.model_dump_json()


class CountedMessage(ServerMessage):
    """Counters of a session."""

    session_id: str
    elapsed_seconds: int
    active_seconds: int
    idle_seconds: int
    tab_switches: int


class Tick(CountedMessage):
    """A second was booked. A slow reader gets the newest, not all."""

    type: Literal["tick"] = "tick"
    idle: bool
    """Whether the latest second was idle."""
    focus_score: int
    """The score so far."""


class State(CountedMessage):
    """Idle turned to active or back."""

    type: Literal["state"] = "state"
    idle: bool
    """Whether the latest second was idle."""
    focus_score: int
    """The score so far."""


class TargetReached(CountedMessage):
    """Elapsed time has reached the target of the session. Sent once."""

    type: Literal["targetReached"] = "targetReached"


class Started(ServerMessage):
    """The session is tracked by this connection."""

    answers = (Start,)
    unasked = False

    type: Literal["started"] = "started"
    session_id: str
    session: SessionView
    resumed: bool
    """Whether it was started before."""
    idle_threshold_seconds: float
    """The silence after which seconds are idle."""
    next_second_in_ms: int | None
    """When the next second falls due; null while paused."""
    server_time: UtcDatetime


class Paused(CountedMessage):
    """The session is paused, by this connection, another one or REST."""

    answers = (Pause,)

    type: Literal["paused"] = "paused"
    server_time: UtcDatetime


class Resumed(CountedMessage):
    """The session is active again, by this connection, another one or REST."""

    answers = (Resume,)

    type: Literal["resumed"] = "resumed"
    next_second_in_ms: int | None
    """When the next second falls due; null if it is paused again."""
    server_time: UtcDatetime


class Stopped(ServerMessage):
    """The session has ended and is scored, by this connection, another one or REST."""

    answers = (Stop,)

    type: Literal["stopped"] = "stopped"
    session: SessionView
    focus_score: int | None
    score_breakdown: ScoreBreakdown | None
    stats: UserStats | None
    """All of the user's sessions; null when they could not be read in time."""


class GoalReached(ServerMessage):
    """A goal of the day or week is reached. Sent once."""

    type: Literal["goalReached"] = "goalReached"
    goal: GoalName
    value: int
    """The goal."""
    done: int
    """What is done of it."""
    date: dt.date
    """The day, or the Monday of the week."""


class Superseded(ServerMessage):
    """Another server tracks or has changed this session. The connection is closed with 4409."""

    type: Literal["superseded"] = "superseded"
    session_id: str


class Expiring(ServerMessage):
    """The token expires within 30 seconds; send `auth`."""

    type: Literal["expiring"] = "expiring"
    expires_at: UtcDatetime


class Authenticated(ServerMessage):
    """The fresh token is taken."""

    answers = (Auth,)
    unasked = False

    type: Literal["authenticated"] = "authenticated"
    expires_at: UtcDatetime
    server_time: UtcDatetime


class Pong(ServerMessage):
    """The server is there."""

    answers = (Ping,)
    unasked = False

    type: Literal["pong"] = "pong"
    server_time: UtcDatetime


class Degraded(ServerMessage):
    """The database has not been writable for two seconds.

    Counting goes on, and the seconds are written later.
    """

    type: Literal["degraded"] = "degraded"
    server_time: UtcDatetime


class Recovered(ServerMessage):
    """The database can be written again."""

    type: Literal["recovered"] = "recovered"
    server_time: UtcDatetime


class Error(ServerMessage):
    """A message was refused. The connection lives on."""

    type: Literal["error"] = "error"
    id: MessageId | None
    """Of the message that was refused; null if it had none that can be read."""
    code: str
    """The stable name of the error, for programs."""
    message: str
    """One sentence for people."""
    retryable: bool = False
    """Whether the same message may succeed later."""


SessionAnswer = (
    Started
    | Tick
    | State
    | Paused
    | Resumed
    | Stopped
    | TargetReached
    | GoalReached
    | Superseded
    | Expiring
    | Authenticated
    | Pong
    | Degraded
    | Recovered
    | Error
)
"""All that is sent on `/ws/sessions`."""


def count_message(
    type_: Literal["tick", "state"],
    *,
    session_id: str,
    active_seconds: int,
    idle_seconds: int,
    tab_switches: int,
    idle: bool,
    focus_score: int,
) -> str:
    """Return the text of `Tick` or `State`.

    It is formatted by hand because it is made once a second for each session; its values are
    numbers and an id of hexadecimal digits.
    """
    return (
        f'{{"type":"{type_}","sessionId":"{session_id}",'
        f'"elapsedSeconds":{active_seconds + idle_seconds},'
        f'"activeSeconds":{active_seconds},"idleSeconds":{idle_seconds},'
        f'"tabSwitches":{tab_switches},"idle":{"true" if idle else "false"},'
        f'"focusScore":{focus_score}}}'
    )
