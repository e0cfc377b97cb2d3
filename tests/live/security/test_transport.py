"""Bodies and headers: how large they may be, and how long they may take, over real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from routes.http.bodies import BODY_WITHIN_S, MAX_BODY_BYTES
from tests.support.live_server import LiveServer

MAX_HEADER_BYTES = 16 * 1024
HEADERS_WITHIN_S = 5.0
LATE_S = 4.0
"""What a busy machine may take on top."""
SLOW = 100


class Raw:
    """A connection on which bytes are written as a test likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, text: str) -> None:
        self.writer.write(text.encode())
        await self.writer.drain()

    async def status(self) -> int:
        """Of the answer; 0 where the connection ends without one."""
        line = await asyncio.wait_for(self.reader.readline(), 30)
        return int(line.split()[1]) if line else 0

    async def ended(self, drip: str) -> tuple[float, bytes]:
        """How long the server lets us send so much twice a second, and what it says."""
        began_s = time.monotonic()
        ending = asyncio.create_task(self.reader.read())
        while not ending.done():
            self.writer.write(drip.encode())
            await asyncio.wait({ending}, timeout=0.5)
            assert time.monotonic() - began_s < 40
        return time.monotonic() - began_s, ending.result()


@asynccontextmanager
async def raw(server: LiveServer) -> AsyncIterator[Raw]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


# --- size ---------------------------------------------------------------------------------


@pytest.mark.parametrize("excess", [0, 1])
def test_a_body_may_have_64_kb(rest: httpx.Client, excess: int) -> None:
    head, tail = b'{"title":"a"', b"}"
    body = head + b" " * (MAX_BODY_BYTES - len(head) - len(tail) + excess) + tail
    assert rest.post("/api/sessions", content=body).status_code == (413 if excess else 201)


@pytest.mark.parametrize("path", ["/api/sessions", "/api/me/settings", "/api/goals", "/nothing"])
def test_a_body_of_unknown_length_is_bounded_too(rest: httpx.Client, path: str) -> None:
    chunks = (b"x" * 50_000 for _ in range(40))
    assert rest.put(path, content=chunks).status_code in (404, 405, 413)


async def test_headers_may_have_16_kb_together(live_server: LiveServer) -> None:
    head = "GET /api/health HTTP/1.1\r\nHost: x\r\nX-Filler: "
    for length, expected in ((MAX_HEADER_BYTES - len(head) - 100, {200}), (200_000, {400, 431})):
        async with raw(live_server) as connection:
            await connection.send(head + "x" * length)
            if expected == {200}:
                await connection.send("\r\n\r\n")
            assert await connection.status() in expected


async def test_headers_may_not_be_without_number(live_server: LiveServer) -> None:
    async with raw(live_server) as connection:
        await connection.send("GET /api/health HTTP/1.1\r\nHost: x\r\n")
        await connection.send("".join(f"X-{n}: y\r\n" for n in range(5_000)))
        assert await connection.status() in {400, 431}


@pytest.mark.parametrize(
    "head",
    [
        "GET /api/health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n",
        "GET /api/health HTTP/1.1\r\nHost: x\r\nX-A: b\r\n folded: c\r\nX : d\r\n\r\n",
        "GET /api/health HTTP/1.1\r\n\r\n",
        "\x00\x01\x02\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused(live_server: LiveServer, head: str) -> None:
    async with raw(live_server) as connection:
        await connection.send(head)
        assert await connection.status() in {0, 400, 414, 431}


async def test_a_length_beside_chunks_smuggles_nothing(live_server: LiveServer) -> None:
    """Servers that disagree on where it ends would take its rest for another request."""
    smuggled = "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
    async with raw(live_server) as connection:
        await connection.send(
            "POST /api/track-event HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            f"Content-Length: {len(smuggled) + 5}\r\n\r\n0\r\n\r\n{smuggled}"
        )
        assert await connection.status() == 400
        rest = await asyncio.wait_for(connection.reader.read(), 10)
        assert b"HTTP/1.1 " not in rest


# --- time ---------------------------------------------------------------------------------


async def test_slow_headers_end_the_connection(live_server: LiveServer) -> None:
    """A byte now and then does not keep it open."""
    async with raw(live_server) as connection:
        await connection.send("GET /api/health HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        took_s, _ = await connection.ended("x")
    assert HEADERS_WITHIN_S - 1 < took_s < HEADERS_WITHIN_S + LATE_S


async def test_a_connection_that_says_nothing_ends(live_server: LiveServer) -> None:
    async with raw(live_server) as connection:
        took_s, _ = await connection.ended("")
    assert took_s < HEADERS_WITHIN_S + LATE_S


async def test_a_slow_body_is_a_408(live_server: LiveServer) -> None:
    async with raw(live_server) as connection:
        await connection.send(
            "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
        )
        took_s, said = await connection.ended(" ")
    assert BODY_WITHIN_S - 1 < took_s < BODY_WITHIN_S + 2 + LATE_S
    assert said.startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_stops_is_told_why(live_server: LiveServer) -> None:
    async with raw(live_server) as connection:
        await connection.send(
            "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{"
        )
        assert await connection.status() == 408


async def test_many_slow_connections_hold_up_nobody(live_server: LiveServer) -> None:
    head = "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n"
    connections = []
    for each in range(SLOW):
        host, _, port = live_server.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write((head + ("\r\n" if each % 2 else "")).encode())
        connections.append((reader, writer))
    async with httpx.AsyncClient(base_url=live_server.url, timeout=5) as client:
        for _ in range(10):
            assert (await client.get("/api/health")).status_code == 200
    await asyncio.wait_for(
        asyncio.gather(*(reader.read() for reader, _ in connections)),
        BODY_WITHIN_S + 2 + 3 * LATE_S,
    )
    for _, writer in connections:
        writer.close()
