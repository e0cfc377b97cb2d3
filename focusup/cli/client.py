"""Connect the client commands to a server.

Invariants:

- The token is sent in a header, never in a URL.
- No wait is longer than `PATIENCE_S`.
- A proxy of the environment is not used for this machine.

Imported only by commands that run against a server.
"""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import click
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from focusup.listening import is_loopback
from focusup.own_command import NAME, under_uv

PATIENCE_S = 10.0
SUBPROTOCOL = "focusup.v1"
ACTIVITY_EVERY_S = 1.0

Message = dict[str, Any]


class ServerError(Exception):
    """The server did not do what it promises, or cannot be reached."""


def checked_url(url: str) -> str:
    """The base URL without a trailing slash; a UsageError if it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.UsageError(f"{url!r} is not an http:// or https:// address.")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def socket_url(base_url: str) -> str:
    """Return the address of a server's session socket."""
    parts = urlsplit(base_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, f"{parts.path}/ws/sessions", "", ""))


def is_here(base_url: str) -> bool:
    """Return whether an address is on this machine."""
    return is_loopback(urlsplit(base_url).hostname or "")


def no_server(base_url: str, error: Exception) -> str:
    """Return the error of a server that does not answer."""
    return (
        f"no server answers at {base_url} ({error}); start one with `{under_uv()}{NAME} serve`, "
        "or say where it is with --url"
    )


class Socket:
    """`/ws/sessions`, spoken one question at a time."""

    def __init__(
        self, base_url: str, token: str, hear: Callable[[Message], None] = lambda _message: None
    ) -> None:
        self._hear = hear
        self._asked = 0
        self._open = ExitStack()
        try:
            connection = connect(
                socket_url(base_url),
                subprotocols=[Subprotocol(SUBPROTOCOL), Subprotocol(f"bearer.{token}")],
                proxy=None if is_here(base_url) else True,
                open_timeout=PATIENCE_S,
                close_timeout=2,
                compression=None,
            )
            self._socket = self._open.enter_context(connection)
        except OSError as error:
            raise ServerError(no_server(base_url, error)) from None
        except WebSocketException as error:
            raise ServerError(f"no socket: {error}") from None

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server has chosen."""
        return self._socket.subprotocol

    def close(self) -> None:
        """Close the connection."""
        self._open.close()

    def send(self, type_: str, **fields: Any) -> None:
        """Send a message."""
        try:
            self._socket.send(json.dumps({"type": type_, **fields}))
        except ConnectionClosed as error:
            raise _closed(error) from None

    def ask(self, type_: str, answer: str, **fields: Any) -> Message:
        """Send a message and wait for the `answer` to it."""
        self._asked += 1
        self.send(type_, id=self._asked, **fields)
        until = time.monotonic() + PATIENCE_S
        while (message := self.receive(until)) is not None:
            if message.get("id") != self._asked:
                continue
            if message.get("type") == answer:
                return message
            if message.get("type") == "error":
                raise ServerError(f"{message.get('code')}: {message.get('message')}")
        raise ServerError(f"no `{answer}` within {PATIENCE_S:g} s of `{type_}`")

    def receive(self, until: float) -> Message | None:
        """The next message; None if none has come by `until` on the monotonic clock."""
        try:
            text = self._socket.recv(max(0.0, until - time.monotonic()))
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            raise _closed(error) from None
        try:
            message = json.loads(text)
        except ValueError:
            raise ServerError("a message that is not JSON") from None
        if not isinstance(message, dict):
            raise ServerError("a message that is not an object")
        self._hear(message)
        return message

    def stay_active(self, seconds: float) -> None:
        """Read for so long, and say that the user is there once a second."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self.send("activity")
            until = min(end, now + ACTIVITY_EVERY_S)
            while self.receive(until) is not None:
                pass


def _closed(error: ConnectionClosed) -> ServerError:
    if error.rcvd is None:
        return ServerError("the connection broke")
    return ServerError(f"the server closed the socket: {error.rcvd.code} {error.rcvd.reason}")
