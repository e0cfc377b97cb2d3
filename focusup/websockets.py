"""Our connections within Hypercorn: of sockets it does the handshake, then hands them over.

What must always hold: compression is never negotiated (it costs 100 KB a connection, and
lets a small frame inflate to 120 MiB); once a connection is handed over, nothing of
Hypercorn and Quart is left of it but its writer, which would close it when collected; and
a request that was on its way when the server stopped is answered.

Hypercorn and Quart would keep five tasks and three queues per connection and take 60 µs
for each message; see `realtime.wire` for what takes their place.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import hypercorn.asyncio.run
import hypercorn.protocol.h2
import hypercorn.protocol.h11
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.events import Event, Request
from hypercorn.protocol.ws_stream import WSStream

from realtime.wire import Wire

LAST_REQUEST_S = 0.3
"""How long a stop leaves idle connections open. A proxy may use one at the very moment at
which it is closed, and can't send a POST again; within this time it is refused once
elsewhere, as nobody listens any more, and turns to others."""

_current: ContextVar["Server"] = ContextVar("connection")


class Server(TCPServer):
    """A connection of Hypercorn that can be handed over."""

    _handed_over = False

    async def run(self) -> None:
        _current.set(self)
        await super().run()

    def hand_over(self, wire: Wire) -> None:
        """From now on the connection is the wire's."""
        self._handed_over = True
        transport = self.writer.transport
        wire.kept = self.writer
        transport.set_protocol(wire)
        wire.connection_made(transport)
        # Nothing can be here: a client may send once it has our answer, which left within
        # this turn of the event loop. Should that ever change, nothing is lost.
        unread = bytes(self.reader._buffer)  # type: ignore[attr-defined]
        if unread:
            wire.data_received(unread)
        self.reader.feed_eof()  # ends Hypercorn's task

    async def _idle_timeout(self) -> None:
        try:
            async with asyncio.timeout(self.config.keep_alive_timeout):
                await self.context.terminated.wait()
        except TimeoutError:
            pass
        else:
            await asyncio.sleep(LAST_REQUEST_S)  # cancelled by a request, which is the last
        await asyncio.shield(self._initiate_server_close())

    async def _close(self) -> None:
        if self._handed_over:
            await self.idle_task.stop()
        else:
            await super()._close()


class Stream(WSStream):
    """Hypercorn's side of a WebSocket: the handshake, without compression, and no more."""

    async def handle(self, event: Event) -> None:
        if isinstance(event, Request):
            kept = [
                (name, value)
                for name, value in event.headers
                if name.lower() != b"sec-websocket-extensions"
            ]
            event = replace(event, headers=kept)
        await super().handle(event)

    async def app_send(self, message: Any) -> None:
        await super().app_send(message)
        if message is not None and message["type"] == "websocket.accept":
            self.closed = True  # Hypercorn has nothing to do with it any more


class RefusingStream(Stream):
    """A WebSocket within HTTP/2: it has no connection of its own to hand over."""

    async def handle(self, event: Event) -> None:
        if isinstance(event, Request):
            event = replace(event, method="GET", http_version="1.0")  # refused with 400
        await super().handle(event)


def take_over(wire: Wire) -> None:
    """Give the wire the connection of the WebSocket that is being handled.

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
    hypercorn.asyncio.run.TCPServer = Server  # type: ignore[attr-defined]
    hypercorn.protocol.h11.WSStream = Stream  # type: ignore[attr-defined]
    hypercorn.protocol.h2.WSStream = RefusingStream  # type: ignore[attr-defined]
