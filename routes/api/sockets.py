"""Accept the handshakes of `/ws/sessions` and `/ws/pageviews`; `realtime` serves the sockets.

Invariants:

- A refused connection is accepted first and then closed with a code, because a browser cannot read
  why a handshake failed.
- The token does not leave this module.
"""

from contextlib import suppress

import structlog
from quart import Blueprint, Response, Websocket, websocket
from quart_cors import cors_exempt
from quart_schema import hide
from structlog.contextvars import bind_contextvars

from models.base.errors import Unauthorized
from models.tokens.access_tokens import Identity
from realtime.pageviews.socket import PageClient, PageSocket
from realtime.protocol.close_codes import CloseCode
from realtime.sessions.socket import SessionSocket
from realtime.sockets.registry import Registry
from realtime.sockets.transport import SocketTransport
from routes.access.visitor_cookie import presented_visitor, visitor_cookie
from routes.http.client_address import network_of
from routes.http.error_codes import CODES
from routes.http.problems import respond
from routes.http.request_metrics import REQUEST_ID_HEADER, id_for
from routes.http.services import services

PATHS = ("/ws/sessions", "/ws/pageviews")
SUBPROTOCOL = "focusup.v1"
TOKEN_PREFIX = "bearer."  # noqa: S105 - a prefix, not a secret

blueprint = Blueprint("sockets", __name__)
log = structlog.get_logger(__name__)


def offered_token(socket: Websocket) -> str | None:
    """Return the token of a header, of the subprotocol `bearer.JWT` or of `?token=`, if any."""
    scheme, _, token = socket.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for offered in socket.requested_subprotocols:
        if offered.startswith(TOKEN_PREFIX):
            return str(offered.removeprefix(TOKEN_PREFIX))
    in_query: str | None = socket.args.get("token")
    return in_query


@blueprint.websocket("/ws/sessions", strict_slashes=False)
@cors_exempt
async def session_socket() -> None:
    """Open the socket of a focus session; without a valid token, close it with 4401."""
    socket: Websocket = websocket._get_current_object()  # type: ignore[attr-defined]
    await services().access.tokens.learn_key(offered_token(socket))
    wire = await accepted(socket, services().sessions.tracking.registry)
    if wire is None:
        return
    try:
        identity = offered_identity(socket)
    except Unauthorized as error:
        wire.close(CloseCode.UNAUTHORIZED, error.code)
        return
    SessionSocket(wire, identity, services().sessions.tracking, services().sessions.sockets).open()


@blueprint.websocket("/ws/pageviews", strict_slashes=False)
@cors_exempt
async def page_socket() -> None:
    """Open the socket of page views; a token is optional, and an invalid one is ignored."""
    socket: Websocket = websocket._get_current_object()  # type: ignore[attr-defined]
    keys = services().page_views.visitor_keys
    presented = presented_visitor(socket, keys, socket.args.get("visitor"))
    key = keys.new() if presented is None else presented.key
    by_cookie = presented is not None and presented.by_cookie
    cookie = {} if by_cookie else {"Set-Cookie": visitor_cookie(socket, key)}
    await services().access.tokens.learn_key(offered_token(socket))
    wire = await accepted(socket, services().page_views.tracking.registry, cookie)
    if wire is None:
        return
    identity = None
    with suppress(Unauthorized):
        identity = offered_identity(socket)
    visiting = PageClient(
        visitor_id=key.partition(".")[0],
        key=None if by_cookie else key,
        identity=identity,
        user_agent=socket.headers.get("User-Agent", ""),
        address=network_of(services().reporting.proxies.client_of(socket)),
    )
    PageSocket(wire, visiting, services().page_views.tracking, services().sessions.sockets).open()


async def accepted(
    socket: Websocket, registry: Registry, headers: dict[str, str] | None = None
) -> SocketTransport | None:
    """Accept the handshake and return the connection as one of this registry.

    The connection is closed, and None returned, if its origin is not allowed.
    """
    connection_id = id_for(socket.headers)
    bind_contextvars(connection=connection_id)
    is_offered = SUBPROTOCOL in socket.requested_subprotocols
    await socket.accept(
        headers={**(headers or {}), REQUEST_ID_HEADER: connection_id},
        subprotocol=SUBPROTOCOL if is_offered else None,
    )
    wire = SocketTransport(connection_id, registry.figures, registry.reading)
    services().take_over(wire)  # no await may stand between accept() and this line
    log.debug("socket_opened", route=socket.path)
    if services().origins.admits(socket):
        return wire
    wire.close(CloseCode.FORBIDDEN, "origin not allowed")
    return None


def offered_identity(socket: Websocket) -> Identity:
    """Return the owner of the handshake's token.

    Raises:
        Unauthorized: The token is missing, invalid or expired.
    """
    return services().access.tokens.verify(offered_token(socket), services().now())


@blueprint.get("/ws/<path:other>")
@hide
async def no_socket(other: str) -> Response:  # noqa: ARG001 - a part of the route
    """Refuse a handshake or a plain request at an address without a socket."""
    return respond(404, "not_found", f"No WebSocket at this address. Use {' or '.join(PATHS)}.")


@blueprint.get("/ws/sessions")
@blueprint.get("/ws/pageviews")
@hide
async def not_upgraded() -> Response:
    """Refuse a plain request, or an invalid handshake, at the address of a socket."""
    return respond(
        426,
        "upgrade_required",
        CODES["upgrade_required"].meaning,
        headers={
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
        },
    )
