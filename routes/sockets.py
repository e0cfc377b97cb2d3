"""`/ws/sessions`: the handshake of a socket; everything after it is `realtime`'s.

What must always hold: a connection that is refused is accepted first and then closed with
a code, because a browser can't read why a handshake failed; and the token never leaves
this module.
"""

from quart import Blueprint, Response, Websocket, websocket
from quart_cors import cors_exempt
from quart_schema import hide

from models.errors import Unauthorized
from realtime.close_codes import CloseCode
from realtime.session_socket import SessionSocket
from realtime.wire import Wire
from routes.problems import respond
from routes.services import services

SUBPROTOCOL = "focusup.v1"
TOKEN_PREFIX = "bearer."  # noqa: S105 - a prefix, no secret

blueprint = Blueprint("sockets", __name__)


def offered_token(socket: Websocket) -> str | None:
    """The token of the handshake: a header, a subprotocol `bearer.JWT`, or `?token=`."""
    scheme, _, token = socket.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for offered in socket.requested_subprotocols:
        if offered.startswith(TOKEN_PREFIX):
            return str(offered.removeprefix(TOKEN_PREFIX))
    given: str | None = socket.args.get("token")
    return given


@blueprint.websocket("/ws/sessions")
@cors_exempt
async def session_socket() -> None:
    socket: Websocket = websocket._get_current_object()  # type: ignore[attr-defined]
    wanted = SUBPROTOCOL in socket.requested_subprotocols
    await socket.accept(subprotocol=SUBPROTOCOL if wanted else None)
    wire = Wire()
    services().take_over(wire)  # nothing may be awaited between the two
    if not services().origins.allows(socket.headers.get("Origin")):
        wire.close(CloseCode.FORBIDDEN, "origin not allowed")
        return
    try:
        identity = services().tokens.verify(offered_token(socket), services().now())
    except Unauthorized as error:
        wire.close(CloseCode.UNAUTHORIZED, error.code)
        return
    SessionSocket(wire, identity, services().tracking, services().sockets).open()


@blueprint.get("/ws/sessions")
@hide
async def not_upgraded() -> Response:
    """A plain request to the address of the socket."""
    return respond(
        426,
        "upgrade_required",
        "This is a WebSocket: connect to it with ws:// or wss://.",
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
    )
