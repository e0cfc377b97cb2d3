"""One connection of `/ws/sessions`: what each message means in each state.

What must always hold: every message is answered or ignored by the table in
docs/protocol.md; a client that announced its heartbeat is held to it; and a token that
expires ends the connection, but no second that was earned.

Only `start` and `stop` have to wait for the database before what follows them can mean
anything.
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
from realtime.sessions.tracking import SessionService
from realtime.sockets.connection import Conversation
from realtime.sockets.registry import StatusMessage, status_text
from realtime.sockets.transport import Wire

EXPIRING_BEFORE_S = 30.0
JOIN_WITHIN_S = 10.0
"""How long `start` waits for the database before it answers with an error."""
MISSED_HEARTBEATS = 2
"""A client that announced its heartbeat and is silent for so many of them is gone."""


@dataclass(frozen=True, slots=True)
class SocketSettings:
    tokens: TokenAuthority
    now: Callable[[], datetime]
    """The wall clock, for the expiry of tokens alone."""
    start_within_s: float = 60.0


class SessionSocket(Conversation[TrackedSession]):
    def __init__(
        self, wire: Wire, identity: Identity, service: SessionService, s: SocketSettings
    ) -> None:
        super().__init__(
            wire,
            hub=service.hub,
            member=identity.user_id,
            engine=service.engine,
            clock=service.clock,
            parse=parse,
            tokens=s.tokens,
            begin_within_s=s.start_within_s,
        )
        self.updates: Updates = "tick"
        self._identity = identity
        self._service = service
        self._settings = s
        self._had_ended = False
        self._stopping: TrackedSession | None = None
        """What this connection has said `stop` for."""
        self._telling: asyncio.Task[None] | None = None
        """The answer to the latest `pause` or `resume`."""
        self._heartbeat_s: float | None = None
        self._heard_s = 0.0

    def _opened(self) -> None:
        self._watch_expiry()

    def received(self, text: str) -> None:
        if self._heartbeat_s is not None:
            self._heard_s = self._loop.time()
        super().received(text)

    def is_of(self, user_id: str) -> bool:
        return self._identity.user_id == user_id

    @property
    def identity(self) -> Identity:
        return self._identity

    def released(self, thing: Tracked, *, ended: bool) -> None:
        if self._thing is thing:
            self._thing = None
            self._had_ended = ended
            self._expect_begin()

    # --- messages -----------------------------------------------------------------------

    def _act(self, message: ClientMessage, now_us: int) -> None:
        match message:
            case Start():
                self._refuse_another(message)
                self.hidden_since_us = None if message.visible else now_us
                self._occupy(message, self._start(message, now_us))
            case TabSwitch():
                self._engine.tab_switch(self._started(), now_us)
                self.hidden_since_us = now_us
            case Pause() | Resume():
                self._set_paused(message, now_us)
            case Stop():
                thing = self._stopping = self._started()
                self._engine.end(thing, message.status, now_us)
                self._occupy(message, self._stop(message, thing))

    def _refuse_another(self, message: Start) -> None:
        current = self._thing
        if current is not None and str(current.thing_id) != message.session_id:
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
        self._adopt(joined.thing)
        if self._left_us is not None:
            return
        self._expect_begin()
        self._expect_heartbeat(message.heartbeat_seconds)
        answer = Started(
            id=message.id,
            session_id=message.session_id,
            session=joined.session,
            resumed=joined.resumed,
            idle_threshold_seconds=joined.thing.meter.idle_after_us / 1_000_000,
            next_second_in_ms=joined.thing.next_second_in_ms(self._clock.now_us()),
            server_time=self._server_time(),
        )
        self.push(answer.text())

    async def _stop(self, message: Stop, thing: TrackedSession) -> None:
        ended = await self._service.end_tracked(thing, message.status, by=self)
        if self._telling is not None:  # what came before it is answered before it
            await asyncio.wait({self._telling})
        session = ended.session
        if session.status != message.status:
            raise Conflict("session_ended", f"The session has ended ({session.status}).")
        self.push(stopped_text(ended, message.id))

    def _set_paused(self, message: Pause | Resume, now_us: int) -> None:
        thing = self._started()
        stored = self._service.set_paused(thing, isinstance(message, Pause), now_us, by=self)

        async def tell() -> None:
            await stored
            if thing.ended and self._stopping is not thing:
                raise Conflict("session_ended", f"The session has ended ({thing.status}).")
            type_: StatusMessage = "paused" if isinstance(message, Pause) else "resumed"
            self.push(status_text(type_, thing, self._clock, message.id))

        self._telling = asyncio.create_task(self._answered(message, tell()))
        self._service.keep(self._telling)

    def _renew(self, message: Auth) -> None:
        identity = self._tokens.verify(message.token, self._settings.now())
        if identity.user_id != self._identity.user_id:
            self._error(message.id, "wrong_subject", "The token is for somebody else.")
            self.close(CloseCode.FORBIDDEN, "the token is for somebody else")
            return
        before, self._identity = self._identity, identity
        self._hub.renewed(self, before)
        self._watch_expiry()
        answer = Authenticated(
            id=message.id, expires_at=identity.expires_at, server_time=self._server_time()
        )
        self.push(answer.text())

    # --- helpers --------------------------------------------------------------------------

    def _started(self) -> TrackedSession:
        thing = self._thing
        if thing is not None and not thing.ended:
            return thing
        if thing is not None or self._had_ended:
            raise Conflict("session_ended", "The session has ended.")
        raise NotFound("not_started", "Send `start` first.")

    def _let_go(self, at_us: int) -> None:
        thing, self._thing = self._thing, None
        if thing is not None:
            self._service.leave(self, thing, at_us)

    # --- timers -----------------------------------------------------------------------------

    def _expect_heartbeat(self, every_s: float | None) -> None:
        """Hold the client to what it announced; a later `start` may announce otherwise."""
        self._cancel("heartbeat")
        self._heartbeat_s = every_s
        self._heard_s = self._loop.time()
        if every_s is not None:
            self._after("heartbeat", every_s * MISSED_HEARTBEATS, self._listen_for_heartbeat)

    def _listen_for_heartbeat(self) -> None:
        if self._heartbeat_s is None:
            return
        left_s = self._heard_s + self._heartbeat_s * MISSED_HEARTBEATS - self._loop.time()
        if left_s > 0.001:
            self._after("heartbeat", left_s, self._listen_for_heartbeat)
        else:
            self.cut()

    def _watch_expiry(self) -> None:
        """Warn before the token expires, and close when it does.

        A token that is accepted although its time is over lives on for the leeway.
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
