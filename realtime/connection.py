"""One socket's way out: a bounded outbox with a single writer, and its closing.

What must always hold: `push` never blocks and never raises, so whoever counts is never
held up by a slow reader; messages leave in order; of counts only the newest waits, the
older ones are replaced; a client that lets `OUTBOX_MESSAGES` pile up is dropped; and once
closing has been asked for, nothing but what was waiting is sent.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from realtime.close_codes import CloseCode

OUTBOX_MESSAGES = 256
CLOSE_GRACE_S = 2.0
"""How long a peer has to answer our close before the connection is cut: what it still
sends must be read meanwhile, or its system may throw the close frame away."""


class Transport(Protocol):
    """An accepted WebSocket."""

    async def receive(self) -> str | bytes: ...
    async def send(self, text: str) -> None: ...
    def unread(self) -> list[str | bytes]: ...
    async def close(self, code: int, reason: str) -> None: ...


class Connection:
    """The sending half of a socket."""

    def __init__(self, transport: Transport, *, on_overflow: Callable[[], None]) -> None:
        self.closing_asked = asyncio.Event()
        self._transport = transport
        self._on_overflow = on_overflow
        self._outbox: deque[str] = deque()
        self._count: str | None = None
        self._closing: tuple[CloseCode, str] | None = None
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Messages that have not left yet."""
        return len(self._outbox)

    @property
    def closing(self) -> bool:
        return self._closing is not None

    def push(self, text: str) -> None:
        if self._closing is not None:
            return
        if self._count is not None:  # a count made before this message goes before it
            self._outbox.append(self._count)
            self._count = None
        self._outbox.append(text)
        if len(self._outbox) > OUTBOX_MESSAGES:
            self._outbox.clear()
            self.close(CloseCode.TOO_MANY, "the client does not read")
            self._on_overflow()
        self._wake.set()

    def push_count(self, text: str) -> None:
        if self._closing is None:
            self._count = text
            self._wake.set()

    def close(self, code: CloseCode, reason: str) -> None:
        if self._closing is None:
            self._closing = (code, reason)
            self._wake.set()
            self.closing_asked.set()

    async def write(self) -> None:
        """Send until closed; returns once the close frame is out."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                await self._transport.send(self._outbox.popleft())
            if self._count is not None:
                text, self._count = self._count, None
                await self._transport.send(text)
            if self._closing is not None and not self._outbox:
                code, reason = self._closing
                await self._transport.close(int(code), reason)
                return
