"""Extend Quart: request bodies are read to the end, and the wait for the database is limited.

Invariants:

- A request that waits `ANSWER_WITHIN_S` for the database is answered with 503.
- An answer is sent once the whole body has arrived, even if the body is not used. Hypercorn closes
  the connection when an answer is out before that; a client that is still sending may lose the
  answer, and one that reuses connections loses its next request.
- Memory stays bounded: Quart discards what is over its limit.
- An answer that is streamed from the database ends when its client disconnects or stops reading. An
  answer that breaks off ends the connection without the last chunk, so that it is never taken for a
  complete one.
"""

import asyncio
from typing import Any

import structlog
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope
from quart import Quart, Request
from quart.asgi import ASGIHTTPConnection
from quart.ctx import RequestContext
from quart.typing import ResponseTypes

from focusup.asgi.hypercorn_hooks import cut_off
from models.base.driver_errors import StatementRefused, StorageUnavailable, answered_within
from routes.http.request_metrics import RequestMetrics, observed, route_of

DRAIN_S = 2.0
"""How long the rest of a body may take; then the connection ends with the answer."""


ANSWER_WITHIN_S = 10.0
TAKEN_WITHIN_S = 60.0
"""How long a client may take for a piece of an answer."""

AMBIGUOUS = frozenset({b"content-length", b"transfer-encoding"})
"""With both, a proxy before us may think that the request ends elsewhere, so nothing that
follows it is taken for another one (RFC 9112, section 6.3)."""

log = structlog.get_logger(__name__)


class App(Quart):
    """Quart, with a time limit for each request, and figures of all of them."""

    stopping = False
    """Set when the server is about to stop: each answer is then the last of its connection,
    and says so. A proxy that learned it from the close alone could have sent the next request
    already, and can't repeat a POST."""

    def __init__(self, name: str, base_path: str = "") -> None:
        super().__init__(name, static_folder=None)
        self.figures = RequestMetrics()
        self.base_path = base_path

    async def asgi_app(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve below the base path, whether or not the proxy took it off the request."""
        if self.base_path and scope["type"] != "lifespan":
            scope["root_path"], scope["path"] = self.base_path, self._below(scope["path"])
        await super().asgi_app(scope, receive, send)

    def _below(self, path: str) -> str:
        """Return the path with the base path before it, as ASGI has it."""
        if path == self.base_path:
            return f"{path}/"
        return path if path.startswith(f"{self.base_path}/") else self.base_path + path

    async def handle_request(self, request: Request) -> ResponseTypes:
        """Handle a request, and count it in the metrics."""
        return await observed(self.figures, request, super().handle_request)

    async def dispatch_request(self, request_context: RequestContext | None = None) -> Any:
        """Run the handler, within the time limit of the database."""
        async with answered_within(ANSWER_WITHIN_S):
            return await super().dispatch_request(request_context)


class DrainedConnection(ASGIHTTPConnection):
    """Quart's side of a request."""

    app: App

    def __init__(self, app: App, scope: HTTPScope) -> None:
        super().__init__(app, scope)
        self._arrived = asyncio.Event()
        self._asked: Request

    async def handle_request(self, request: Request, send: ASGISendCallable) -> None:
        """Handle a request, and keep it for its answer."""
        self._asked = request
        await super().handle_request(request, send)

    async def handle_messages(self, request: Request, receive: ASGIReceiveCallable) -> None:
        """Read the body, and note when all of it has arrived."""

        async def noticing() -> Any:
            message = await receive()
            if not message.get("more_body", False):  # the last part, or a disconnect
                self._arrived.set()
            return message

        await super().handle_messages(request, noticing)

    async def _send_response(self, send: ASGISendCallable, response: Any) -> None:
        last = {name for name, _ in self.scope["headers"]} >= AMBIGUOUS
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._arrived.wait()
        except TimeoutError:
            last = True
        if (last or self.app.stopping) and self.scope["http_version"].startswith("1"):
            response.headers["Connection"] = "close"
        try:
            await super()._send_response(self._taken_within(send), response)
        except (StatementRefused, StorageUnavailable, TimeoutError) as error:
            route = route_of(self._asked)
            log.warning("answer_cut_off", route=route, reason=type(error).__name__)
            cut_off()

    @staticmethod
    def _taken_within(send: ASGISendCallable) -> ASGISendCallable:
        async def sending(message: Any) -> None:
            async with asyncio.timeout(TAKEN_WITHIN_S):
                await send(message)

        return sending


def install(app: App) -> None:
    """Use this class for all requests of this app."""
    app.asgi_http_class = DrainedConnection
