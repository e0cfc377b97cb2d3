"""Become a program that the kernel ends when its parent ends. Linux only.

Run as `python -I -S launch.py PARENT PROGRAM [ARGUMENT ...]`. It is a file of its own and not a
`preexec_fn`, because between fork and exec, Python code may deadlock in a process with threads, and
the driver has threads.

Invariants:

- The program runs under the same process id, whether or not the kernel could be asked. Where it
  could not, the pid file covers a parent that was killed.

The kernel watches the *thread* that forked. That is the one of the event loop, which lives as long
as the server.
"""

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, program: list[str]) -> None:
    """Become the program, after asking the kernel to end it with its parent."""
    with contextlib.suppress(OSError, AttributeError):
        # SIGTERM, not SIGKILL: the database writes its last checkpoint.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        sys.exit(1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; exec would keep that
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(program[0], program)  # noqa: S606 - no shell is the point  # nosec B606
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
