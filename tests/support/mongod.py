"""Replica sets of a real MongoDB on the loopback interface, to be hurt on purpose.

`python -m tests.support.mongod -- CMD...` runs a command on a set of three, whose address is
`MONGODB_TEST_URI` for the command.

Invariant: no node outlives the process that started it, however that ends, and neither do
its files.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pymongo
from bson import Timestamp
from pymongo.errors import AutoReconnect, PyMongoError

from focusup.database.ports import free_port
from tests.support import guard
from tests.support.mongod_program import NoMongod, mongod_program
from tests.support.requirements import missing

NAME = "focusup"
START_WITHIN_S = 30.0
PRIMARY_WITHIN_S = 40.0
POLL_S = 0.02
DEFAULT_ELECTION_S = 10.0
"""MongoDB's own: how long a primary may be silent before another one is elected."""
CACHE_GB = "0.25"
OPTIONS = (
    *("--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", CACHE_GB),
    *("--oplogSize", "128", "--setParameter", "diagnosticDataCollectionEnabled=false"),
    # Many tests live at fixed dates in the past, and would lose what they store to it.
    *("--setParameter", "ttlMonitorEnabled=false", "--setParameter", "ttlMonitorSleepSecs=1"),
)
MEMORY_FOLDER = Path("/dev/shm")
MEMORY_NEEDED_BYTES = 6 << 30
"""Free there, to keep the files of nodes in memory: nothing here survives the machine anyway,
and each index of each test's database is a file."""

Client = pymongo.MongoClient[dict[str, Any]]


class Node:
    """One `mongod`, on one port and one directory for life."""

    def __init__(self, directory: Path, watch: "Watch") -> None:
        self.directory = directory
        self.port = free_port()
        self.log = directory.with_suffix(".log")
        self._watch = watch
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def client(self, timeout_s: float = 5.0) -> Client:
        """A client of this node, whatever its state."""
        timeout_ms = round(timeout_s * 1000)
        return Client(
            f"mongodb://{self.address}/?directConnection=true",
            serverSelectionTimeoutMS=timeout_ms,
            socketTimeoutMS=timeout_ms,
        )

    def start(self) -> None:
        """Start it (again), and return at once."""
        assert not self.runs
        self.directory.mkdir(parents=True, exist_ok=True)
        at = ("--dbpath", str(self.directory), "--port", str(self.port), "--replSet", NAME)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [mongod_program(), *at, *OPTIONS], stdout=log, stderr=log, start_new_session=True
            )
        self._watch.add(self._process.pid)

    def wait(self) -> None:
        """Wait until it answers."""
        deadline_s = time.monotonic() + START_WITHIN_S
        with self.client(timeout_s=1.0) as client:
            while True:
                try:
                    client.admin.command("ping")
                    return
                except PyMongoError:
                    assert self.runs, f"mongod has ended: {self._last_words()}"
                    assert time.monotonic() < deadline_s, f"no answer: {self._last_words()}"
                    time.sleep(POLL_S)

    def kill(self) -> None:
        """Send SIGKILL, also to one that is frozen."""
        self.end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it stand still, with all its connections open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on. One that has ended stays as it is."""
        if self.runs:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def end(self, number: signal.Signals) -> None:
        """Send a signal that ends it, and wait for its end."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(60)
            self._watch.remove(process.pid)

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


