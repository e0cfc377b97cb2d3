"""Choose the port of the child process.

Invariants:

- The port is outside the range for outgoing connections. It must be free again for a restart, and
  an outgoing connection, even an attempt of the driver to reconnect, might use it by then.
"""

import secrets
import socket

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 32_000)
"""Below the outgoing ports of Linux (from 32768), macOS and Windows (from 49152)."""
ATTEMPTS = 50


def free_port() -> int:
    """Return a free port of the loopback interface."""
    for _ in range(ATTEMPTS):
        port = secrets.choice(PORTS)
        if is_free(port):
            return port
    with socket.socket() as probe:  # a machine as full as that: any will do
        probe.bind((LOOPBACK, 0))
        last: int = probe.getsockname()[1]
        return last


def is_free(port: int) -> bool:
    """Return whether a port of the loopback interface is free."""
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
