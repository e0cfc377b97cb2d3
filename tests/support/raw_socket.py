"""A WebSocket client for tests that may break any rule: frames byte by byte, resets, silence.

It does nothing by itself: no pong, no answer to a close, and no reading unless told to.
"""

import asyncio
import base64
import contextlib
import json
import os
import socket
import struct
from typing import Any
from urllib.parse import urlsplit

from tests.support.server import Server

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PATIENCE_S = 8.0


def frame(
    payload: bytes, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """A frame as a client sends it; a mask of zeros is a mask as well."""
    size, mask = len(payload), 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if size < 126:
        head += bytes([mask | size])
    elif size < 1 << 16:
        head += struct.pack(">BH", mask | 126, size)
    else:
        head += struct.pack(">BQ", mask | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def message(type_: str, **fields: Any) -> bytes:
    """A message of the protocol in a frame."""
    return frame(json.dumps({"type": type_, **fields}).encode())


class RawSocket:
    """Made by `opened`."""

    def __init__(self, connection: socket.socket, head: bytes, received: bytes) -> None:
        self.connection = connection
        self.head = head
        self.nagging = b""
        """What a test sends again and again."""
        self._received = received

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.connection, data)

    def send_what_fits(self, data: bytes) -> int:
        """Without waiting for the peer to take it: how many bytes went."""
        with contextlib.suppress(BlockingIOError):
            return self.connection.send(data)
        return 0

    async def next_frame(self, within_s: float = PATIENCE_S) -> tuple[int, bytes] | None:
        """Opcode and payload; None once the server has ended the connection."""
        async with asyncio.timeout(within_s):
            while (found := self._take_frame()) is None:
                data = b""
                with contextlib.suppress(ConnectionError):
                    data = await asyncio.get_running_loop().sock_recv(self.connection, 1 << 16)
                if not data:
                    return None
                self._received += data
        return found

    async def next_message(self, *types: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """The next message of these types; what comes before it is passed over."""
        async with asyncio.timeout(within_s):
            while (found := await self.next_frame(within_s)) is not None:
                if found[0] == TEXT and (told := json.loads(found[1]))["type"] in types:
                    return dict(told)
        raise AssertionError("the server ended the connection")

    async def closed(self, within_s: float = PATIENCE_S) -> int | None:
        """The code of the server's close frame; None when it ends without one."""
        async with asyncio.timeout(within_s):
            while (found := await self.next_frame(within_s)) is not None:
                if found[0] == CLOSE:
                    return int.from_bytes(found[1][:2], "big")
        return None

    async def ended(self, within_s: float = PATIENCE_S) -> None:
        """Wait until the server has ended the connection itself."""
        async with asyncio.timeout(within_s):
            while await self.next_frame(within_s) is not None:
                pass

    def end(self) -> None:
        self.connection.close()

    def reset(self) -> None:
        """End with a reset: nothing is said, and nothing that is under way arrives."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def _take_frame(self) -> tuple[int, bytes] | None:
        data, at = self._received, 2
        if len(data) < at:
            return None
        size = data[1]
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        if len(data) < at + size:
            return None
        self._received = data[at + size :]
        return data[0] & 0x0F, data[at : at + size]


async def opened(
    server: Server, user: str, *, receive_bytes: int | None = None, extensions: str = ""
) -> RawSocket:
    """A socket after its handshake. `receive_bytes` bounds what the system takes for it."""
    address = urlsplit(server.url)
    connection = socket.socket()
    connection.setblocking(False)
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (address.hostname, address.port))
    key = base64.b64encode(os.urandom(16)).decode()
    offer = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
    request = (
        f"GET /ws/sessions?token={server.token(user)} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n{offer}\r\n"
    )
    await loop.sock_sendall(connection, request.encode())
    received = b""
    while b"\r\n\r\n" not in received:
        data = await loop.sock_recv(connection, 4096)
        assert data, received
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    assert b" 101 " in head.partition(b"\r\n")[0], head
    return RawSocket(connection, head, rest)
