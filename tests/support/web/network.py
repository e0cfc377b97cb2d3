"""The network between a browser and the server, which can be cut and mended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK = 65_536


class Network:
    """Forwards connections on `url` to the server."""

    def __init__(self, server_url: str) -> None:
        self._port = int(server_url.rpartition(":")[2])
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self.url = ""

    async def cut(self) -> None:
        """Nothing passes, and whoever tries is refused."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self._is_cut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        behind = await asyncio.open_connection("127.0.0.1", self._port)
        ends = {writer, behind[1]}
        self._writers |= ends
        await asyncio.gather(_pass(reader, behind[1]), _pass(behind[0], writer))
        self._writers -= ends


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    with suppress(ConnectionError):
        writer.close()


@asynccontextmanager
async def network(server_url: str) -> AsyncIterator[Network]:
    it = Network(server_url)
    listener = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        await it.cut()
        listener.close()
