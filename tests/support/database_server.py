"""A database server of our own beside the servers under test, to be hurt on purpose."""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Protocol

import pymongo

from focusup.database.ports import free_port
from tests.support.mongod import ReplicaSet, Watch, new_folder, program_or_skip
from tests.support.requirements import missing, mongodb_test_uri

START_WITHIN_S = 60.0


class Server(Protocol):
    """A database server on one port and one directory for life."""

    port: int
    directory: Path

    @property
    def pid(self) -> int: ...
    def start(self) -> None: ...
    def end(self, number: signal.Signals) -> None: ...
    def remove(self) -> None: ...


class Database:
    """`secantusd-rs` as the product runs it.

    While tests run on a MongoDB, a `mongod` that is a replica set of one: the set at
    `MONGODB_TEST_URI` is shared, so it can't be hurt.
    """

    def __init__(self, directory: Path) -> None:
        self._server: Server = Mongod() if mongodb_test_uri() else Secantusd(directory)

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self._server.directory

    @property
    def uri(self) -> str:
        return uri(self.port)

    @property
    def pid(self) -> int:
        return self._server.pid

    def start(self) -> float:
        """Start it (again); the seconds until it answered."""
        began_s = time.monotonic()
        self._server.start()
        client: pymongo.MongoClient[dict[str, object]]
        with pymongo.MongoClient(
            self.uri, serverSelectionTimeoutMS=round(START_WITHIN_S * 1000)
        ) as client:
            client.admin.command("ping")
        return time.monotonic() - began_s

    def kill(self) -> None:
        self._server.end(signal.SIGKILL)

    def stop(self) -> None:
        """Cleanly, as far as it can."""
        self._server.end(signal.SIGTERM)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        self._server.remove()


class Secantusd:
    """The embedded database's program."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.directory = directory / "database"
        self._log = directory / "database.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
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

    def end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(20)

    def remove(self) -> None:
        self.end(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


class Mongod:
    """A replica set of one."""

    def __init__(self) -> None:
        program_or_skip()
        self.directory = new_folder()
        self._watch = Watch(self.directory)
        self._set = ReplicaSet(self.directory, self._watch, nodes=1)
        (self._node,) = self._set.nodes
        self.port = self._node.port
        self._begun = False

    @property
    def pid(self) -> int:
        return self._node.pid

    def start(self) -> None:
        if self._begun:
            self._node.start()
        else:
            self._set.begin()
        self._begun = True
        self._set.wait_for_primary()

    def end(self, number: signal.Signals) -> None:
        self._node.end(number)

    def remove(self) -> None:
        self._set.end()
        self._watch.end()


def uri(port: int) -> str:
    """Return the address of the database, or of a proxy before it, at this port."""
    address = f"mongodb://127.0.0.1:{port}/?directConnection=true"
    # SecantusDB forgets at a crash which retryable writes it did: never retry them.
    return address if mongodb_test_uri() else f"{address}&retryWrites=false"


def program() -> str:
    try:
        files = distribution("secantusdb")
    except PackageNotFoundError:
        missing("secantusdb is not installed: tests of races and indexes need a real database")
    name = "secantusd-rs.exe" if sys.platform == "win32" else "secantusd-rs"
    return str(files.locate_file(f"secantusdb.scripts/{name}"))
