"""Clients that take a streamed answer slowly: the wait for each piece is limited, not the whole.

The limit is shortened here; `tests/live/test_export.py` has the cut-off in real time.
"""

import socket
import time
import uuid
from collections.abc import Iterator

import pymongo
import pytest

from focusup.asgi import request_handling
from tests.support.app_server import AppServer, running_app
from tests.support.embedded import shared_uri
from tests.support.many_sessions import fill

EXPORT = "/api/me/export"
COUNT = 2_500
TAKEN_WITHIN_S = 0.8
SMALL_BUFFER_BYTES = 32_768


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_handling, "TAKEN_WITHIN_S", TAKEN_WITHIN_S)
        with running_app(tmp_path_factory.mktemp("slow"), shared_uri()) as server:
            yield server


@pytest.fixture(scope="module")
def user(server: AppServer) -> str:
    user = uuid.uuid4().hex
    with pymongo.MongoClient[dict[str, object]](server.mongodb_uri) as mongo:
        fill(mongo[server.database], user, COUNT)
    return user


def asked(server: AppServer, user: str) -> socket.socket:
    """Ask for an export on a connection whose buffers hold little of it."""
    host, port = server.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    client.connect((host, int(port)))
    client.sendall(
        f"GET {EXPORT} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        f"Authorization: Bearer {server.token(user)}\r\n\r\n".encode()
    )
    return client


def test_a_client_that_takes_nothing_is_cut_off(server: AppServer, user: str) -> None:
    with asked(server, user), server.rest(user) as rest:
        time.sleep(TAKEN_WITHIN_S / 2)
        assert rest.get(EXPORT).status_code == 503  # one at a time
        deadline_s = time.monotonic() + 20 * TAKEN_WITHIN_S
        while rest.head(EXPORT).status_code != 200:
            assert time.monotonic() < deadline_s, "it goes on without its client"
            time.sleep(0.05)


def test_no_time_limit_ends_an_export_that_is_taken_slowly(server: AppServer, user: str) -> None:
    with asked(server, user) as client:
        took, pieces = time.monotonic(), [client.recv(1000)]
        for _ in range(4):
            time.sleep(TAKEN_WITHIN_S / 2)
            pieces.append(client.recv(200_000))
        assert time.monotonic() - took > 1.5 * TAKEN_WITHIN_S
        while piece := client.recv(1_000_000):
            pieces.append(piece)
    assert b"".join(pieces).count(b'"timeline":') == COUNT
