"""Signing out on one of two servers that share a database ends what it should on both."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.database_server import Database
from tests.support.issuers import pem, token_of
from tests.support.live_server import LiveServer
from tests.support.page_client import viewing
from tests.support.pair import Pair, pair
from tests.support.socket_client import SocketClient, connected

REFUSED_AT_ALL_WITHIN_S = 20.0
CLOSED_WITHIN_S = 2.0
"""As is promised, on a machine that answers a request at once."""
PASSWORD = "correct horse battery"


@pytest.fixture
def servers(tmp_path: Path, database: Database) -> Iterator[Pair]:
    with pair(tmp_path, database, JWT_PUBLIC_KEY=pem("EdDSA")) as found:
        yield found


class Person:
    def __init__(self, server: LiveServer) -> None:
        self.email = f"{uuid.uuid4().hex}@example.com"
        with server.rest(None) as rest:
            body = {"email": self.email, "password": PASSWORD}
            self.first = rest.post("/api/auth/signup", json=body).json()
            self.second = rest.post("/api/auth/login", json=body).json()
        self.id: str = self.first["user"]["id"]


def ask(server: LiveServer, method: str, path: str, token: str, **body: Any) -> httpx.Response:
    with server.rest(None) as rest:
        if token:
            rest.headers["Authorization"] = f"Bearer {token}"
        return rest.request(method, path, json=body or None)


def status(server: LiveServer, token: str) -> int:
    return ask(server, "GET", "/api/sessions", token).status_code


async def closed_within_s(client: SocketClient, began_s: float) -> float:
    assert await client.closed() == 4401
    return time.monotonic() - began_s


async def refused_within_s(server: LiveServer, token: str, began_s: float) -> float:
    while await asyncio.to_thread(status, server, token) != 401:
        assert time.monotonic() - began_s < REFUSED_AT_ALL_WITHIN_S, "still let in"
        await asyncio.sleep(0.05)
    return time.monotonic() - began_s


async def patience_s(servers: Pair) -> float:
    """What is promised, and the time of ten requests as long as they take here and now."""
    slowest_s = 0.0
    for server in (*servers, *servers):
        began_s = time.monotonic()
        await asyncio.to_thread(status, server, server.token("somebody"))
        slowest_s = max(slowest_s, time.monotonic() - began_s)
    return CLOSED_WITHIN_S + 10 * slowest_s


@pytest.mark.parametrize("by", ["bearer", "refreshToken"])
async def test_logout_ends_the_sockets_of_its_login_on_all_servers(servers: Pair, by: str) -> None:
    patience = await patience_s(servers)
    ada = await asyncio.to_thread(Person, servers.a)
    ended, lives = ada.first["token"], ada.second["token"]
    made = ask(servers.b, "POST", "/api/sessions", ended, title="x").json()["session"]["_id"]
    async with AsyncExitStack() as stack:
        theirs: list[SocketClient] = []
        others: list[SocketClient] = []
        for server in servers:
            for clients, token in ((theirs, ended), (others, lives)):
                client = await stack.enter_async_context(connected(server, token=token))
                clients.append(client)
                clients.append(await stack.enter_async_context(viewing(server, token=token)))
        await theirs[2].start(made)
        await theirs[2].next("tick")
        began_s = time.monotonic()
        if by == "bearer":
            answer = ask(servers.a, "POST", "/api/auth/logout", ended)
        else:
            secret = ada.first["refreshToken"]
            answer = ask(servers.a, "POST", "/api/auth/logout", "", refreshToken=secret)
        assert answer.status_code == 204
        assert status(servers.a, ended) == 401
        took_s = await asyncio.gather(*(closed_within_s(client, began_s) for client in theirs))
        assert max(took_s) < patience
        assert await refused_within_s(servers.b, ended, began_s) < patience
        for client in others:
            await client.ask("ping", "pong")
    async with connected(servers.b, token=ended) as client:
        assert await client.closed() == 4401
    # What was counted is kept, and goes on with the next login.
    session = ask(servers.a, "GET", f"/api/sessions/{made}", lives).json()["session"]
    assert session["status"] == "active"
    assert session["elapsedSeconds"] >= 1
    assert status(servers.a, lives) == status(servers.b, lives) == 200
    # Signing out again changes nothing, by a token that was signed out as well.
    assert ask(servers.b, "POST", "/api/auth/logout", ended).status_code == 204


async def test_logout_everywhere_ends_every_socket_of_its_user(servers: Pair) -> None:
    """Those of tokens that others issued in this user's name too."""
    patience = await patience_s(servers)
    ada, bob = [await asyncio.to_thread(Person, servers.a) for _ in range(2)]
    issued = servers.a.token(ada.id)
    mine = [ada.first["token"], ada.second["token"], issued]
    async with AsyncExitStack() as stack:
        theirs = [
            await stack.enter_async_context(connect(server, token=token))
            for server in servers
            for token in mine
            for connect in (connected, viewing)
        ]
        other = await stack.enter_async_context(connected(servers.b, token=bob.first["token"]))
        began_s = time.monotonic()
        answer = ask(servers.a, "POST", "/api/auth/logout-everywhere", mine[0])
        assert (answer.status_code, answer.content) == (204, b"")
        assert [status(servers.a, token) for token in mine] == [401] * 3
        took_s = await asyncio.gather(*(closed_within_s(client, began_s) for client in theirs))
        assert max(took_s) < patience
        for token in mine:
            assert await refused_within_s(servers.b, token, began_s) < patience
        await other.ask("ping", "pong")
    for each in (ada.first, ada.second):
        body = {"refreshToken": each["refreshToken"]}
        assert ask(servers.b, "POST", "/api/auth/refresh", "", **body).status_code == 401
    # A token that was signed out signs nobody out, and lets nobody leave.
    assert ask(servers.b, "POST", "/api/auth/logout-everywhere", mine[2]).status_code == 401
    assert ask(servers.b, "DELETE", "/api/me", mine[2], password=PASSWORD).status_code == 401
    # Signing in again works at once, on all servers.
    again = {"email": ada.email, "password": PASSWORD}
    fresh = ask(servers.b, "POST", "/api/auth/login", "", **again).json()["token"]
    assert status(servers.a, fresh) == status(servers.b, fresh) == 200
    async with connected(servers.a, token=fresh) as client:
        await asyncio.sleep(1.2)
        await client.ask("ping", "pong")


