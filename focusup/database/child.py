"""Run a database server as our child: start, watch, restart and stop it.

Invariants:

- It listens on the loopback interface alone, on the same port for as long as this process lives, so
  that the driver finds it again after a restart.
- If it dies it is started again, at growing intervals.
- When this process ends, the child has ended before.
"""

import asyncio
import contextlib
import os
import re
from pathlib import Path

import structlog

from focusup.cancellation import Interrupted, unless_set
from focusup.database.errors import DatabaseError, short, usable
from focusup.database.ports import free_port, is_free
from focusup.database.processes import (
    ask_to_end,
    detached_options,
    dying_with_us,
    end_leftover,
)
from focusup.database.programs import Kind, Program
from focusup.disk_space import MAKE_ROOM, NEEDED_MIB, free_mib

READY_WITHIN_S = 10.0
POLL_S = 0.02
STOP_WITHIN_S = 2.0
"""Killed after that, it loses no acknowledged write; it only starts more slowly."""
BACKOFF_S = (0.1, 5.0)
STEADY_AFTER_S = 30.0
"""A child that lived this long is started again without delay."""
PORTS_TRIED = 5
LOG_TAIL_BYTES = 1000
LISTENING = re.compile(rb"listening on|waiting for connections", re.I)
"""What either program says when it takes connections. A connection that is accepted would
prove less: it may be a stranger who took the port before us."""

log = structlog.get_logger(__name__)


def port_file(data_dir: Path, kind: Kind) -> Path:
    """Tells commands that run beside the server where the child listens."""
    return data_dir / f"{kind}.port"


class Child:
    """The database server that this process runs."""

    def __init__(self, program: Program, data_dir: Path) -> None:
        self.port = free_port()
        self.data = data_dir / program.kind
        self._data_dir = data_dir
        self._program = program
        self._log_path = data_dir / f"{program.kind}.log"
        self._pid_file = data_dir / f"{program.kind}.pid"
        self._port_file = port_file(data_dir, program.kind)
        self._empty_file = data_dir / f"{program.kind}.toml"
        self._process: asyncio.subprocess.Process | None = None
        self._port_is_known = False
        self._stopping = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None while the child does not run."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start it and wait until it listens. Raises DatabaseError with what it said."""
        with usable(self._data_dir):
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._empty_file.write_bytes(b"")
            self._port_file.unlink(missing_ok=True)  # of a server that was killed
            await end_leftover(self._pid_file, self.data)
        self._stopping.clear()
        try:
            await self._start_on_a_free_port()
        except BaseException:
            await self._end()
            raise
        self._port_is_known = True
        self._watcher = asyncio.create_task(self._watch(), name="database")

    async def stop(self) -> None:
        """End the process, and remove its files."""
        self._stopping.set()
        if self._watcher is not None:
            # Not cancelled: it may be within a start, and would leave a process behind.
            await asyncio.wait({self._watcher})
            self._watcher = None
        await self._end()

    async def _start_on_a_free_port(self) -> None:
        for _ in range(PORTS_TRIED):
            await self._spawn()
            try:
                await self._until_it_listens()
                return
            except DatabaseError:
                await self._end()
                # The driver knows the port after the first start: it can't change then.
                if self._port_is_known or is_free(self.port):
                    raise
                self.port = free_port()
        raise DatabaseError(f"{self._program.path.name} found every port taken", "start again")

    async def _until_it_listens(self) -> None:
        name = self._program.path.name
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_WITHIN_S):
                while not LISTENING.search(self._said()):
                    if (status := self._status()) is not None:
                        raise DatabaseError(
                            f"{name} ended at once (exit status {status}): "
                            f"{self._last_words()}{self._shortage()}"
                        )
                    await asyncio.sleep(POLL_S)
                return
        raise DatabaseError(
            f"{name} was not ready within {READY_WITHIN_S:g} s",
            f"see {self._log_path}: {self._last_words()}",
        )

    async def _spawn(self) -> None:
        arguments = self._program.arguments(self.data, self.port, self._empty_file)
        try:
            with self._log_path.open("wb") as output:  # begun anew, so it stays small
                self._process = await asyncio.create_subprocess_exec(
                    *dying_with_us([str(self._program.path), *arguments]),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=self._data_dir,
                    env={k: v for k, v in os.environ.items() if not k.startswith("SECANTUS")},
                    **detached_options(),
                )
            self._pid_file.write_text(str(self._process.pid), "ascii")
            self._port_file.write_text(str(self.port), "ascii")
        except OSError as error:
            raise DatabaseError(f"cannot run {self._program.path}: {error.strerror}") from error

    async def _watch(self) -> None:
        """Start it again whenever it ends."""
        first_s, longest_s = BACKOFF_S
        delay_s = first_s
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while not await self._stopped_or_died():
            if loop.time() - began_s > STEADY_AFTER_S:
                delay_s = first_s
            said = self._last_words()
            log.error("database_died", status=self._status(), retry_in_s=delay_s, said=said)
            if await self._stopped_within(delay_s):
                return
            delay_s = min(delay_s * 2, longest_s)
            began_s = loop.time()
            try:
                await self._spawn()
            except DatabaseError as error:
                log.error("database_restart_failed", reason=str(error))

    async def _stopped_or_died(self) -> bool:
        """Whether we are to stop; else, the process has ended."""
        if self._process is None:
            raise AssertionError("watched before it was started")
        with contextlib.suppress(Interrupted):
            await unless_set(self._stopping, self._process.wait())
        return self._stopping.is_set()

    async def _stopped_within(self, delay_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        return self._stopping.is_set()

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        ask_to_end(process)
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            log.warning("database_killed", pid=process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._process = None
        self._pid_file.unlink(missing_ok=True)
        self._port_file.unlink(missing_ok=True)

    def _status(self) -> int | None:
        return None if self._process is None else self._process.returncode

    def _said(self) -> bytes:
        try:
            return self._log_path.read_bytes()
        except OSError:
            return b""

    def _shortage(self) -> str:
        """Said of a full disk, of which the programs themselves say little."""
        with contextlib.suppress(OSError):
            if (free := free_mib(self._data_dir)) < NEEDED_MIB:
                return f"; {free} MiB are free for {short(self._data_dir)}: {MAKE_ROOM}"
        return ""

    def _last_words(self) -> str:
        text = self._said()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return text or "(it said nothing)"
