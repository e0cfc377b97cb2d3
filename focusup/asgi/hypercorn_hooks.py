"""Extend Hypercorn: HTTP/1.1 requests with deadlines, and sockets that are handed over.

Invariants:

- Compression is never negotiated: it costs 100 KB a connection, and lets a small frame inflate to
  120 MiB.
- Once a connection is handed over, nothing of Hypercorn and Quart is left of it but its writer,
  which would close it when collected.
- On a connection that the server has ended no request is run, because its answer could not be sent.
  Requests that had arrived by then are answered (see `focusup.asgi.idle_connections`).
- A connection that was refused, or whose last answer was sent, ends by itself.

Hypercorn and Quart would keep five tasks and three queues per connection and take 60 µs for each
message; `realtime.sockets.transport` takes their place.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import h11
import hypercorn.asyncio.run
import hypercorn.protocol
import hypercorn.protocol.h11
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, RawData
from hypercorn.protocol.events import Body, Data, Event, Request, StreamClosed
from hypercorn.protocol.ws_stream import WSStream

from focusup.asgi.http1 import Http1, waiting
from focusup.asgi.idle_connections import FIRST_REQUEST_S, HEAD_S, connections_of, is_readable
from realtime.sockets.token_bucket import TokenBucket
from realtime.sockets.transport import SocketTransport

HANDSHAKE_S = 15.0
"""How long a handshake may take: looking up a key takes up to 5 s of it."""
LINGER_S = 30.0
"""How long a peer has to take the rest of the last answer."""

_current: ContextVar["Server"] = ContextVar("connection")


class IdleTimer:
    """Replaces Hypercorn's idle task, which it starts and cancels around each request."""

    def __init__(self, server: "Server") -> None:
        self._server = server

    async def restart(self, _group: object, _action: object) -> None:
        """Start to wait for a request."""
        self._server.idle_begins()

    async def stop(self) -> None:
        """Stop to wait for a request."""
        self._server.idle_ends()


