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
from routes.problems import respond
from routes.services import services

SUBPROTOCOL = "focusup.v1"
TOKEN_PREFIX = "bearer."  # noqa: S105 - a prefix, no secret

blueprint = Blueprint("sockets", __name__)


class QuartTransport:
    """An accepted WebSocket of Quart, as `realtime` wants it."""

    def __init__(self, socket: Websocket) -> None:
        self.receive = socket.receive
        self.send = socket.send
        self._socket = socket

    def unread(self) -> list[str | bytes]:
        """What has arrived and will not be received any more."""
        queue = getattr(self._socket, "unread", None)
        return [] if queue is None else [queue.get_nowait() for _ in range(queue.qsize())]

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason)


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
    if not services().origins.allows(socket.headers.get("Origin")):
        await socket.close(CloseCode.FORBIDDEN, "origin not allowed")
        return
    try:
        identity = services().tokens.verify(offered_token(socket), services().now())
    except Unauthorized as error:
        await socket.close(CloseCode.UNAUTHORIZED, error.code)
        return
    await SessionSocket(
        QuartTransport(socket), identity, services().sessions, services().sockets
    ).run()


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
