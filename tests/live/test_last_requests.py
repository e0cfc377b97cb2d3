"""Requests that come while the server stops: answered, each the last of its connection."""

import asyncio
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.live_server import running_server

REQUEST = b"GET /api/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
REFUSES_WITHIN_S = 10.0


async def asked(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[bytes, list[bytes]]:
    """Send a request; its status, and the header lines of the answer."""
    writer.write(REQUEST)
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        (length,) = (int(line.split(b":")[1]) for line in lines if b"content-length" in line)
        await reader.readexactly(length)
    return lines[0].split()[1], lines


async def refuses(host: str, port: int) -> None:
    """Until nobody listens there any more."""
    deadline_s = time.monotonic() + REFUSES_WITHIN_S
    while time.monotonic() < deadline_s:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except ConnectionRefusedError:
            return
        writer.close()
    raise AssertionError("it still listens")


async def test_a_request_on_an_idle_connection_is_answered_and_its_last(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        host, port = urlsplit(server.url).hostname, urlsplit(server.url).port
        assert host is not None
        assert port is not None
        reader, writer = await asyncio.open_connection(host, port)
        status, lines = await asked(reader, writer)
        assert (status, b"connection: close" in lines) == (b"200", False)
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        await refuses(host, port)
        status, lines = await asked(reader, writer)
        assert (status, b"connection: close" in lines) == (b"200", True)
        assert await reader.read() == b""
        writer.close()
        assert await stopping == 0
