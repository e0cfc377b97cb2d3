"""Serve a connection of `/ws/sessions`: the meaning of each message in each state.

Invariants:

- Every message is answered or ignored by the table in docs/protocol.md.
- A client that announced a heartbeat is disconnected when it misses two.
- A token that expires ends the connection, and takes no counted second.

Only `start` and `stop` wait for the database before later messages are handled.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from models.base.driver_errors import answered_within
from models.base.errors import Conflict, NotFound
from models.tokens.access_tokens import LEEWAY_S, Identity, TokenAuthority
from realtime.engine.tracked import Tracked, TrackedSession
from realtime.protocol.client_messages import (
    Auth,
    ClientMessage,
    Pause,
    Resume,
    Start,
    Stop,
    TabSwitch,
    Updates,
    parse,
)
from realtime.protocol.close_codes import CloseCode
from realtime.protocol.server_messages import Authenticated, Expiring, Started
from realtime.sessions.endings import stopped_text
from realtime.sessions.tracking import SessionTracking
from realtime.sockets.connection import SocketConnection
from realtime.sockets.registry import StatusMessage, status_text
from realtime.sockets.transport import SocketTransport

EXPIRING_BEFORE_S = 30.0
JOIN_WITHIN_S = 10.0
"""How long `start` waits for the database before it answers with an error."""
MISSED_HEARTBEATS = 2
"""Missed heartbeats after which a client that announced them is gone."""


@dataclass(frozen=True, slots=True)
class SocketSettings:
    """What the connections of both sockets have in common."""

    tokens: TokenAuthority
    now: Callable[[], datetime]
    """The wall clock, which only the expiry of tokens goes by."""
    start_within_s: float = 60.0


class SessionSocket(SocketConnection[TrackedSession]):
    """A connection that tracks at most one session."""

    def __init__(
        self, wire: SocketTransport, identity: Identity, service: SessionTracking, s: SocketSettings
    ) -> None:
        super().__init__(
            wire,
            registry=service.registry,
            member=identity.user_id,
            engine=service.engine,
            clock=service.clock,
            parse=parse,
            tokens=s.tokens,
            start_within_s=s.start_within_s,
        )
        self.updates: Updates = "tick"
        self._identity = identity
        self._service = service
        self._settings = s
        self._had_ended = False
        self._stopping: TrackedSession | None = None
        """The session that this connection has sent `stop` for."""
        self._answering: asyncio.Task[None] | None = None
        """The answer to the latest `pause` or `resume`."""
        self._heartbeat_s: float | None = None
        self._heard_s = 0.0

    def _opened(self) -> None:
        self._watch_expiry()

    def received(self, text: str) -> None:
        """Handle a text of the client, and note that it is alive."""
        if self._heartbeat_s is not None:
            self._heard_s = self._loop.time()
        super().received(text)

    def is_of(self, user_id: str) -> bool:
        """Return whether the connection belongs to this user."""
        return self._identity.user_id == user_id

    @property
    def identity(self) -> Identity:
        """The identity of the latest token."""
        return self._identity

    def released(self, tracked: Tracked, *, ended: bool) -> None:
        """Track nothing, and expect another `start`."""
        if self._tracked is tracked:
            self._tracked = None
            self._had_ended = ended
            self._expect_start()

    # --- messages -----------------------------------------------------------------------

    def _handle(self, message: ClientMessage, now_us: int) -> None:
        match message:
            case Start():
                self._refuse_second_session(message)
                self.hidden_since_us = None if message.visible else now_us
                self._run_exclusive(message, self._start(message, now_us))
            case TabSwitch():
                self._engine.tab_switch(self._started(), now_us)
                self.hidden_since_us = now_us
            case Pause() | Resume():
                self._set_paused(message, now_us)
            case Stop():
                tracked = self._stopping = self._started()
                self._engine.end(tracked, message.status, now_us)
                self._run_exclusive(message, self._stop(message, tracked))

    def _refuse_second_session(self, message: Start) -> None:
        current = self._tracked
        if current is not None and str(current.tracked_id) != message.session_id:
            raise Conflict("already_tracking", "Stop the session that this connection tracks.")

    async def _start(self, message: Start, now_us: int) -> None:
        self.updates = message.updates
        try:
            async with answered_within(JOIN_WITHIN_S):
                joined = await self._service.join(
                    self, message.session_id, self._identity.user_id, now_us
                )
        except Conflict:
            self._had_ended = True
            raise
        self._had_ended = False
        self._track(joined.tracked)
        if self._left_us is not None:
            return
        self._expect_start()
        self._expect_heartbeat(message.heartbeat_seconds)
        answer = Started(
            id=message.id,
            session_id=message.session_id,
            session=joined.session,
            resumed=joined.resumed,
            idle_threshold_seconds=joined.tracked.meter.idle_after_us / 1_000_000,
            next_second_in_ms=joined.tracked.next_second_in_ms(self._clock.now_us()),
            server_time=self._server_time(),
        )
        self.push(answer.text())

    async def _stop(self, message: Stop, tracked: TrackedSession) -> None:
        ended = await self._service.end_tracked(tracked, message.status, by=self)
        if self._answering is not None:  # earlier messages are answered first
            await asyncio.wait({self._answering})
        session = ended.session
        if session.status != message.status:
            raise Conflict("session_ended", f"The session has ended ({session.status}).")
        self.push(stopped_text(ended, message.id))

    def _set_paused(self, message: Pause | Resume, now_us: int) -> None:
        tracked = self._started()
        stored = self._service.set_paused(tracked, isinstance(message, Pause), now_us, by=self)

        async def answer() -> None:
            await stored
            if tracked.ended and self._stopping is not tracked:
                raise Conflict("session_ended", f"The session has ended ({tracked.status}).")
            type_: StatusMessage = "paused" if isinstance(message, Pause) else "resumed"
            self.push(status_text(type_, tracked, self._clock, message.id))

        self._answering = asyncio.create_task(self._answered(message, answer()))
        self._service.keep(self._answering)

    def _renew(self, message: Auth) -> None:
        identity = self._tokens.verify(message.token, self._settings.now())
        if identity.user_id != self._identity.user_id:
            self._error(message.id, "wrong_subject", "The token belongs to another user.")
            self.close(CloseCode.FORBIDDEN, "the token belongs to another user")
            return
        before, self._identity = self._identity, identity
        self._registry.renewed(self, before)
        self._watch_expiry()
        answer = Authenticated(
            id=message.id, expires_at=identity.expires_at, server_time=self._server_time()
        )
        self.push(answer.text())

    # --- helpers --------------------------------------------------------------------------

    def _started(self) -> TrackedSession:
        tracked = self._tracked
        if tracked is not None and not tracked.ended:
            return tracked
        if tracked is not None or self._had_ended:
            raise Conflict("session_ended", "The session has ended.")
        raise NotFound("not_started", "Send `start` first.")

    def _untrack(self, at_us: int) -> None:
        tracked, self._tracked = self._tracked, None
        if tracked is not None:
            self._service.leave(self, tracked, at_us)

    # --- timers -----------------------------------------------------------------------------

    def _expect_heartbeat(self, every_s: float | None) -> None:
        """Watch the announced heartbeat; a later `start` may announce another."""
        self._cancel("heartbeat")
        self._heartbeat_s = every_s
        self._heard_s = self._loop.time()
        if every_s is not None:
            self._after("heartbeat", every_s * MISSED_HEARTBEATS, self._check_heartbeat)

    def _check_heartbeat(self) -> None:
        if self._heartbeat_s is None:
            return
        left_s = self._heard_s + self._heartbeat_s * MISSED_HEARTBEATS - self._loop.time()
        if left_s > 0.001:
            self._after("heartbeat", left_s, self._check_heartbeat)
        else:
            self.cut()

    def _watch_expiry(self) -> None:
        """Send `expiring` before the token expires, and close the connection when it does.

        A token that was accepted after its expiry is valid for the leeway.
        """
        left_s = (self._identity.expires_at - self._settings.now()).total_seconds()
        if left_s <= 0:
            left_s += LEEWAY_S
        self._cancel("expiry")
        self._after("expiry", max(left_s - EXPIRING_BEFORE_S, 0), self._expiring, left_s)

    def _expiring(self, left_s: float) -> None:
        self.push(Expiring(expires_at=self._identity.expires_at).text())
        self._after("expiry", min(left_s, EXPIRING_BEFORE_S), self._expired)

    def _expired(self) -> None:
        self.close(CloseCode.UNAUTHORIZED, "the token has expired")
