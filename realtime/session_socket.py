"""One connection of `/ws/sessions`: what each message means in each state.

What must always hold: messages take effect in the order and at the moment in which they
were read; every message is answered or ignored by the table in docs/protocol.md; whatever
happens to the connection, it stops tracking at once; and nothing a client sends can raise
out of here.

Only `start` and `stop` have to wait for the database before what follows them can mean
anything; messages that come meanwhile wait, except those that need no session.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from models.errors import Conflict, DomainError, NotFound, StorageUnavailable
from models.storage import answered_within, translated
from models.tokens import LEEWAY_S, Identity, TokenAuthority
from realtime.close_codes import CloseCode
from realtime.endings import stopped_text
from realtime.hub import counts
from realtime.messages import (
    Activity,
    Auth,
    Malformed,
    Message,
    Pause,
    Ping,
    Resume,
    Start,
    Stop,
    TabSwitch,
    Updates,
    encode,
    error_message,
    parse,
    timestamp,
)
from realtime.service import SessionService
from realtime.tracked import RUNNING, Tracked, TrackedSession
from realtime.wire import Wire

MALFORMED_LIMIT = 10
"""Malformed messages in a row after which the connection is closed with 4400."""
FLOOD_PER_S = 50
FLOOD_BURST = 200
"""Messages other than `activity`: so many at once, so many a second after that."""
INBOX_MESSAGES = 64
"""How many may wait for a `start` or a `stop` before them."""
EXPIRING_BEFORE_S = 30.0
JOIN_WITHIN_S = 10.0
"""How long `start` waits for the database before it answers with an error."""
MISSED_HEARTBEATS = 2
"""A client that announced its heartbeat and is silent for so many of them is gone."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SocketSettings:
    tokens: TokenAuthority
    now: Callable[[], datetime]
    """The wall clock, for the expiry of tokens alone."""
    start_within_s: float = 60.0


