"""A database server of our own beside the servers under test, to be hurt on purpose."""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pymongo

from focusup.database.ports import free_port
from tests.support.requirements import missing

START_WITHIN_S = 20.0


class Database:
    """`secantusd-rs` as the product runs it, on one port and one directory for life."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "database"
        self.port = free_port()
        self._log = directory / "database.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return uri(self.port)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> float:
        """Start it (again); the seconds until it answered."""
        began_s = time.monotonic()
        self.directory.mkdir(parents=True, exist_ok=True)
        empty = self.directory.with_suffix(".toml")
        empty.write_bytes(b"")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program(),
                    *("--config", str(empty), "--host", "127.0.0.1", "--port", str(self.port)),
                    *("--storage-path", str(self.directory), "--sync-on-commit"),
                    *("--data-nonlogged", "--checkpoint-seconds", "15"),
                    *("--log-file-max", "64MB", "--cache-size", "256M", "--log-level", "WARNING"),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        client: pymongo.MongoClient[dict[str, object]]
        with pymongo.MongoClient(
            self.uri, serverSelectionTimeoutMS=round(START_WITHIN_S * 1000)
        ) as client:
            client.admin.command("ping")
        return time.monotonic() - began_s

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Cleanly, as far as it can."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(20)


def uri(port: int) -> str:
    """SecantusDB forgets at a crash which retryable writes it did: never retry them."""
    return f"mongodb://127.0.0.1:{port}/?directConnection=true&retryWrites=false"


def program() -> str:
    try:
        files = distribution("secantusdb")
    except PackageNotFoundError:
        missing("secantusdb is not installed: tests of races and indexes need a real database")
    name = "secantusd-rs.exe" if sys.platform == "win32" else "secantusd-rs"
    return str(files.locate_file(f"secantusdb.scripts/{name}"))
