"""Telling processes apart, starting one that dies with us, and ending one left over.

What must always hold: a process is ended only if its command line names our data
directory, so a recycled number never ends a stranger.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

END_WITHIN_S = 5.0
PR_SET_PDEATHSIG = 1


def detached_options() -> dict[str, Any]:
    """How to start a child that Ctrl-C in our terminal does not reach: we still need it
    to write what was counted."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "linux":
        options["preexec_fn"] = _die_with(os.getpid())
    return options


def _die_with(parent: int) -> Callable[[], None]:
    """For the child: have the kernel kill it when the thread that started it ends.

    That is our main thread. The check afterwards is for a parent that died before.
    """
    libc = ctypes.CDLL(None)

    def arrange() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def end_leftover(pid_file: Path, data: Path) -> None:
    """End the child of a server that was killed, should it be running still."""
    try:
        pid = int(pid_file.read_text("ascii"))
    except (OSError, ValueError):
        return
    if str(data) in command_line(pid):
        _end(pid, lambda: str(data) in command_line(pid))
    pid_file.unlink(missing_ok=True)


def _end(pid: int, alive: Callable[[], bool]) -> None:
    kill = getattr(signal, "SIGKILL", signal.SIGTERM)
    for number in (signal.SIGTERM, kill):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + END_WITHIN_S
        while time.monotonic() < deadline:
            if not alive():
                return
            time.sleep(0.02)


def command_line(pid: int) -> str:
    """The command line of a running process; empty if it runs no more."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, UnicodeDecodeError):
            return ""
    if sys.platform == "win32":
        query = f"(Get-CimInstance Win32_Process -Filter 'ProcessId={pid}').CommandLine"
        command = ["powershell", "-NoProfile", "-Command", query]
    else:
        command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603 - fixed commands, and a number
            command, capture_output=True, text=True, timeout=10, check=False
        )
        return done.stdout
    return ""