class SessionSocket:
    """A viewer (see `realtime.tracked`) with a client behind it."""

    def __init__(
        self, wire: Wire, identity: Identity, service: SessionService, s: SocketSettings
    ) -> None:
        self.updates: Updates = "tick"
        self.push = wire.push
        self.push_count = wire.push_count
        self.cut = wire.cut
        self._wire = wire
        self._identity = identity
        self._service = service
        self._settings = s
        self._loop = asyncio.get_running_loop()
        self._thing: TrackedSession | None = None
        self._had_ended = False
        self._left_us: int | None = None
        """When it was closed or lost; nothing is tracked from then on."""
        self._busy: asyncio.Task[None] | None = None
        """A `start` or `stop` under way; what needs it waits in the inbox."""
        self._inbox: deque[tuple[Message, int]] = deque()
        self._sign_us: int | None = None
        """The latest activity read while a `start` is under way."""
        self._malformed = 0
        self._allowance = float(FLOOD_BURST)
        self._allowance_at_us = service.clock.now_us()
        self._heartbeat_s: float | None = None
        self._heard_s = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def open(self) -> None:
        """Serve the connection from now on, or turn it away."""
        self._wire.listen(self)
        refused = self._service.hub.admit(self, self._identity.user_id)
        if refused is not None:
            self.close(refused, "too many connections")
            return
        self._expect_start()
        self._watch_expiry()

    # --- as a viewer ------------------------------------------------------------------

    def close(self, code: CloseCode, reason: str) -> None:
        self._leave()
        self._wire.close(code, reason)

    def released(self, thing: Tracked, *, ended: bool) -> None:
        if self._thing is thing:
            self._thing = None
            self._had_ended = ended
            self._expect_start()

    # --- as a listener ------------------------------------------------------------------

    def gone(self) -> None:
        self._leave()
        self._service.hub.dismiss(self, self._identity.user_id)

    def received(self, text: str) -> None:
        if self._left_us is not None:
            return
        now_us = self._service.clock.now_us()
        message = parse(text)
        if self._heartbeat_s is not None:
            self._heard_s = self._loop.time()
        if isinstance(message, Activity):
            if self._busy is not None:
                self._sign_us = now_us
            elif self._thing is not None:
                self._service.engine.activity(self._thing, now_us)
        elif not self._within_allowance(now_us):
            self.close(CloseCode.TOO_MANY, "too many messages")
        elif isinstance(message, Malformed):
            self._refuse_malformed(message)
        else:
            self._malformed = 0
            self._take(message, now_us)

    # --- messages -----------------------------------------------------------------------

    def _take(self, message: Message, now_us: int) -> None:
        """Obey a message now, or when what it has to wait for is over."""
        if self._busy is None or isinstance(message, Ping | Auth):
            self._obey(message, now_us)
        elif len(self._inbox) < INBOX_MESSAGES:
            self._inbox.append((message, now_us))
        else:
            self.close(CloseCode.TOO_MANY, "too many messages")

    def _obey(self, message: Message, now_us: int) -> None:
        try:
            match message:
                case Start():
                    self._refuse_another(message)
                    self._occupy(message, self._start(message, now_us))
                case TabSwitch():
                    self._service.engine.tab_switch(self._started(), now_us)
                case Pause() | Resume():
                    self._set_paused(message, now_us)
                case Stop():
                    thing = self._started()
                    self._service.engine.end(thing, message.status, now_us)
                    self._occupy(message, self._stop(message, thing))
                case Auth():
                    self._renew(message)
                case Ping():
                    self._reply("pong", message)
        except DomainError as error:
            self._refuse(message, error)
        except Exception:
            self._fail()

    def _occupy(self, message: Message, work: Coroutine[Any, Any, None]) -> None:
        """Let what comes next wait until this is done."""
        self._busy = asyncio.create_task(self._attend(message, work))

    async def _attend(self, message: Message, work: Coroutine[Any, Any, None]) -> None:
        await self._answered(message, work)
        self._busy = None
        while self._inbox and self._busy is None:
            self._obey(*self._inbox.popleft())
        if self._left_us is not None and self._busy is None:
            self._let_go(self._left_us)

    async def _answered(self, message: Message, work: Coroutine[Any, Any, None]) -> None:
        try:
            with translated():
                await work
        except DomainError as error:
            self._refuse(message, error)
        except Exception:
            self._fail()

    def _fail(self) -> None:
        log.exception("socket_failed")
        self.close(CloseCode.OUR_BUG, "internal error")

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
        self._thing = thing = joined.thing
        self._had_ended = False
        if self._sign_us is not None:
            self._service.engine.activity(thing, self._sign_us)
            self._sign_us = None
        if self._left_us is not None:
            return
        self._expect_start()
        self._expect_heartbeat(message.heartbeat_seconds)
        self._reply(
            "started",
            message,
            sessionId=message.session_id,
            session=joined.session.model_dump(mode="json"),
            resumed=joined.resumed,
            idleThresholdSeconds=self._service.idle_after_s,
            nextSecondInMs=self._next_second_in_ms(thing),
        )

    async def _stop(self, message: Stop, thing: TrackedSession) -> None:
        session = await self._service.end_tracked(thing, message.status, by=self)
        if session.status != message.status:
            raise Conflict("session_ended", f"The session has ended ({session.status}).")
        self.push(stopped_text(session, message.id))

    def _set_paused(self, message: Pause | Resume, now_us: int) -> None:
        thing = self._started()
        stored = self._service.set_paused(thing, isinstance(message, Pause), now_us, by=self)

        async def tell() -> None:
            await stored
            if thing.ended:
                raise Conflict("session_ended", f"The session has ended ({thing.status}).")
            fields = counts(thing)
            if isinstance(message, Resume):
                fields["nextSecondInMs"] = self._next_second_in_ms(thing)
            self._reply("paused" if isinstance(message, Pause) else "resumed", message, **fields)

        self._service.keep(asyncio.create_task(self._answered(message, tell())))

    def _renew(self, message: Auth) -> None:
        identity = self._settings.tokens.verify(message.token, self._settings.now())
        if identity.user_id != self._identity.user_id:
            self._error(message.id, "wrong_subject", "The token is for somebody else.")
            self.close(CloseCode.FORBIDDEN, "the token is for somebody else")
            return
        self._identity = identity
        self._watch_expiry()
        self._reply("authenticated", message, expiresAt=timestamp(identity.expires_at))

    def _refuse_malformed(self, message: Malformed) -> None:
        self._malformed += 1
        self._error(message.id, message.code, message.message)
        if self._malformed >= MALFORMED_LIMIT:
            self.close(CloseCode.MALFORMED, "too many malformed messages")

    def _refuse(self, message: Message, error: DomainError) -> None:
        retryable = isinstance(error, StorageUnavailable)
        self._error(message.id, error.code, error.message, retryable=retryable)

    # --- helpers --------------------------------------------------------------------------

    def _started(self) -> TrackedSession:
        thing = self._thing
        if thing is not None and not thing.ended:
            return thing
        if thing is not None or self._had_ended:
            raise Conflict("session_ended", "The session has ended.")
        raise NotFound("not_started", "Send `start` first.")

    def _leave(self) -> None:
        if self._left_us is not None:
            return
        self._left_us = self._service.clock.now_us()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._let_go(self._left_us)  # what a `start` under way attaches is let go after it

    def _let_go(self, at_us: int) -> None:
        thing, self._thing = self._thing, None
        if thing is not None:
            self._service.leave(self, thing, at_us)

    def _next_second_in_ms(self, thing: TrackedSession) -> int | None:
        due_us = thing.meter.due_at_us
        if thing.status != RUNNING or due_us is None:
            return None
        return max(0, (due_us - self._service.clock.now_us()) // 1000)

    def _reply(self, type_: str, to: Message, **fields: object) -> None:
        clock = self._service.clock
        server_time = timestamp(clock.wall(clock.now_us()))
        self.push(encode(type_, to.id, **fields, serverTime=server_time))

    def _error(
        self, id_: str | int | None, code: str, message: str, *, retryable: bool = False
    ) -> None:
        self.push(error_message(id_, code, message, retryable=retryable))

    def _within_allowance(self, now_us: int) -> bool:
        gained = (now_us - self._allowance_at_us) * FLOOD_PER_S / 1_000_000
        self._allowance = min(self._allowance + gained, FLOOD_BURST) - 1
        self._allowance_at_us = now_us
        return self._allowance >= 0

    # --- timers -----------------------------------------------------------------------------

    def _expect_start(self) -> None:
        """Close with 4408 unless something is tracked in time."""
        self._cancel("start")
        if self._thing is None and self._left_us is None:
            self._after("start", self._settings.start_within_s, self._nothing_started)

    def _nothing_started(self) -> None:
        self.close(CloseCode.NOTHING_STARTED, "nothing was started in time")

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
        self.push(encode("expiring", expiresAt=timestamp(self._identity.expires_at)))
        self._after("expiry", min(left_s, EXPIRING_BEFORE_S), self._expired)

    def _expired(self) -> None:
        self.close(CloseCode.UNAUTHORIZED, "the token has expired")

    def _after(self, name: str, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        # The loop can't look years ahead; a token that lives that long needs no timer.
        if delay_s < 365 * 86_400:
            self._timers[name] = self._loop.call_later(delay_s, callback, *args)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