async def test_logout_everywhere_with_a_token_of_another_issuer(servers: Pair) -> None:
    patience = await patience_s(servers)
    user = uuid.uuid4().hex
    old = token_of("EdDSA", sub=user)
    async with connected(servers.b, token=old) as client:
        began_s = time.monotonic()
        assert ask(servers.a, "POST", "/api/auth/logout-everywhere", old).status_code == 204
        assert await closed_within_s(client, began_s) < patience
    for server in servers:
        assert await refused_within_s(server, old, began_s) < patience
    await asyncio.sleep(1.1)  # it was issued in whole seconds
    fresh = token_of("EdDSA", sub=user)
    assert status(servers.a, fresh) == status(servers.b, fresh) == 200


async def test_refresh_reuse_ends_the_sockets_of_its_family(servers: Pair) -> None:
    patience = await patience_s(servers)
    ada = await asyncio.to_thread(Person, servers.a)
    spent = {"refreshToken": ada.first["refreshToken"]}
    for _ in range(2):  # so that the successor of the first one is used
        answer = ask(servers.a, "POST", "/api/auth/refresh", "", **spent).json()
        latest, spent = spent, {"refreshToken": answer["refreshToken"]}
    assert latest != spent
    async with (
        connected(servers.b, token=answer["token"]) as client,
        connected(servers.b, token=ada.second["token"]) as other,
    ):
        began_s = time.monotonic()
        reused = {"refreshToken": ada.first["refreshToken"]}
        assert ask(servers.a, "POST", "/api/auth/refresh", "", **reused).status_code == 401
        assert await closed_within_s(client, began_s) < patience
        await other.ask("ping", "pong")
    for server in servers:
        assert await refused_within_s(server, answer["token"], began_s) < patience
        assert await refused_within_s(server, ada.first["token"], began_s) < patience
    assert status(servers.b, ada.second["token"]) == 200


def test_what_was_signed_out_stays_so_over_a_restart(tmp_path: Path, database: Database) -> None:
    with pair(tmp_path, database) as servers:
        ada = Person(servers.a)
        assert ask(servers.a, "POST", "/api/auth/logout", ada.first["token"]).status_code == 204
        servers.b.stop()
        servers.b.start()
        assert status(servers.b, ada.first["token"]) == 401
        assert status(servers.b, ada.second["token"]) == 200


def test_a_request_reads_nothing_for_its_token(servers: Pair, database: Database) -> None:
    """While the database stands still a good token is let in, and a revoked one refused."""
    ada = Person(servers.a)
    assert ask(servers.a, "POST", "/api/auth/logout", ada.first["token"]).status_code == 204
    body = {"startedAt": 1}  # refused before anything is read
    path = f"/api/sessions/{'f' * 24}/reassign"
    database.freeze()
    try:
        began_s = time.monotonic()
        assert ask(servers.a, "POST", path, ada.first["token"], **body).status_code == 401
        assert ask(servers.a, "POST", path, ada.second["token"], **body).status_code == 422
        assert time.monotonic() - began_s < 1
    finally:
        database.thaw()