class Server(TCPServer):
    """A connection of Hypercorn that can be handed over."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.idle_task = IdleTimer(self)  # type: ignore[assignment]
        self.peer = ""
        self._connections = connections_of(self.context, self.config)
        self._timer: asyncio.TimerHandle | None = None
        self._asked: TokenBucket | None = None
        self._is_idle = False
        self._in_head = False
        """Whether a head has begun to arrive, so that the time for the whole of it runs."""
        self._had_request = False
        self._ended = False
        self._handed_over = False

    async def run(self) -> None:
        """Serve the connection until it ends or is handed over."""
        _current.set(self)
        name = self.writer.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) else ""
        limits = self._connections.limits
        if limits.admission is not None:
            if not limits.is_proxy(self.peer):
                self._asked = limits.admission.opened(self.peer, self.loop.time())
            waiting.set(self._wait_s)
        await super().run()

    def _wait_s(self, request: h11.Request, is_handshake: bool) -> float | None:
        admission = self._connections.limits.admission
        if admission is None:
            return 0.0
        return admission.wait_s(
            self.peer, request.headers, self._asked, self.loop.time(), is_handshake=is_handshake
        )

    # --- deadlines --------------------------------------------------------------------

    def idle_begins(self) -> None:
        """Wait for the first or next request, for a limited time."""
        self._is_idle, self._in_head = True, False
        wait_s = self.config.keep_alive_timeout if self._had_request else FIRST_REQUEST_S
        self._set_timer(wait_s, self._idle_for_long)
        self._connections.add(self)

    def idle_ends(self) -> None:
        """Note that a request runs, or that the connection has ended."""
        self._is_idle, self._had_request = False, True
        self._cancel_timer()
        self._connections.discard(self)

    def end_if_idle(self) -> bool:
        """End the connection unless a request has begun to arrive; return whether it ended."""
        if self._has_more():
            return False
        self._end()
        return True

    def handshake_begins(self) -> None:
        """Limit the time of a handshake."""
        self._set_timer(HANDSHAKE_S, self.writer.transport.abort)

    def _idle_for_long(self) -> None:
        if self._in_head or not self._has_more():
            self._end()
        else:
            self._head_begins()

    def _head_begins(self) -> None:
        self._in_head = True
        self._set_timer(HEAD_S, self._idle_for_long)

    def _has_more(self) -> bool:
        """Return whether the peer has sent anything that is not yet a request."""
        if self._in_head or self.reader._buffer:  # type: ignore[attr-defined]
            return True
        connection = self.writer.get_extra_info("socket")
        return connection is not None and is_readable(connection.fileno())

    def _end(self) -> None:
        # From here on nothing is run that was read, or is read still.
        self._ended = True
        self._is_idle = False
        self._connections.discard(self)
        self.writer.close()
        self._set_timer(LINGER_S, self.writer.transport.abort)

    def _set_timer(self, after_s: float, action: Any) -> None:
        self._cancel_timer()
        self._timer = self.loop.call_later(after_s, action)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- bytes ------------------------------------------------------------------------

    async def _read_data(self) -> None:
        while not self.reader.at_eof():
            try:
                data = await self.reader.read(MAX_RECV)
            except OSError:
                break
            if self._ended:
                break
            await self.protocol.handle(RawData(data))
            if data and self._is_idle and not self._in_head and self._is_within_head():
                if self._had_request:
                    self._head_begins()
                else:
                    self._in_head = True  # the time for the first one runs already
        await self.protocol.handle(Closed())

    def _is_within_head(self) -> bool:
        parser: Any = self.protocol.protocol.connection
        return bool(parser.trailing_data[0])

    def hand_over(self, wire: SocketTransport) -> None:
        """Give the connection to a transport for good."""
        self._handed_over = True
        self._cancel_timer()
        transport = self.writer.transport
        if self._ended or transport.is_closing():  # its peer has left meanwhile
            self.loop.call_soon(wire.connection_lost, None)
            return
        wire.kept = self.writer
        transport.set_protocol(wire)
        wire.connection_made(transport)
        # Nothing can be here: a client may send once it has our answer, which left within
        # this turn of the event loop. Should that ever change, nothing is lost.
        unread = bytes(self.reader._buffer)  # type: ignore[attr-defined]
        if unread:
            wire.data_received(unread)
        self.reader.feed_eof()  # ends Hypercorn's task

    async def _close(self) -> None:
        self._connections.discard(self)
        if self._handed_over:
            self._cancel_timer()
            return
        self._ended = True
        self._is_idle = False
        self._set_timer(LINGER_S, self.writer.transport.abort)
        await super()._close()


class Stream(WSStream):
    """Hypercorn's side of a WebSocket: the handshake alone, without compression."""

    async def handle(self, event: Event) -> None:
        """Handle an event, and close the connection of a refused handshake."""
        was_closed = self.closed
        if isinstance(event, Request):
            _current.get().handshake_begins()
            kept = [
                (name, value)
                for name, value in event.headers
                if name.lower() != b"sec-websocket-extensions"
            ]
            event = replace(event, headers=kept)
        await super().handle(event)
        if self.closed and not was_closed and isinstance(event, Request | Body | Data):
            # Hypercorn has refused it by itself, and would leave the connection open.
            await self.send(StreamClosed(stream_id=self.stream_id))

    async def app_send(self, message: Any) -> None:
        """Send a message of the application; Hypercorn is done after the acceptance."""
        await super().app_send(message)
        if message is not None and message["type"] == "websocket.accept":
            self.closed = True  # Hypercorn has nothing to do with it any more


def take_over(wire: SocketTransport) -> None:
    """Give a transport the connection of the WebSocket that is being handled.

    It must have been accepted just now, with nothing awaited since.
    """
    _current.get().hand_over(wire)


def cut_off() -> None:
    """End the connection of the request that is being answered, at once."""
    server = _current.get(None)
    if server is not None:
        server.writer.transport.abort()


def install() -> None:
    """Use these classes for all connections of this process."""
    for module, name, ours in (
        (hypercorn.asyncio.run, "TCPServer", Server),
        (hypercorn.protocol, "H11Protocol", Http1),
        (hypercorn.protocol.h11, "WSStream", Stream),
    ):
        setattr(module, name, ours)
