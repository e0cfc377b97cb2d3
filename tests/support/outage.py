"""A server whose database can be made to stand still, whichever database tests run on.

The embedded database is stopped by a signal. A MongoDB of others is reached through a proxy
that passes nothing on for a while, which looks the same from the server.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo

from tests.support.database_server import uri
from tests.support.live_server import LiveServer, running_server
from tests.support.proxy import Proxy
from tests.support.requirements import mongodb_test_uri


@dataclass
class Hang:
    """The means to stop the database under a server, and to let it go on."""

    begin: Callable[[], None]
    end: Callable[[], None]


@contextmanager
def server_and_hang(directory: Path, **settings: str) -> Iterator[tuple[LiveServer, Hang]]:
    """Run a server, and give the means to let its database hang."""
    shared = mongodb_test_uri()
    if shared is None:
        with running_server(directory, **settings) as server:
            yield (
                server,
                Hang(
                    lambda: signal_database(server, signal.SIGSTOP),
                    lambda: signal_database(server, signal.SIGCONT),
                ),
            )
        return
    with (
        Proxy(_port_of_primary(shared)) as proxy,
        running_server(directory, MONGODB_URI=uri(proxy.port), **settings) as server,
    ):
        try:
            yield server, Hang(proxy.freeze, proxy.thaw)
        finally:
            proxy.thaw()


def signal_database(server: LiveServer, number: int) -> None:
    """Send a signal to the embedded database of a server."""
    os.kill(int((server.data_dir / "secantusdb.pid").read_text()), number)


def _port_of_primary(shared: str) -> int:
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(shared) as client:
        client.admin.command("ping")
        assert client.address is not None
        return client.address[1]
