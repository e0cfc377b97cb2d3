"""A database server as our child: started, watched, started again, and stopped.

What must always hold: it listens on the loopback interface alone, and on the same port
for as long as we live, so that the driver finds it again after a restart; if it dies it
is started again, at ever longer intervals; and when we stop, it has stopped before.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from focusup.database.errors import DatabaseError
from focusup.database.processes import detached_options, end_leftover
from focusup.database.programs import Program

READY_WITHIN_S = 15.0
POLL_S = 0.02
STOP_WITHIN_S = 10.0
BACKOFF_S = (0.1, 5.0)
STEADY_AFTER_S = 30.0
"""A child that lived this long is started again without delay."""
LOG_TAIL_BYTES = 1000

log = structlog.get_logger(__name__)


class Child:
    def __init__(self, program: Program, data_dir: Path) -> None:
        self.port = _free_port()
        self.data = data_dir / program.kind
        self._program = program
        self._log_path = data_dir / f"{program.kind}.log"
        self._pid_file = data_dir / f"{program.kind}.pid"
        self._empty_file = data_dir / f"{program.kind}.toml"
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self, answers: Callable[[], Awaitable[bool]]) -> None:
        """Start it and wait until it answers. Raises DatabaseError with what it said."""
        self.data.mkdir(parents=True, exist_ok=True)
        self._empty_file.touch()
        end_leftover(self._pid_file, self.data)
        process = await self._spawn()
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while not await answers():
                    if process.returncode is not None:
                        raise DatabaseError(
                            f"{self._program.path.name} ended at once "
                            f"(exit status {process.returncode}): {self._last_words()}"
                        )
                    await asyncio.sleep(POLL_S)
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                raise DatabaseError(
                    f"{self._program.path.name} did not answer within {READY_WITHIN_S:g} s; "
                    f"see {self._log_path}: {self._last_words()}"
                ) from None
            raise
        self._watcher = asyncio.create_task(self._watch(), name="database")

    async def stop(self) -> None:
        """Stop it for good; kill it if it does not listen."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
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

    async def _spawn(self) -> asyncio.subprocess.Process:
        arguments = self._program.arguments(self.data, self.port, self._empty_file)
        try:
            with self._log_path.open("wb") as output:  # begun anew, so it stays small
                self._process = await asyncio.create_subprocess_exec(
                    self._program.path,
                    *arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    **detached_options(),
                )
        except OSError as error:
            raise DatabaseError(f"cannot run {self._program.path}: {error.strerror}") from error
        self._pid_file.write_text(str(self._process.pid), "ascii")
        return self._process

    async def _watch(self) -> None:
        """Start it again whenever it ends."""
        first_s, longest_s = BACKOFF_S
        delay_s = first_s
        loop = asyncio.get_running_loop()
        while True:
            process, began_s = self._process, loop.time()
            if process is None:
                raise AssertionError("watched before it was started")
            status = await process.wait()
            if loop.time() - began_s > STEADY_AFTER_S:
                delay_s = first_s
            log.error("database_died", status=status, retry_in_s=delay_s, said=self._last_words())
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, longest_s)
            try:
                await self._spawn()
            except DatabaseError as error:
                log.error("database_not_restarted", reason=str(error))

    def _last_words(self) -> str:
        try:
            text = self._log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        except OSError:
            text = ""
        return text or "(it said nothing)"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
