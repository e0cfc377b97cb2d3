"""Peers that mean harm, as a program: `python -m tests.support.attacks KIND COUNT URL SECONDS`.

So many connections send together up to 10 MB/s of one kind of bytes for so long, and come back
whenever they are cut off. What was sent is printed as JSON at the end. Frames go to page views,
or to sessions where their addresses and first messages come on the standard input, as JSON.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import sys
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from tests.support.raw_socket import CLOSE, CONTINUATION, PING, PONG, TEXT, frame

BYTES_PER_S = 10_000_000
CHUNK = 16 * 1024
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
GET = b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /api/track-event HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"


def repeated(data: bytes) -> bytes:
    return data * max(1, CHUNK // len(data))


FRAMES = {
    "activity": repeated(frame(b'{"type":"activity"}')),
    "texts": repeated(frame(b'{"type":"ping"}')),
    "long texts": repeated(frame(b'{"type":"activity","x":"' + b"x" * 15_000 + b'"}')),
    "pings": repeated(frame(b"", PING)),
    "pongs": repeated(frame(b"", PONG)),
    "fragments": frame(b"[", TEXT, fin=False) + repeated(frame(b"", CONTINUATION, fin=False)),
    "closes": repeated(frame(b"\x03\xe8", CLOSE)),
    "reserved": repeated(frame(b"", 0x3)),
}
BYTES = {
    "pipelining": repeated(GET),
    "h2c": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" * 100,
    "heads": b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 2_000,
    "bodies": POST + b" " * 2_000,
}


UNREAD: dict[str, tuple[bytes, float]] = {
    "unread answers": (frame(b'{"type":"ping"}') * 5, 0.1),
    "unread documents": (b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 5, 0.1),
}
"""What is asked so often by a peer that reads nothing of the answers."""
OF_SOCKETS = {*FRAMES, "unread answers", "handshakes", "refused", "half handshakes"}
Target = tuple[str, str]
"""A socket's address, and what is said first there."""
PAGE_VIEWS: Target = ("/ws/pageviews", "")


class Attack:
    def __init__(
        self, kind: str, url: str, until_s: float, bytes_per_s: float, targets: list[Target]
    ) -> None:
        self.kind = kind
        self._targets = targets
        self.sent: Counter[str] = Counter()
        self._address = urlsplit(url)
        self._until_s = until_s
        self._bytes_per_s = bytes_per_s

    async def run(self, number: int) -> None:
        target = self._targets[number % len(self._targets)]
        while time.monotonic() < self._until_s:
            with contextlib.suppress(
                OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
            ):
                await self._connection(target)
            self.sent["connections"] += 1
            await asyncio.sleep(0.001)

    async def _connection(self, target: Target) -> None:
        connection = socket.socket()
        if self.kind in UNREAD:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, (self._address.hostname, self._address.port))
        options: dict[str, Any] = {}
        if self._address.scheme == "https":
            options["ssl"] = context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            options["server_hostname"] = "localhost"
        reader, writer = await asyncio.open_connection(sock=connection, limit=1 << 16, **options)
        try:
            async with asyncio.timeout_at(
                asyncio.get_running_loop().time() + max(0.0, self._until_s - time.monotonic())
            ):
                await self._speak(reader, writer, target)
        except TimeoutError:
            pass
        finally:
            writer.transport.abort()

    async def _speak(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Target
    ) -> None:
        path, hello = target
        if self.kind in OF_SOCKETS:
            version = 8 if self.kind == "refused" else 13
            head = HANDSHAKE.format(path=path, version=version).encode()
            if self.kind == "half handshakes":
                writer.write(head)
                await reader.read()
                return
            writer.write(head + b"\r\n")
            await reader.readuntil(b"\r\n\r\n")
            if self.kind in {"handshakes", "refused"}:
                return
            if hello:
                writer.write(frame(hello.encode()))
        if self.kind in UNREAD:
            asked, every_s = UNREAD[self.kind]
            while not writer.transport.is_closing():
                writer.write(asked)
                await writer.drain()
                self.sent["bytes"] += len(asked)
                await asyncio.sleep(every_s)
            return
        data = FRAMES.get(self.kind) or BYTES[self.kind]
        reading = asyncio.create_task(self._drain(reader))
        try:
            while not reading.done():
                writer.write(data)
                await writer.drain()
                self.sent["bytes"] += len(data)
                await asyncio.sleep(len(data) / self._bytes_per_s)
        finally:
            reading.cancel()

    @staticmethod
    async def _drain(reader: asyncio.StreamReader) -> None:
        while await reader.read(1 << 16):
            pass


async def main(kind: str, count: int, url: str, seconds: float, targets: list[Target]) -> None:
    attack = Attack(kind, url, time.monotonic() + seconds, BYTES_PER_S / count, targets)
    await asyncio.gather(*(attack.run(number) for number in range(count)))
    print(json.dumps(attack.sent))


if __name__ == "__main__":
    given: list[Target] = json.loads(sys.stdin.read() or "[]")
    asyncio.run(
        main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]), given or [PAGE_VIEWS])
    )
