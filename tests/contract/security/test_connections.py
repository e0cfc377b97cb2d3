"""One protocol on the wire, and an end for every connection, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from routes.http.services import Services
from tests.support.app_server import AppServer, running_app
from tests.support.embedded import shared_uri

PATIENCE_S = 20.0
H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
POOLED = 100


class Raw:
    """A connection on which a test writes what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, text: str) -> None:
        self.writer.write(text.encode())

    async def answer(self) -> tuple[int, str]:
        """Status and head of the next answer; its body is read, too. 0 where there is none."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0, ""
            if "content-length: " in head:
                size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                await self.reader.readexactly(size)
            return int(head.split()[1]), head

    async def ended(self) -> bytes:
        """What the server says until it ends the connection."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def raw(server: AppServer, count: int = 1) -> AsyncIterator[list[Raw]]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    found = [Raw(*await asyncio.open_connection(host, int(port))) for _ in range(count)]
    try:
        yield found
    finally:
        for each in found:
            each.writer.close()


# --- one protocol -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/health", "/ws/sessions", "/metrics", "/nothing"])
async def test_an_upgrade_to_http_2_is_answered_by_http_1(
    live_server: AppServer, path: str
) -> None:
    async with raw(live_server) as (one,):
        one.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{H2C}\r\n")
        status, head = await one.answer()
        assert status in {200, 404, 426, 403}
        assert head.startswith("http/1.1 ")
        one.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\0\0\0\4\0\0\0\0\0")
        assert (await one.ended()).startswith(b"HTTP/1.1 505 ")


@pytest.mark.parametrize(
    "head",
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /api/health HTTP/2.0\r\nHost: x\r\n\r\n"],
)
async def test_the_preface_of_http_2_is_refused_and_the_connection_ends(
    live_server: AppServer, head: str
) -> None:
    async with raw(live_server) as (one,):
        one.send(head + "\0\0\0\4\0\0\0\0\0")
        said = await one.ended()
    assert said.startswith(b"HTTP/1.1 505 ")
    assert said.count(b"HTTP/1.1 ") == 1


async def test_any_other_upgrade_is_passed_over(live_server: AppServer) -> None:
    async with raw(live_server) as (one,):
        for name in ("TLS/1.0", "websocket", "h2c", "websocket, h2c"):
            one.send(
                "GET /api/health HTTP/1.1\r\nHost: x\r\n"
                f"Connection: Upgrade\r\nUpgrade: {name}\r\n\r\n"
            )
            assert (await one.answer())[0] == 200


# --- handshakes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /ws/sessions HTTP/1.1\r\n" + HANDSHAKE.replace("13", "8"), 426),
        ("GET /ws/pageviews HTTP/1.1\r\n" + HANDSHAKE.replace("Version: 13", "Version: 7"), 426),
        ("GET /ws/sessions HTTP/1.1\r\n" + HANDSHAKE.replace("AAAA==", "=="), 426),
        ("GET /ws/sessions HTTP/1.1\r\n" + HANDSHAKE.replace("Key: A", "Other: A"), 426),
        ("GET /ws/nothing HTTP/1.1\r\n" + HANDSHAKE, 404),
        ("GET /nothing HTTP/1.1\r\n" + HANDSHAKE, 404),
        ("POST /ws/sessions HTTP/1.1\r\nContent-Length: 0\r\n" + HANDSHAKE, 405),
        ("GET /ws/sessions HTTP/1.0\r\n" + HANDSHAKE, 426),
    ],
)
async def test_a_refused_handshake_leaves_no_connection_behind(
    tmp_path: Path, head: str, status: int
) -> None:
    """It ends at once, or when no request follows in time."""
    with running_app(tmp_path, shared_uri(), keep_alive_seconds=1) as server:
        async with raw(server, 5) as connections:
            for one in connections:
                one.send(f"{head}Host: x\r\n\r\n")
            for one in connections:
                found, told = await one.answer()
                assert found == status
                assert "application/problem+json" in told
                assert ("sec-websocket-version: 13" in told) == (status == 426)
            for one in connections:
                assert await one.ended() == b""


