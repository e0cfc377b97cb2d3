"""Ends processes and removes a folder once the process that asked for it has ended.

Run as `python -I -S guard.py FOLDER` with a pipe as standard input, on which each line is
`+PID` or `-PID`. However the other end of the pipe ends, SIGKILL included, the pipe is then at
its end. The kernel's own means (`PR_SET_PDEATHSIG`) watches the thread that forked, and tests
start programs from threads that do not last.
"""

import contextlib
import os
import shutil
import signal
import sys


def main(folder: str) -> None:
    # Ctrl-C reaches the whole group of a terminal; what is guarded is ended by its owner first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    guarded: set[int] = set()
    for line in sys.stdin:
        change = guarded.add if line.startswith("+") else guarded.discard
        change(int(line[1:]))
    for pid in guarded:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
