"""Serve one connection of either socket, whatever its messages mean.

Invariants:

- Messages take effect in the order and at the moment in which they were read. While work that
  waits for the database is under way, messages that need its outcome wait in a bounded inbox.
- From the moment at which a connection is closed or lost it tracks nothing.
- No message of a client can raise out of this module.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Generic, Literal

import structlog
from structlog.contextvars import bind_contextvars

from models.base.driver_errors import translated
from models.base.errors import DomainError, StorageUnavailable
from models.tokens.access_tokens import Identity, TokenAuthority
from realtime.engine.clock import Clock
from realtime.engine.engine import Engine
from realtime.engine.metrics import SocketState
from realtime.engine.tracked import T, Tracked
from realtime.protocol.client_messages import Activity, Auth, ClientMessage, Malformed, Ping
from realtime.protocol.close_codes import CloseCode
from realtime.protocol.server_messages import Error, Pong
from realtime.sockets.registry import Registry
from realtime.sockets.token_bucket import TokenBucket
from realtime.sockets.transport import SocketTransport

MALFORMED_LIMIT = 10
"""Malformed messages in a row after which the connection is closed with 4400."""
FLOOD_PER_S = 50
FLOOD_BURST = 200
"""Limits of messages other than `activity`, a second and at once."""
INBOX_MESSAGES = 64
"""How many messages may wait for the work under way."""

log = structlog.get_logger(__name__)


class SocketConnection(ABC, Generic[T]):
    """A viewer (`realtime.engine.tracked`) that is a client's connection.

    Subclasses give the messages their meaning (`_handle`).
    """

    updates: Literal["tick", "change", "none"]

    def __init__(
        self,
        wire: SocketTransport,
        *,
        registry: Registry,
        member: str,
        engine: Engine[T],
        clock: Clock,
        parse: Callable[[str], ClientMessage | Malformed],
        tokens: TokenAuthority,
        start_within_s: float,
    ) -> None:
        self.push = wire.push
        self.push_count = wire.push_count
        self.cut = wire.cut
        self._wire = wire
        self._registry = registry
        self._member = member
        self._engine = engine
        self._clock = clock
        self._parse = parse
        self._tokens = tokens
        self._start_within_s = start_within_s
        self._loop = asyncio.get_running_loop()
        self._tracked: T | None = None
        self._left_us: int | None = None
        """When the connection was closed or lost."""
        self._busy: asyncio.Task[None] | None = None
        """The work under way, for whose outcome the inbox waits."""
        self._renewing: asyncio.Task[None] | None = None
        """The fetching of a fresh token's key; another such token is refused in the meantime."""
        self._inbox: deque[tuple[ClientMessage, int]] = deque()
        self._sign_us: int | None = None
        """The latest activity that was read while work was under way."""
        self.hidden_since_us: int | None = None
        """When the page was hidden; None while it is visible."""
        self._malformed = 0
        self._messages_left = TokenBucket(FLOOD_BURST, FLOOD_PER_S, clock.now_us() / 1_000_000)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._state: SocketState | None = None
        """The state in the metrics; None before the connection is open and after it is gone."""

    def open(self) -> None:
        """Serve the connection from now on, or close it if there are too many."""
        self._wire.listen(self)
        self._enter("waiting")
        refused = self._registry.admit(self, self._member)
        if refused is not None:
            self.close(refused, "too many connections")
            return
        self._expect_start()
        self._opened()

    # --- subclass hooks -----------------------------------------------------------------

    def _opened(self) -> None:
        """Act on the admission of the connection."""

    @abstractmethod
    def _handle(self, message: ClientMessage, now_us: int) -> None:
        """Carry a message out; a DomainError becomes an `error` message."""

    @abstractmethod
    def _renew(self, message: Auth) -> None:
        """Use a fresh token, or refuse it."""

    @abstractmethod
    def _untrack(self, at_us: int) -> None:
        """Track nothing from `at_us` on; may be called more than once."""

    @abstractmethod
    def is_of(self, user_id: str) -> bool:
        """Return whether the connection belongs to this user."""

    @property
    @abstractmethod
    def identity(self) -> Identity | None:
        """The identity of the latest token; None without one."""

    @abstractmethod
    def released(self, tracked: Tracked, *, ended: bool) -> None:
        """Note that the item is no longer tracked."""

    # --- viewer -----------------------------------------------------------------------

    def close(self, code: CloseCode, reason: str) -> None:
        """Track nothing from now on, send the waiting texts, then close."""
        self._stop_tracking()
        self._wire.close(code, reason)

    # --- listener -----------------------------------------------------------------------

    def gone(self) -> None:
        """Note that the connection has ended."""
        self._stop_tracking()
        self._enter(None)
        self._registry.dismiss(self, self._member)

    def received(self, text: str) -> None:
        """Handle a text of the client. Never raises."""
        if self._left_us is not None:
            return
        now_us = self._clock.now_us()
        message = self._parse(text)
        if isinstance(message, Activity):
            self.hidden_since_us = None
            if self._busy is not None:
                self._sign_us = now_us
            elif self._tracked is not None:
                self._engine.activity(self._tracked, now_us)
        elif not self._messages_left.take(now_us / 1_000_000):
            self.close(CloseCode.TOO_MANY, "too many messages")
        elif isinstance(message, Malformed):
            self._refuse_malformed(message)
        else:
            self._malformed = 0
            self._enqueue(message, now_us)

    # --- messages -----------------------------------------------------------------------

    def _enqueue(self, message: ClientMessage, now_us: int) -> None:
        """Dispatch a message now, or after the work under way."""
        if self._busy is None or isinstance(message, Ping | Auth):
            self._dispatch(message, now_us)
        elif len(self._inbox) < INBOX_MESSAGES:
            self._inbox.append((message, now_us))
        else:
            self.close(CloseCode.TOO_MANY, "too many messages")

    def _dispatch(self, message: ClientMessage, now_us: int) -> None:
        try:
            match message:
                case Auth() if self._tokens.lacks_key(message.token) and not self._renewing:
                    work = self._answered(message, self._learn_and_renew(message))
                    self._renewing = asyncio.create_task(work)
                case Auth():
                    self._renew(message)
                case Ping():
                    self.push(Pong(id=message.id, server_time=self._server_time()).text())
                case _:
                    self._handle(message, now_us)
        except DomainError as error:
            self._refuse(message, error)
        except Exception:
            self._fail()

    def _run_exclusive(self, message: ClientMessage, work: Coroutine[Any, Any, None]) -> None:
        """Start work for which later messages wait."""
        self._busy = asyncio.create_task(self._drain(message, work))

    async def _drain(self, message: ClientMessage, work: Coroutine[Any, Any, None]) -> None:
        await self._answered(message, work)
        self._busy = None
        while self._inbox and self._busy is None:
            self._dispatch(*self._inbox.popleft())
        if self._left_us is not None and self._busy is None:
            self._untrack(self._left_us)
        self._update_state()

    async def _answered(self, message: ClientMessage, work: Coroutine[Any, Any, None]) -> None:
        # For everything that this task logs.
        bind_contextvars(connection=self._wire.connection_id)
        try:
            with translated():
                await work
        except DomainError as error:
            self._refuse(message, error)
        except Exception:
            self._fail()

    async def _learn_and_renew(self, message: Auth) -> None:
        try:
            await self._tokens.learn_key(message.token)
        finally:
            self._renewing = None
        if self._left_us is None:
            self._renew(message)

    def _fail(self) -> None:
        log.exception("socket_failed", connection=self._wire.connection_id)
        self.close(CloseCode.OUR_BUG, "internal error")

    def _refuse_malformed(self, message: Malformed) -> None:
        self._malformed += 1
        self._error(message.id, message.code, message.message)
        if self._malformed >= MALFORMED_LIMIT:
            self.close(CloseCode.MALFORMED, "too many malformed messages")

    def _refuse(self, message: ClientMessage, error: DomainError) -> None:
        retryable = isinstance(error, StorageUnavailable)
        self._error(message.id, error.code, error.message, retryable=retryable)

    def _error(
        self, id_: str | int | None, code: str, message: str, *, retryable: bool = False
    ) -> None:
        self.push(Error(id=id_, code=code, message=message, retryable=retryable).text())

    # --- helpers --------------------------------------------------------------------------

    def _track(self, tracked: T) -> None:
        """Track an item from now on, with the activity that was read during its claim."""
        self._tracked = tracked
        if self._sign_us is not None:
            self._engine.activity(tracked, self._sign_us)
            self._sign_us = None

    def _server_time(self) -> datetime:
        return self._clock.wall(self._clock.now_us())

    def _stop_tracking(self) -> None:
        if self._left_us is not None:
            return
        self._left_us = self._clock.now_us()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._update_state()
        self._untrack(self._left_us)  # work under way untracks again when it ends

    def _update_state(self) -> None:
        if self._state is None:
            return
        if self._left_us is not None:
            self._enter("closing")
        else:
            self._enter("waiting" if self._tracked is None else "tracking")

    def _enter(self, state: SocketState | None) -> None:
        if state != self._state:
            self._registry.figures.moved(self._state, state)
            self._state = state

    # --- timers -----------------------------------------------------------------------------

    def _expect_start(self) -> None:
        """Close with 4408 unless a session or view starts in time."""
        self._cancel("start")
        self._update_state()
        if self._tracked is None and self._left_us is None:
            self._after("start", self._start_within_s, self._close_unstarted)

    def _close_unstarted(self) -> None:
        self.close(CloseCode.NOTHING_STARTED, "nothing was started in time")

    def _after(self, name: str, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        # The event loop takes no delay of years; a token that lives so long needs no timer.
        if delay_s < 365 * 86_400:
            self._timers[name] = self._loop.call_later(delay_s, callback, *args)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
