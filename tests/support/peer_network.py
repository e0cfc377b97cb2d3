"""Networks to be hurt on purpose: one of its own for a client, and a proxy that turns mute."""

import asyncio
import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.support.requirements import missing, require

CLIENT = Path(__file__).with_name("peer_client.py")


class Network:
    """A network namespace, joined to ours by one link."""

    def __init__(self, ip: str, number: int) -> None:
        self._ip = ip
        self._name = f"focusup-{uuid.uuid4().hex[:8]}"
        self._link = f"fu{uuid.uuid4().hex[:8]}"
        self.here, self.there = f"10.213.{number}.1", f"10.213.{number}.2"

    def make(self) -> None:
        self._run("netns", "add", self._name)
        inner = f"{self._link}i"
        self._run("link", "add", self._link, "type", "veth", "peer", "name", inner)
        self._run("link", "set", inner, "netns", self._name)
        self._run("address", "add", f"{self.here}/30", "dev", self._link)
        self._run("link", "set", self._link, "up")
        self._run("-n", self._name, "address", "add", f"{self.there}/30", "dev", inner)
        self._run("-n", self._name, "link", "set", inner, "up")

    def start_client(self, port: int, token: str, session_id: str) -> "subprocess.Popen[str]":
        """`peer_client` within the network."""
        return subprocess.Popen(
            [
                *(self._ip, "netns", "exec", self._name, sys.executable, str(CLIENT)),
                *(self.here, str(port), token, session_id),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def cut(self) -> None:
        """From now on nothing gets through, and nobody is told."""
        self._run("-n", self._name, "link", "set", f"{self._link}i", "down")

    def remove(self) -> None:
        for command in (["link", "delete", self._link], ["netns", "delete", self._name]):
            subprocess.run([self._ip, *command], check=False, capture_output=True)

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._ip, *arguments], check=True, capture_output=True, text=True)


@contextmanager
def network() -> Iterator[Network]:
    ip = require("ip", "a client in a network of its own")
    if os.geteuid() != 0:
        missing("only root may make a network namespace")
    found = Network(ip, os.getpid() % 250)
    try:
        try:
            found.make()
        except subprocess.CalledProcessError as error:
            missing(f"no network namespace can be made: {error.stderr.strip()}")
        yield found
    finally:
        found.remove()


class Proxy:
    """Forwards, until it is told to swallow: then it goes on reading both sides, and TCP goes
    on acknowledging, but nothing gets through."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.swallowing = False
        self._behind = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        for ends in ((reader, other_writer), (other_reader, writer)):
            self._tasks.add(asyncio.create_task(self._forward(*ends)))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if not self.swallowing:
                    writer.write(data)
                    await writer.drain()
        writer.close()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[Proxy]:
    """A proxy to this port of the loopback interface."""
    found = Proxy(port)
    listening = await asyncio.start_server(found.take, "127.0.0.1", 0)
    found.port = listening.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        listening.close()
        await found.end()
