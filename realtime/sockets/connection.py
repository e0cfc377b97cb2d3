"""What each of our sockets does, whatever its messages mean.

What must always hold: messages take effect in the order and at the moment in which they
were read; while something that has to wait for the database is under way, what needs its
outcome waits, in a bounded inbox; whatever happens to the connection, it tracks nothing
from that moment on; and nothing a client sends can raise out of here.
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
"""Messages other than `activity`: so many at once, so many a second after that."""
INBOX_MESSAGES = 64
"""How many may wait for what is under way."""

log = structlog.get_logger(__name__)


class SocketConnection(ABC, Generic[T]):
    """A viewer (see `realtime.engine.tracked`) with a client behind it.

    `member` is who counts as one in the registry.
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
        begin_within_s: float,
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
        self._begin_within_s = begin_within_s
        self._loop = asyncio.get_running_loop()
        self._thing: T | None = None
        self._left_us: int | None = None
        """When it was closed or lost; nothing is tracked from then on."""
        self._busy: asyncio.Task[None] | None = None
        """What is under way; what needs its outcome waits in the inbox."""
        self._renewing: asyncio.Task[None] | None = None
        """A fresh token whose key is looked for; another of that kind is refused meanwhile."""
        self._inbox: deque[tuple[ClientMessage, int]] = deque()
        self._sign_us: int | None = None
        """The latest activity read meanwhile."""
        self.hidden_since_us: int | None = None
        """When the user left the page, or None while the page is in front of the user."""
        self._malformed = 0
        self._allowance = TokenBucket(FLOOD_BURST, FLOOD_PER_S, clock.now_us() / 1_000_000)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._state: SocketState | None = None
        """As it is counted in the figures; None before it is opened and when it is gone."""

    def open(self) -> None:
        """Serve the connection from now on, or turn it away."""
        self._wire.listen(self)
        self._enter("waiting")
        refused = self._registry.admit(self, self._member)
        if refused is not None:
            self.close(refused, "too many connections")
            return
        self._expect_begin()
        self._opened()

    # --- for heirs ----------------------------------------------------------------------

    def _opened(self) -> None:
        """It was admitted."""

    @abstractmethod
    def _act(self, message: ClientMessage, now_us: int) -> None:
        """Do what the message says; may raise DomainError, which its sender is told."""

    @abstractmethod
    def _renew(self, message: Auth) -> None:
        """Take the fresh token, or refuse it."""

    @abstractmethod
    def _let_go(self, at_us: int) -> None:
        """Track nothing any more since `at_us`. May be called again."""

    @abstractmethod
    def is_of(self, user_id: str) -> bool:
        """Whether this user is at the other end."""

    @property
    @abstractmethod
    def identity(self) -> Identity | None:
        """Whose token was given last; None if there was none."""

    @abstractmethod
    def released(self, tracked: Tracked, *, ended: bool) -> None: ...

    # --- as a viewer ------------------------------------------------------------------

    def close(self, code: CloseCode, reason: str) -> None:
        self._leave()
        self._wire.close(code, reason)

    # --- as a listener ------------------------------------------------------------------

    def gone(self) -> None:
        self._leave()
        self._enter(None)
        self._registry.dismiss(self, self._member)

    def received(self, text: str) -> None:
        if self._left_us is not None:
            return
        now_us = self._clock.now_us()
        message = self._parse(text)
        if isinstance(message, Activity):
            self.hidden_since_us = None
            if self._busy is not None:
                self._sign_us = now_us
            elif self._thing is not None:
                self._engine.activity(self._thing, now_us)
        elif not self._allowance.take(now_us / 1_000_000):
            self.close(CloseCode.TOO_MANY, "too many messages")
        elif isinstance(message, Malformed):
            self._refuse_malformed(message)
        else:
            self._malformed = 0
            self._take(message, now_us)

    # --- messages -----------------------------------------------------------------------

    def _take(self, message: ClientMessage, now_us: int) -> None:
        """Obey a message now, or when what it has to wait for is over."""
        if self._busy is None or isinstance(message, Ping | Auth):
            self._obey(message, now_us)
        elif len(self._inbox) < INBOX_MESSAGES:
            self._inbox.append((message, now_us))
        else:
            self.close(CloseCode.TOO_MANY, "too many messages")

    def _obey(self, message: ClientMessage, now_us: int) -> None:
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
                    self._act(message, now_us)
        except DomainError as error:
            self._refuse(message, error)
        except Exception:
            self._fail()

    def _occupy(self, message: ClientMessage, work: Coroutine[Any, Any, None]) -> None:
        """Let what comes next wait until this is done."""
        self._busy = asyncio.create_task(self._attend(message, work))

    async def _attend(self, message: ClientMessage, work: Coroutine[Any, Any, None]) -> None:
        await self._answered(message, work)
        self._busy = None
        while self._inbox and self._busy is None:
            self._obey(*self._inbox.popleft())
        if self._left_us is not None and self._busy is None:
            self._let_go(self._left_us)
        self._show_state()

    async def _answered(self, message: ClientMessage, work: Coroutine[Any, Any, None]) -> None:
        # Of all that is logged in this task.
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

    def _adopt(self, tracked: T) -> None:
        """Track this from now on, with the sign that was read while it was on its way."""
        self._thing = tracked
        if self._sign_us is not None:
            self._engine.activity(tracked, self._sign_us)
            self._sign_us = None

    def _server_time(self) -> datetime:
        return self._clock.wall(self._clock.now_us())

    def _leave(self) -> None:
        if self._left_us is not None:
            return
        self._left_us = self._clock.now_us()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._show_state()
        self._let_go(self._left_us)  # what is still under way is let go after it

    def _show_state(self) -> None:
        if self._state is None:
            return
        if self._left_us is not None:
            self._enter("closing")
        else:
            self._enter("waiting" if self._thing is None else "tracking")

    def _enter(self, state: SocketState | None) -> None:
        if state != self._state:
            self._registry.figures.moved(self._state, state)
            self._state = state

    # --- timers -----------------------------------------------------------------------------

    def _expect_begin(self) -> None:
        """Close with 4408 unless something is tracked in time."""
        self._cancel("begin")
        self._show_state()
        if self._thing is None and self._left_us is None:
            self._after("begin", self._begin_within_s, self._nothing_begun)

    def _nothing_begun(self) -> None:
        self.close(CloseCode.NOTHING_STARTED, "nothing was started in time")

    def _after(self, name: str, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        # The loop can't look years ahead; a token that lives that long needs no timer.
        if delay_s < 365 * 86_400:
            self._timers[name] = self._loop.call_later(delay_s, callback, *args)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
