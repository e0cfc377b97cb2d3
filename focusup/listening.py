"""Bind the address of the server, and find out which program uses it.

Invariants:

- An address in use is reported before anything else is started, with what to do about it.
- Asking who uses an address changes nothing there.
"""

import contextlib
import errno
import http.client
import ipaddress
import json
import socket
import sys
from dataclasses import dataclass

from focusup.operator_errors import OperatorError

BACKLOG = 2048
ASK_WITHIN_S = 2.0
ANSWER_BYTES = 65_536
LOOPBACKS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
NOT_ALLOWED = {errno.EACCES, getattr(errno, "WSAEACCES", errno.EACCES)}


class ListenError(OperatorError):
    """The address can't be bound."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The program at an address: a FocusUp server, or another one (`version` is None)."""

    version: str | None = None
    status: str | None = None
    """The status of its `/api/health`."""

    def __str__(self) -> str:
        return "another program" if self.version is None else f"FocusUp {self.version}"


def bind(host: str, port: int) -> socket.socket:
    """Return a socket with the address, which accepts no connections yet; raise ListenError."""
    with contextlib.ExitStack() as opened:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            bound = opened.enter_context(socket.socket(family, kind, protocol))
            if sys.platform != "win32":  # there it would let two servers share the port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            bound.bind(address)
        except (OSError, UnicodeError) as error:
            raise _listen_error(host, port, error) from error
        opened.pop_all()
    return bound


def listen(bound: socket.socket, host: str, port: int) -> None:
    """Accept connections.

    Raises:
        ListenError: Another server listens. Two that start at once may both be bound, but only one
            may listen.
    """
    try:
        bound.listen(BACKLOG)
    except OSError as error:
        raise _listen_error(host, port, error) from error


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine can connect to a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def neighbour(host: str, port: int) -> Neighbour | None:
    """Return the program that listens there, within seconds; None if none does."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        is_any = ipaddress.ip_address(str(address[0])).is_unspecified
        at = LOOPBACKS[family] if is_any else str(address[0])
        socket.create_connection((at, port), timeout=ASK_WITHIN_S).close()
    except (OSError, UnicodeError):
        return None
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        health = _health(at, port)
        if isinstance(health, dict) and "trackedSessions" in health:
            return Neighbour(str(health.get("version")), str(health.get("status")))
    return Neighbour()


def _health(host: str, port: int) -> object:
    connection = http.client.HTTPConnection(host, port, timeout=ASK_WITHIN_S)
    with contextlib.closing(connection):
        connection.request("GET", "/api/health")
        return json.loads(connection.getresponse().read(ANSWER_BYTES))


def _listen_error(host: str, port: int, error: OSError | UnicodeError) -> ListenError:
    at = f"cannot listen on {host}:{port}"
    if isinstance(error, socket.gaierror | UnicodeError):
        return ListenError(
            f"{at}: HOST can't be found", "set it to an address of this machine or to 0.0.0.0"
        )
    if error.errno == errno.EADDRINUSE:
        who = neighbour(host, port) or Neighbour()
        hint = ""
        if port == 5000 and sys.platform == "darwin" and who.version is None:
            hint = " (macOS keeps port 5000 for AirPlay Receiver)"
        return ListenError(
            f"{at}: {who} is already running there", f"stop it, or set PORT to another port{hint}"
        )
    if error.errno in NOT_ALLOWED:
        return ListenError(
            f"{at}: permission denied, ports below 1024 need root", "set PORT to 1024 or higher"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ListenError(
            f"{at}: this machine has no such address",
            "set HOST to 127.0.0.1, or to 0.0.0.0 for all addresses",
        )
    return ListenError(f"{at}: {error.strerror or error}", "set PORT or HOST to another value")
