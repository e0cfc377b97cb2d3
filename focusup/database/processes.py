"""Identify processes, start a child that ends with us, and end a leftover one.

Invariants:

- A process is ended only if its command line has our data directory as the value of the option for
  it, so a recycled process id never ends another program.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import structlog

from focusup.database import launch
from focusup.database.errors import DatabaseError, short

END_WITHIN_S = 5.0
POLL_S = 0.02
DATA_OPTIONS = ("--dbpath", "--storage-path")
KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL

log = structlog.get_logger(__name__)


def detached_options() -> dict[str, Any]:
    """Return options for a child that Ctrl-C in our terminal does not reach.

    The server still needs the child to write what was counted.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def dying_with_us(command: list[str]) -> list[str]:
    """The command that runs `command` so that it ends when we are killed.

    Only Linux can; elsewhere `end_leftover` does it at the next start.
    """
    if sys.platform == "linux" and sys.executable:
        return [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *command]
    return command


def ask_to_end(process: asyncio.subprocess.Process) -> None:
    """Ask it to write what it has and end; who can't be asked is killed when time is up."""
    with contextlib.suppress(OSError):  # gone; or, on Windows, a service without a console
        if sys.platform == "win32":
            process.send_signal(signal.CTRL_BREAK_EVENT)  # terminate() would be a kill
        else:
            process.terminate()


async def end_leftover(pid_file: Path, data: Path) -> None:
    """End the child of a server that was killed, should it be running still."""
    pid = _noted(pid_file)
    if pid is None:
        return
    for number in (signal.SIGTERM, KILL):
        if await _ends(pid, data, number):
            return
    raise DatabaseError(
        f"a database server that was left over (process {pid}) uses {short(data)} and can't be "
        "ended",
        "end it, or set DATA_DIR to another folder",
    )


def _noted(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text("ascii"))
    except (OSError, ValueError):
        return None


async def _ends(pid: int, data: Path, number: signal.Signals) -> bool:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + END_WITHIN_S
    if serves(pid, data):
        log.warning("leftover_database_ended", pid=pid, signal=number.name)
        with contextlib.suppress(OSError):
            os.kill(pid, number)
    while serves(pid, data):
        if loop.time() > deadline_s:
            return False
        await asyncio.sleep(POLL_S)
    return True


def serves(pid: int, data: Path) -> bool:
    """Whether this process runs, and is a database server on that directory."""
    if sys.platform == "linux":
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")  # a zombie has none
        except OSError:
            return False
        pairs = pairwise(words)
        return any(os.fsdecode(o) in DATA_OPTIONS and v == os.fsencode(data) for o, v in pairs)
    line = _command_line(pid).replace('"', "")
    return any(f" {option} {data} " in line for option in DATA_OPTIONS)


def _command_line(pid: int) -> str:
    if sys.platform == "win32":
        query = f"(Get-CimInstance Win32_Process -Filter 'ProcessId={pid}').CommandLine"
        command = ["powershell", "-NoProfile", "-Command", query]
    else:
        command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603 - fixed commands, and a number  # nosec B603
            command, capture_output=True, text=True, timeout=10, check=False
        )
        return done.stdout
    return ""
