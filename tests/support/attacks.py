"""Peers that mean harm, as a program: `python -m tests.support.attacks KIND COUNT URL SECONDS`.

So many connections send together up to 10 MB/s of one kind of bytes for so long, and come back
whenever they are cut off. What was sent is printed as JSON at the end.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
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


class Attack:
    def __init__(self, kind: str, url: str, until_s: float, bytes_per_s: float) -> None:
        self.kind = kind
        self.sent: Counter[str] = Counter()
        self._address = urlsplit(url)
        self._until_s = until_s
        self._bytes_per_s = bytes_per_s

    async def run(self) -> None:
        while time.monotonic() < self._until_s:
            with contextlib.suppress(
                OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
            ):
                await self._connection()
            self.sent["connections"] += 1
            await asyncio.sleep(0.001)

    async def _connection(self) -> None:
        host, port = self._address.hostname, self._address.port
        reader, writer = await asyncio.open_connection(host, port, limit=1 << 16)
        try:
            async with asyncio.timeout_at(
                asyncio.get_running_loop().time() + max(0.0, self._until_s - time.monotonic())
            ):
                await self._speak(reader, writer)
        except TimeoutError:
            pass
        finally:
            writer.transport.abort()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.kind in FRAMES or self.kind in {"handshakes", "refused", "half"}:
            version = 8 if self.kind == "refused" else 13
            head = HANDSHAKE.format(path="/ws/pageviews", version=version).encode()
            if self.kind == "half":
                writer.write(head)
                await reader.read()
                return
            writer.write(head + b"\r\n")
            await reader.readuntil(b"\r\n\r\n")
            if self.kind in {"handshakes", "refused"}:
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


async def main(kind: str, count: int, url: str, seconds: float) -> None:
    attack = Attack(kind, url, time.monotonic() + seconds, BYTES_PER_S / count)
    await asyncio.gather(*(attack.run() for _ in range(count)))
    print(json.dumps(attack.sent))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
