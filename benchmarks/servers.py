"""A server to be measured, as a child with a fresh embedded database of its own."""

import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

SECRET = "a secret that is long enough for benchmarks"
START_WITHIN_S = 30.0
Which = Literal["ours", "naive"]


@dataclass
class Measured:
    """CPU seconds of server and database, and statements, so far."""

    at_s: float
    server_cpu_s: float
    database_cpu_s: float
    statements: int


class Server:
    def __init__(self, which: Which, directory: Path) -> None:
        self.port = _free_port()
        self._directory = directory
        self._counter = directory / "statements"
        environment = os.environ | {
            "PORT": str(self.port),
            "HOST": "127.0.0.1",
            "DATA_DIR": str(directory / "data"),
            "JWT_SECRET": SECRET,
            "RATE_LIMITS": "off",
            "MAX_SOCKETS_PER_USER": "1000000",
            "MAX_SOCKETS": "1000000",
        }
        environment.pop("MONGODB_URI", None)
        with (directory / "log").open("wb") as log:
            self.process = psutil.Popen(
                [sys.executable, "-m", "benchmarks.counted", str(self._counter), which],
                env=environment,
                stdout=log,
                stderr=log,
            )
        self._wait()
        children = self.process.children()
        self.database = next(child for child in children if "secantusd" in child.name())

    @property
    def mongodb_uri(self) -> str:
        arguments = self.database.cmdline()
        port = arguments[arguments.index("--port") + 1]
        return f"mongodb://127.0.0.1:{port}/?directConnection=true"

    def rss_bytes(self) -> int:
        return int(self.process.memory_info().rss)

    def measure(self) -> Measured:
        server, database = self.process.cpu_times(), self.database.cpu_times()
        return Measured(
            time.monotonic(),
            server.user + server.system,
            database.user + database.system,
            int(self._counter.read_text()),
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except psutil.TimeoutExpired:
            for process in (*self.process.children(), self.process):
                process.kill()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError((self._directory / "log").read_text())


@contextmanager
def running(which: Which) -> Iterator[Server]:
    """A server with an empty database, gone afterwards with all it wrote."""
    directory = Path(tempfile.mkdtemp(prefix="focusup-benchmark-"))
    try:
        server = Server(which, directory)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def raise_descriptor_limit() -> int:
    """As many open files as we may have; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