async def test_frames_before_the_handshake_is_answered_end_the_connection(
    live_server: AppServer,
) -> None:
    async with raw(live_server) as (one,):
        one.send(f"GET /ws/sessions HTTP/1.1\r\nHost: x\r\n{HANDSHAKE}\r\n" + "\0" * 20_000)
        await one.ended()
    with live_server.rest() as rest:
        assert rest.get("/api/health").status_code == 200


async def test_handshakes_of_an_address_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("focusup.asgi.admission.HANDSHAKES_AT_ONCE", 3)
    monkeypatch.setattr("focusup.asgi.admission.HANDSHAKE_WAITS_S", 0.0)
    with running_app(tmp_path, shared_uri(), rate_limits=True, handshakes_per_minute=1) as server:
        async with raw(server, 5) as connections:
            found = []
            for one in connections:
                one.send(f"GET /ws/pageviews HTTP/1.1\r\nHost: x\r\n{HANDSHAKE}\r\n")
                found.append((await one.answer())[0])
        assert found == [101, 101, 101, 429, 429]


async def test_sockets_of_both_kinds_share_the_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("focusup.file_descriptors.soft_limit", lambda: 400)
    with running_app(tmp_path, shared_uri()) as server:

        async def rooms(services: Services) -> tuple[bool, bool, bool]:
            room = services.sessions.tracking.registry.room
            before = room.is_full
            room.taken = 336
            return services.page_views.tracking.registry.room is room, before, room.is_full

        assert server.call(rooms) == (True, False, True)


# --- how long they last -------------------------------------------------------------------


async def test_an_answer_says_how_long_its_connection_stays_open(live_server: AppServer) -> None:
    async with raw(live_server) as (one,):
        one.send("GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
        _, head = await one.answer()
        assert "\r\nkeep-alive: timeout=75\r\n" in head
        one.send("GET /api/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        _, head = await one.answer()
        assert "\r\nconnection: close\r\n" in head
        assert await one.ended() == b""


async def test_no_request_runs_whose_answer_is_thrown_away(tmp_path: Path) -> None:
    """Though each is sent in the very moment in which its idle connection ends."""
    with running_app(tmp_path, shared_uri(), keep_alive_seconds=1) as server:
        token = server.token("late")
        body = '{"targetMinutes":25}'
        post = (
            f"POST /api/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        async with raw(server, POOLED) as pool:
            for one in pool:
                one.send("GET /api/health/live HTTP/1.1\r\nHost: x\r\n\r\n")

            async def again(one: Raw, late_s: float) -> int:
                await one.answer()
                await asyncio.sleep(1 + late_s)
                one.send(post)
                return (await one.answer())[0]

            spread = [(number - POOLED / 2) / 1000 for number in range(POOLED)]
            statuses = await asyncio.gather(*map(again, pool, spread))
        assert set(statuses) <= {0, 201}
        stored = 0
        with server.rest("late") as rest:
            answer = rest.get("/api/sessions", params={"limit": 100}).json()
            stored = len(answer["sessions"])
        assert stored == statuses.count(201)


async def test_idle_connections_are_bounded_and_the_oldest_makes_room(tmp_path: Path) -> None:
    with running_app(tmp_path, shared_uri(), max_idle_connections=16) as server:
        async with raw(server, 40) as connections:
            await asyncio.gather(*(one.ended() for one in connections[:24]))
            newest = connections[-1]
            newest.send("GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await newest.answer())[0] == 200


async def test_so_are_those_of_one_address_unless_it_is_a_proxy(tmp_path: Path) -> None:
    for proxies, ends in ((), True), (("127.0.0.0/8",), False):
        with running_app(
            tmp_path, shared_uri(), max_idle_connections_per_address=4, trusted_proxies=proxies
        ) as server:
            async with raw(server, 10) as connections:
                if ends:
                    await asyncio.gather(*(one.ended() for one in connections[:6]))
                else:
                    connections[0].send("GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert (await connections[0].answer())[0] == 200
