"""Requests at the edges of a server's life: before it can answer, and while it stops."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from focusup.database.ports import free_port
from tests.support.live_server import running_server

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
        except ConnectionResetError:
            continue  # it had been let in just when listening ended
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


def test_who_has_no_database_yet_takes_no_connection(tmp_path: Path) -> None:
    """A proxy takes who listens for who answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes connections, and never says a word
        port = free_port()
        uri = f"mongodb://127.0.0.1:{silent.getsockname()[1]}/?directConnection=true"
        process = subprocess.Popen(
            [sys.executable, "-m", "focusup", "serve", "--port", str(port)],
            env=os.environ | {"MONGODB_URI": uri, "DATA_DIR": str(tmp_path)},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(20)
        with silent.accept()[0], pytest.raises(ConnectionRefusedError):  # it asks for it now
            socket.create_connection(("127.0.0.1", port), timeout=2)
        assert process.wait(30) == 1
        assert process.stderr is not None
        assert "does not answer" in process.stderr.read()
