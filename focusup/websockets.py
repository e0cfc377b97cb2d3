"""Our sockets within Hypercorn and Quart, where their defaults would break a promise.

What must always hold: compression is never negotiated (it costs 100 KB a connection, and
lets a small frame inflate to 120 MiB); the inbound queue is bounded, so a flood waits in
the client's own buffers; a message that is too large ends the connection for good; a peer
that answers no ping is taken for gone within 40 s, and a connection that is gone leaves
nothing behind that waits.
"""

import asyncio
from dataclasses import replace
from typing import Any, cast

import hypercorn.protocol.h2
import hypercorn.protocol.h11
from hypercorn.protocol.events import Data, Event, Request, StreamClosed
from hypercorn.protocol.ws_stream import FrameTooLargeError, WSStream
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, WebsocketScope
from quart import Quart, Websocket
from quart.asgi import ASGIWebsocketConnection
from wsproto.events import CloseConnection, Message, Ping

MAX_MESSAGE_BYTES = 16 * 1024
INBOUND_MESSAGES = 64
PING_INTERVAL_S = 10.0
SILENT_AFTER_S = 29.5
"""A peer that was not heard for so long, three pings, is gone: noticed within 40 s, since
it is looked for with each ping."""
LINGER_S = 2.0
"""How long the sender of a message that is too large may take to read why it is cut off."""


class Stream(WSStream):
    """A WebSocket of Hypercorn, without compression, deaf after a message too large."""

    _deaf = False
    _heard_s = 0.0

    async def handle(self, event: Event) -> None:
        if isinstance(event, Data):
            self._heard_s = asyncio.get_running_loop().time()
            if self._deaf:
                return
        elif isinstance(event, Request):
            self._gone = asyncio.Event()
            kept = [
                (name, value)
                for name, value in event.headers
                if name.lower() != b"sec-websocket-extensions"
            ]
            event = replace(event, headers=kept)
        elif isinstance(event, StreamClosed):
            self._gone.set()
        await super().handle(event)

    async def _send_pings(self) -> None:
        loop = asyncio.get_running_loop()
        self._heard_s = loop.time()
        while not await self._gone_within(PING_INTERVAL_S):
            if loop.time() - self._heard_s > SILENT_AFTER_S:
                await self.send(StreamClosed(stream_id=self.stream_id))
                return
            await self._send_wsproto_event(Ping())

    async def _gone_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._gone.wait()
        except TimeoutError:
            return False

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if isinstance(event, Message):
                await self._take(event)
                if self._deaf:
                    return
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                await self._send_wsproto_event(event.response())
                await self.send(StreamClosed(stream_id=self.stream_id))

    async def _take(self, event: Message[Any]) -> None:
        try:
            self.buffer.extend(event)
        except FrameTooLargeError:
            self._deaf = True
            self.buffer.clear()
            await self._send_wsproto_event(CloseConnection(code=1009))
            if self.app_put is not None:
                await self.app_put(cast(Any, {"type": "websocket.disconnect", "code": 1009}))
            self.task_group.spawn(self._cut_off)
            return
        if event.message_finished and self.app_put is not None:
            await self.app_put(cast(Any, self.buffer.to_message()))
            self.buffer.clear()

    async def _cut_off(self) -> None:
        if not await self._gone_within(LINGER_S):
            await self.send(StreamClosed(stream_id=self.stream_id))


class BoundedConnection(ASGIWebsocketConnection):
    """Quart's side of a WebSocket, with a bounded queue of messages."""

    def __init__(self, app: Quart, scope: WebsocketScope) -> None:
        super().__init__(app, scope)
        self.queue = asyncio.Queue(maxsize=INBOUND_MESSAGES)

    def _create_websocket_from_scope(self, send: ASGISendCallable) -> Websocket:
        socket = super()._create_websocket_from_scope(send)
        socket.unread = self.queue  # type: ignore[attr-defined]
        return socket

    async def handle_messages(self, receive: ASGIReceiveCallable) -> None:
        while True:
            event = await receive()
            if event["type"] == "websocket.receive":
                text = event.get("text")
                await self.queue.put(event["bytes"] if text is None else text)
            elif event["type"] == "websocket.disconnect":
                return

    async def send_data(self, send: ASGISendCallable, data: str | bytes) -> None:
        await send(cast(Any, {"type": "websocket.send", "bytes": None, "text": data}))


def install(app: Quart) -> None:
    """Use these classes for all WebSockets of this process."""
    app.asgi_websocket_class = BoundedConnection
    hypercorn.protocol.h11.WSStream = Stream  # type: ignore[attr-defined]
    hypercorn.protocol.h2.WSStream = Stream  # type: ignore[attr-defined]