class ReplicaSet:
    """Nodes that elect one of them as their primary."""

    def __init__(
        self,
        directory: Path,
        watch: "Watch",
        nodes: int = 3,
        election_s: float = DEFAULT_ELECTION_S,
    ) -> None:
        self.nodes = [Node(directory / f"node{number}", watch) for number in range(nodes)]
        self._election_s = election_s

    @property
    def uri(self) -> str:
        """Of the whole set, as users write it in `MONGODB_URI`."""
        return f"mongodb://{','.join(node.address for node in self.nodes)}/?replicaSet={NAME}"

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes if node.runs]

    def client(self, timeout_s: float = 20.0) -> Client:
        """A client of the set."""
        return Client(self.uri, serverSelectionTimeoutMS=round(timeout_s * 1000))

    def begin(self) -> None:
        """Start all nodes for the first time, until each of them has the data of the primary."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait()
        config = {
            "_id": NAME,
            "members": [
                {"_id": number, "host": node.address} for number, node in enumerate(self.nodes)
            ],
            "settings": {"electionTimeoutMillis": round(self._election_s * 1000)},
        }
        with self.nodes[0].client() as client:
            client.admin.command("replSetInitiate", config)
            self._elect_first(client)
        self.wait_for_primary()
        self.wait_until_whole()

    def _elect_first(self, client: Client) -> None:
        """Ask for an election now; otherwise it begins after the election timeout."""
        deadline_s = time.monotonic() + PRIMARY_WITHIN_S
        while time.monotonic() < deadline_s and self.find_primary() is None:
            with contextlib.suppress(PyMongoError):
                client.admin.command("replSetStepUp")
            time.sleep(POLL_S)

    # --- who is the primary -----------------------------------------------------------------

    def find_primary(self) -> Node | None:
        """Return the node that takes writes now, or None. One that is frozen is not asked long."""
        for node in self.running:
            with node.client(timeout_s=0.5) as client, contextlib.suppress(PyMongoError):
                if client.admin.command("hello")["isWritablePrimary"]:
                    return node
        return None

    def primary(self) -> Node:
        """Return the primary, which there must be soon."""
        return self.wait_for_primary()

    def secondaries(self) -> list[Node]:
        """Return the running nodes but for the primary."""
        primary = self.primary()
        return [node for node in self.running if node is not primary]

    def wait_for_primary(
        self, *, other_than: Node | None = None, within_s: float = PRIMARY_WITHIN_S
    ) -> Node:
        """Wait until a node, or another one than before, takes writes."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            found = self.find_primary()
            if found is not None and found is not other_than:
                return found
            time.sleep(POLL_S)
        raise AssertionError(f"no primary within {within_s} s")

    def wait_until_whole(self, within_s: float = START_WITHIN_S) -> None:
        """Wait until every node is a primary or a secondary that has all that is written."""
        deadline_s = time.monotonic() + within_s
        while not self._is_whole():
            assert time.monotonic() < deadline_s, f"not whole within {within_s} s"
            time.sleep(0.05)

    def _is_whole(self) -> bool:
        primary = self.find_primary()
        if primary is None:
            return False
        try:
            with primary.client() as client:
                members = client.admin.command("replSetGetStatus")["members"]
        except PyMongoError:
            return False
        written: list[Timestamp] = [
            member["optime"]["ts"] for member in members if member["health"]
        ]
        states = {member["stateStr"] for member in members}
        behind_s = max(written).time - min(written).time
        return (
            len(written) == len(self.nodes)
            and states <= {"PRIMARY", "SECONDARY"}
            and (behind_s <= 1)
        )

    # --- harm -----------------------------------------------------------------------------

    def step_down(self, seconds: int = 10) -> Node:
        """Let the primary give up, and be none again for so many seconds; which it was."""
        primary = self.primary()
        with primary.client(timeout_s=20) as client, contextlib.suppress(AutoReconnect):
            client.admin.command("replSetStepDown", seconds, secondaryCatchUpPeriodSecs=5)
        return primary

    def restart(self) -> None:
        """Stop all nodes, as an administrator would not, and start them again."""
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.start()

    def mend(self) -> None:
        """Start what was killed and thaw what was frozen, until the set is whole again."""
        for node in self.nodes:
            if node.runs:
                node.thaw()
            else:
                node.start()
        self.wait_for_primary()
        self.wait_until_whole()

    def end(self) -> None:
        """Kill all nodes: nothing is kept."""
        for node in self.nodes:
            node.kill()


class Watch:
    """Another process, which ends the nodes if this one can't."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def add(self, pid: int) -> None:
        self._tell(f"+{pid}")

    def remove(self, pid: int) -> None:
        self._tell(f"-{pid}")

    def end(self) -> None:
        """Let it do its work now."""
        self._process.communicate(timeout=20)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


@contextmanager
def replica_set(nodes: int = 3, *, election_s: float = DEFAULT_ELECTION_S) -> Iterator[ReplicaSet]:
    """A new set, gone afterwards.

    Raises:
        NoMongod: There is no program.
    """
    mongod_program()
    directory = new_folder()
    watch = Watch(directory)
    found = ReplicaSet(directory, watch, nodes, election_s)
    try:
        found.begin()
        yield found
    finally:
        found.end()
        watch.end()
        shutil.rmtree(directory, ignore_errors=True)


def program_or_skip() -> None:
    """Skip the test where there is no program; with `REQUIRE_ALL=1` it may fail instead."""
    try:
        mongod_program()
    except NoMongod as error:
        missing(str(error), of_platform=error.of_platform)


def new_folder() -> Path:
    """Make a folder for the files of nodes, in memory where there is enough of it."""
    try:
        in_memory = shutil.disk_usage(MEMORY_FOLDER).free >= MEMORY_NEEDED_BYTES
    except OSError:
        in_memory = False
    where = MEMORY_FOLDER if in_memory else None
    return Path(tempfile.mkdtemp(prefix="focusup-mongod-", dir=where))


@contextmanager
def replica_set_or_skip(
    nodes: int = 3, *, election_s: float = DEFAULT_ELECTION_S
) -> Iterator[ReplicaSet]:
    """`replica_set` for fixtures: where there is no program, the test is skipped or fails."""
    program_or_skip()
    with replica_set(nodes, election_s=election_s) as found:
        yield found


# --- as a program ---------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Run a command on a replica set of three; its exit status."""
    if len(arguments) < 2 or arguments[0] != "--":
        print("usage: python -m tests.support.mongod -- CMD...", file=sys.stderr)
        return 2
    try:
        with replica_set() as found:
            return _run(arguments[1:], found.uri)
    except NoMongod as error:
        needed = os.environ.get("REQUIRE_ALL") == "1" and not error.of_platform
        print(f"{'FAILED' if needed else 'SKIPPED'}: {error}", file=sys.stderr)
        return int(needed)


def _run(command: Sequence[str], uri: str) -> int:
    with subprocess.Popen(command, env={**os.environ, "MONGODB_TEST_URI": uri}) as process:

        def pass_on(number: int, _frame: FrameType | None) -> None:
            process.send_signal(number)

        # Ctrl-C reaches the command by itself, as a member of the terminal's group.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, pass_on)
        status = process.wait()
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
