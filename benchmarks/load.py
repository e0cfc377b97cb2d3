"""Clients that cost next to nothing, so that what is measured is the server.

A bare protocol: the handshake, masked text frames out, frames in counted by their headers.
It offers compression, as browsers do.
"""

import asyncio
import base64
import os
import ssl
import struct
import time
from collections.abc import Sequence

MASK = b"\0\0\0\0"
TEXT, PING, PONG = 0x81, 0x89, 0x8A


def frame(payload: bytes, kind: int = TEXT) -> bytes:
    """A masked frame; a mask of zeros is a mask as well."""
    size = len(payload)
    head = bytes([kind, 0x80 | size]) if size < 126 else struct.pack(">BBH", kind, 0xFE, size)
    return head + MASK + payload


TICK = b'{"type":"tick"'
ACTIVITY = frame(b'{"type":"activity"}')


class Client(asyncio.Protocol):
    """One socket that starts one session, or views one page."""

    def __init__(self, path: str, start: bytes, answer: bytes = b'"started"') -> None:
        self.started = asyncio.Event()
        self.started_s = 0.0
        self.messages = self.refusals = 0
        self.lost_s: float | None = None
        self.tick_delays_s: list[float] | None = None
        """How long after their second fell due ticks arrived, if a list is put here."""
        self._first_due_s = 0.0
        self._path = path
        self._start = start
        self._answer = answer
        self._buffer = b""
        self._open = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101" not in head[:20]:
                raise RuntimeError(f"refused: {head[:100]!r}")
            self._open, self._buffer = True, rest
            self.send(frame(self._start))
        self._take_frames()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.lost_s = time.monotonic()

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _take_frames(self) -> None:
        while len(self._buffer) >= 2:
            kind, size, at = self._buffer[0], self._buffer[1], 2
            if size == 126:
                if len(self._buffer) < 4:
                    return
                size, at = int.from_bytes(self._buffer[2:4], "big"), 4
            if len(self._buffer) < at + size:
                return
            payload, self._buffer = self._buffer[at : at + size], self._buffer[at + size :]
            if kind == PING:
                self.send(frame(b"", PONG))
            elif kind & 0x0F in (1, 2):  # with compression, the first byte has one bit more
                self.messages += 1
                if not self.started.is_set():
                    # Compressed, it can't be read here; plain, it must be what we wait for.
                    if kind == TEXT and self._answer not in payload:
                        self.refusals += 1
                        asyncio.get_running_loop().call_later(1, self.send, frame(self._start))
                        continue
                    self.started.set()
                    self.started_s = time.monotonic()
                    self._first_due_s = self.started_s + number(payload, b'"nextSecondInMs":') / 1e3
                elif self.tick_delays_s is not None and payload.startswith(TICK):
                    due_s = self._first_due_s + number(payload, b'"elapsedSeconds":') - 1
                    self.tick_delays_s.append(time.monotonic() - due_s)


def number(payload: bytes, name: bytes) -> int:
    """The whole number behind this name; 0 if there is none."""
    digits = payload.partition(name)[2][:12].partition(b",")[0].partition(b"}")[0]
    return int(digits) if digits.isdigit() else 0


async def connect_all(
    port: int,
    clients: Sequence[Client],
    *,
    over_s: float,
    within_s: float = 60.0,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Connect evenly over `over_s` seconds, then wait until all have started."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for number, client in enumerate(clients):
        await _until(began_s + over_s * number / len(clients))
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port, ssl=tls)
    async with asyncio.timeout(within_s):
        await asyncio.gather(*(client.started.wait() for client in clients))


async def stay_active(clients: Sequence[Client], *, every_s: float, for_s: float) -> None:
    """Each client says `activity` every so often, spread evenly."""
    loop = asyncio.get_running_loop()
    began_s, sent = loop.time(), 0
    while loop.time() < began_s + for_s:
        await _until(began_s + every_s * sent / len(clients))
        clients[sent % len(clients)].send(ACTIVITY)
        sent += 1


async def _until(moment_s: float) -> None:
    wait_s = moment_s - asyncio.get_running_loop().time()
    if wait_s > 0.001:
        await asyncio.sleep(wait_s)
