"""Our requests within Quart and Hypercorn: their bodies are read to the end, and none waits
for the database without a limit.

What must always hold: a request that the database leaves waiting for `ANSWER_WITHIN_S` is
a 503; and an answer leaves once the whole body has arrived, even where nobody
wanted it. Hypercorn closes the connection when an answer is out before that: the client,
still sending, may lose the answer, and one that reuses connections loses its next request.
Memory stays bounded: Quart drops what is over its limit.

An answer that is written while it is read from the database ends as soon as its client is
gone, or takes nothing any more; where it has to be broken off, the connection ends without
the last chunk, so that nobody takes it for a whole one.
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
        return await observed(self.figures, request, super().handle_request)

    async def dispatch_request(self, request_context: RequestContext | None = None) -> Any:
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
        self._asked = request
        await super().handle_request(request, send)

    async def handle_messages(self, request: Request, receive: ASGIReceiveCallable) -> None:
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
