"""One connection of `/ws/sessions`: what each message means in each state.

What must always hold: messages are taken one after the other, in order; every message is
answered or ignored by the table in docs/protocol.md; whatever happens to the connection,
it stops tracking at once; and nothing a client sends can raise out of here.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from models.errors import Conflict, DomainError, NotFound, StorageUnavailable
from models.storage import answered_within, translated
from models.tokens import LEEWAY_S, Identity, TokenAuthority
from realtime.close_codes import CloseCode
from realtime.connection import CLOSE_GRACE_S, Connection, Transport
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
from realtime.tracked import RUNNING, Tracked

MALFORMED_LIMIT = 10
"""Malformed messages in a row after which the connection is closed with 4400."""
FLOOD_PER_S = 50
FLOOD_BURST = 200
"""Messages other than `activity`: so many at once, so many a second after that."""
EXPIRING_BEFORE_S = 30.0
JOIN_WITHIN_S = 10.0
"""How long `start` waits for the database before it answers with an error."""

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
        self, transport: Transport, identity: Identity, service: SessionService, s: SocketSettings
    ) -> None:
        self.updates: Updates = "tick"
        self._transport = transport
        self._connection = Connection(transport, on_overflow=self._overflowed)
        self._identity = identity
        self._service = service
        self._settings = s
        self._thing: Tracked | None = None
        self._had_ended = False
        self._malformed = 0
        self._allowance = float(FLOOD_BURST)
        self._allowance_at_us = service.clock.now_us()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # --- as a viewer ------------------------------------------------------------------

    def push(self, text: str) -> None:
        self._connection.push(text)

    def push_count(self, text: str) -> None:
        self._connection.push_count(text)

    def close(self, code: CloseCode, reason: str) -> None:
        self._leave()
        self._connection.close(code, reason)

    def released(self, thing: Tracked, *, ended: bool) -> None:
        if self._thing is thing:
            self._thing = None
            self._had_ended = ended
            self._expect_start()

    # --- life ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the connection until it goes or is closed."""
        hub, user_id = self._service.hub, self._identity.user_id
        writer = asyncio.create_task(self._connection.write())
        reader = asyncio.create_task(self._read())
        closing = asyncio.create_task(self._connection.closing_asked.wait())
        try:
            refused = hub.admit(self, user_id)
            if refused is not None:
                self.close(refused, "too many connections")
            else:
                self._expect_start()
                self._watch_expiry()
            await asyncio.wait([reader, writer, closing], return_when=asyncio.FIRST_COMPLETED)
            if closing.done() and not reader.done():
                # A peer that reads gets what waits and our close, and may answer it.
                self._leave()
                await asyncio.wait([writer], timeout=CLOSE_GRACE_S)
                await asyncio.wait([reader], timeout=CLOSE_GRACE_S)
        finally:
            self._obey_last_stop()
            self._leave()
            hub.dismiss(self, user_id)
            for timer in self._timers.values():
                timer.cancel()
            for task in (reader, writer, closing):
                task.cancel()
            await asyncio.gather(reader, writer, closing, return_exceptions=True)

    def _obey_last_stop(self) -> None:
        """A page that stops and closes at once means it, though we were still busy with a
        message before."""
        thing = self._thing
        if thing is None or self._connection.closing:
            return
        for data in self._transport.unread():
            message = parse(data) if isinstance(data, str) else None
            if isinstance(message, Stop):
                self._service.end_soon(thing, message.status)
                return

    async def _read(self) -> None:
        while True:
            data = await self._transport.receive()
            if self._connection.closing:
                continue
            if not isinstance(data, str):
                self.close(CloseCode.NOT_TEXT, "text frames only")
                continue
            try:
                await self._handle(parse(data))
                if self._connection.waiting:
                    await asyncio.sleep(0)  # let the writer have its turn
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("socket_failed")
                self.close(CloseCode.OUR_BUG, "internal error")

    # --- messages -----------------------------------------------------------------------

    async def _handle(self, message: Message | Malformed) -> None:
        if isinstance(message, Activity):
            if self._thing is not None:
                self._service.engine.activity(self._thing, self._service.clock.now_us())
            return
        if not self._within_allowance():
            self.close(CloseCode.TOO_MANY, "too many messages")
            return
        if isinstance(message, Malformed):
            self._refuse_malformed(message)
            return
        self._malformed = 0
        try:
            with translated():
                await self._obey(message)
        except DomainError as error:
            retryable = isinstance(error, StorageUnavailable)
            self._error(message.id, error.code, error.message, retryable=retryable)

    async def _obey(self, message: Message) -> None:
        match message:
            case Start():
                await self._start(message)
            case TabSwitch():
                thing = self._started()
                self._service.engine.tab_switch(thing, self._service.clock.now_us())
            case Pause() | Resume():
                await self._set_paused(message)
            case Stop():
                session = await self._service.end_tracked(self._started(), message.status, by=self)
                if session.status != message.status:
                    raise Conflict("session_ended", f"The session has ended ({session.status}).")
                self.push(stopped_text(session, message.id))
            case Auth():
                self._renew(message)
            case Ping():
                self._reply("pong", message)
            case Activity():
                raise AssertionError("taken before")

    async def _start(self, message: Start) -> None:
        now_us = self._service.clock.now_us()
        current = self._thing
        if current is not None and str(current.thing_id) != message.session_id:
            raise Conflict("already_tracking", "Stop the session that this connection tracks.")
        self.updates = message.updates
        try:
            async with answered_within(JOIN_WITHIN_S):
                joined = await self._service.join(
                    self, message.session_id, self._identity.user_id, now_us
                )
        except Conflict:
            self._had_ended = True
            raise
        if self._connection.closing:  # closed while we waited for the database
            self._service.leave(self, joined.thing)
            return
        self._thing = thing = joined.thing
        self._had_ended = False
        self._expect_start()
        self._reply(
            "started",
            message,
            sessionId=message.session_id,
            session=joined.session.model_dump(mode="json"),
            resumed=joined.resumed,
            idleThresholdSeconds=self._service.idle_after_s,
            nextSecondInMs=self._next_second_in_ms(thing),
        )

    async def _set_paused(self, message: Pause | Resume) -> None:
        thing = self._started()
        paused = isinstance(message, Pause)
        await self._service.set_paused(thing, paused, by=self)
        if thing.ended:
            raise Conflict("session_ended", f"The session has ended ({thing.status}).")
        fields = counts(thing)
        if not paused:
            fields["nextSecondInMs"] = self._next_second_in_ms(thing)
        self._reply("paused" if paused else "resumed", message, **fields)

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

    # --- helpers --------------------------------------------------------------------------

    def _started(self) -> Tracked:
        thing = self._thing
        if thing is not None and not thing.ended:
            return thing
        if thing is not None or self._had_ended:
            raise Conflict("session_ended", "The session has ended.")
        raise NotFound("not_started", "Send `start` first.")

    def _overflowed(self) -> None:
        # Not at once: whoever pushes goes through the viewers that leaving would change.
        asyncio.get_running_loop().call_soon(self._leave)

    def _leave(self) -> None:
        thing, self._thing = self._thing, None
        if thing is not None:
            self._service.leave(self, thing)

    def _next_second_in_ms(self, thing: Tracked) -> int | None:
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

    def _within_allowance(self) -> bool:
        now_us = self._service.clock.now_us()
        gained = (now_us - self._allowance_at_us) * FLOOD_PER_S / 1_000_000
        self._allowance = min(self._allowance + gained, FLOOD_BURST) - 1
        self._allowance_at_us = now_us
        return self._allowance >= 0

    # --- timers -----------------------------------------------------------------------------

    def _expect_start(self) -> None:
        """Close with 4408 unless something is tracked in time."""
        self._cancel("start")
        if self._thing is None:
            self._after("start", self._settings.start_within_s, self._nothing_started)

    def _nothing_started(self) -> None:
        self.close(CloseCode.NOTHING_STARTED, "nothing was started in time")

    def _watch_expiry(self) -> None:
        """Warn before the token expires, and close when it does.

        A token that is accepted although its time is over lives on for the leeway.
        """
        left_s = (self._identity.expires_at - self._settings.now()).total_seconds()
        if left_s <= 0:
            left_s += LEEWAY_S
        self._cancel("expiring")
        self._after("expiring", max(left_s - EXPIRING_BEFORE_S, 0), self._expiring)
        self._cancel("expired")
        self._after("expired", left_s, self._expired)

    def _expiring(self) -> None:
        self.push(encode("expiring", expiresAt=timestamp(self._identity.expires_at)))

    def _expired(self) -> None:
        self.close(CloseCode.UNAUTHORIZED, "the token has expired")

    def _after(self, name: str, delay_s: float, callback: Callable[[], None]) -> None:
        # The loop can't look years ahead; a token that lives that long needs no timer.
        with contextlib.suppress(OverflowError):
            self._timers[name] = asyncio.get_running_loop().call_later(
                min(delay_s, 365 * 86_400), callback
            )

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
