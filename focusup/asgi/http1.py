"""HTTP as the server speaks it: HTTP/1.1 alone, on top of Hypercorn's parser.

Invariants:

- no byte of a peer is read as HTTP/2: neither after `Upgrade: h2c`, which is answered by
  HTTP/1.1 as if it were not there, nor after the preface `PRI * HTTP/2.0`, which is a 505
  and ends the connection. A proxy in front that knows HTTP/1.1 alone would pass on whatever
  follows unread, with the trust that it has here;
- a handshake of WebSocket that is incomplete, or of another version, is an ordinary
  request, answered as such (RFC 6455, section 4.2.2);
- each answer that leaves its connection open says for how long.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, cast

import h11
from hypercorn.events import Closed
from hypercorn.events import Event as ConnectionEvent
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h11 import H11Protocol

WEBSOCKET_VERSION = b"13"
KEY_BYTES = 16


class Refused(Exception):  # noqa: N818 - an answer, no fault of ours
    """A request that is answered with a status alone, as the last of its connection."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


Wait = Callable[[h11.Request, bool], float | None]
"""How long a request, perhaps a handshake, waits before it runs; None if it is refused."""
waiting: ContextVar[Wait] = ContextVar("waiting")


class Http1(H11Protocol):
    """The protocol of each connection until it is handed over."""

    async def handle(self, event: ConnectionEvent) -> None:
        """Handle an event, and answer a refused request."""
        try:
            await super().handle(event)
        except Refused as refused:
            await self._send_error_response(refused.status)
            await self.send(Closed())

    async def stream_send(self, event: StreamEvent) -> None:
        """Send an event, with `Keep-Alive` where the connection stays open."""
        if isinstance(event, Response) and self._stays_open(event):
            told = b"timeout=%d" % int(self.config.keep_alive_timeout)
            kept = [(b"connection", b"keep-alive"), (b"keep-alive", told)]
            event = replace(event, headers=[*event.headers, *kept])
        await super().stream_send(event)

    def _stays_open(self, answer: Response) -> bool:
        if answer.status_code < 200 or not isinstance(self.connection, h11.Connection):
            return False
        if any(name.lower() == b"connection" for name, _ in answer.headers):
            return False
        return (
            self.connection.their_state is not h11.MUST_CLOSE
            and self.connection.their_http_version == b"1.1"
            and self.keep_alive_requests < self.config.keep_alive_max_requests
        )

    async def _check_protocol(self, event: h11.Request) -> None:
        """Refuse what is not HTTP/1; Hypercorn would change over to HTTP/2 here."""
        if not event.http_version.startswith(b"1."):
            raise Refused(505)

    async def _create_stream(self, request: h11.Request) -> None:
        asks_for_more = any(name == b"upgrade" for name, _ in request.headers)
        is_socket = asks_for_more and self._is_socket(request.target) and is_handshake(request)
        if asks_for_more and not is_socket:
            request = without_upgrade(request)
        if (wait := waiting.get(None)) is not None:
            wait_s = wait(request, is_socket)
            if wait_s is None:
                raise Refused(429)
            if wait_s > 0:
                await asyncio.sleep(wait_s)
        await super()._create_stream(request)

    def _is_socket(self, target: bytes) -> bool:
        path = target.partition(b"?")[0].decode("latin1").rstrip("/")
        return path.endswith(getattr(self.config, "socket_paths", ("",)))


def is_handshake(request: h11.Request) -> bool:
    """Whether a request asks for a WebSocket, in full and in the one version there is."""
    if request.method != b"GET" or request.http_version != b"1.1":
        return False
    headers: dict[bytes, bytes] = {}
    for name, value in request.headers:
        headers[name] = headers[name] + b"," + value if name in headers else value
    return (
        headers.get(b"upgrade", b"").strip().lower() == b"websocket"
        and b"upgrade" in _tokens(headers.get(b"connection", b""))
        and headers.get(b"sec-websocket-version", b"").strip() == WEBSOCKET_VERSION
        and _is_key(headers.get(b"sec-websocket-key", b""))
    )


def without_upgrade(request: h11.Request) -> h11.Request:
    """The same request, which asks for HTTP/1.1 alone."""
    kept = [
        (name, value) for name, value in request.headers.raw_items() if name.lower() != b"upgrade"
    ]
    return h11.Request(
        method=request.method,
        target=request.target,
        headers=cast(Any, kept),
        http_version=request.http_version,
    )


def _tokens(value: bytes) -> set[bytes]:
    return {token.strip().lower() for token in value.split(b",")}


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value.strip(), validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False
