"""A real server for tests: `focusup serve` as a process, on a database of its own."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.requirements import mongodb_test_uri
from tests.support.server import SECRET, Server

START_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0
ADDRESS = re.compile(r"on (http://\S+)")


class LiveServer(Server):
    """Started by `start`, on the same port and data at every start."""

    COMMAND: Sequence[str] = (sys.executable, "-m", "focusup")

    def __init__(self, directory: Path, **settings: str) -> None:
        super().__init__()
        self.data_dir = directory / "data"
        self.log_path = directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MONGODB_")},
            "DATA_DIR": str(self.data_dir),
            "JWT_SECRET": SECRET,
            "PORT": "0",
            "HOST": "127.0.0.1",
            "RATE_LIMITS": "off",  # tests hammer; those of the limits turn them on
            "MONGODB_DATABASE": f"focusup_test_{uuid.uuid4().hex[:12]}",
            **({"MONGODB_URI": uri} if (uri := mongodb_test_uri()) else {}),
            **settings,
        }
        self.database = self._environment["MONGODB_DATABASE"]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def mongodb_uri(self) -> str:
        """Of the database under the server."""
        if uri := self._environment.get("MONGODB_URI"):
            return uri
        (port_file,) = self.data_dir.glob("*.port")
        return f"mongodb://127.0.0.1:{port_file.read_text()}/?directConnection=true"

    def start(self) -> "LiveServer":
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.COMMAND, "serve"],
                env=self._environment,
                cwd=self.log_path.parent,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log()
            found = ADDRESS.findall(self.log())
            if found and self._answers(found[-1]):
                self.url = found[-1]
                self._environment["PORT"] = self.url.rpartition(":")[2]
                return self
            time.sleep(0.02)
        raise AssertionError(f"the server did not start: {self.log()}")

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        return self._end(signal.SIGTERM)

    def end_by(self, number: int) -> int:
        """Any signal that ends it, and the exit status."""
        return self._end(number)

    def kill(self) -> None:
        """SIGKILL: nothing is written any more."""
        self._end(signal.SIGKILL)

    def interrupt(self) -> int:
        """Ctrl-C, as a terminal does it: SIGINT to the whole process group."""
        os.killpg(self.pid, signal.SIGINT)
        return self._end(0)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def _end(self, number: int) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if number:
            process.send_signal(number)
        return process.wait(STOP_WITHIN_S)

    @staticmethod
    def _answers(url: str) -> bool:
        try:
            return httpx.get(f"{url}/api/health", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def running_server(directory: Path, **settings: str) -> Iterator[LiveServer]:
    """A server that stops in the end, and has logged no traceback."""
    server = LiveServer(directory, **settings)
    try:
        yield server.start()
    finally:
        server.stop()
    assert "Traceback" not in server.log(), server.log()
