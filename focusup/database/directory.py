"""Lock the data directory for one server at a time.

Invariants:

- A second server is told which process holds the lock.
- The system releases the lock even if the holder is killed.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from focusup.database.errors import InUseError, short, usable

LOCK_FILE = "server.lock"
OWNER_FILE = "server.pid"
LOOKED_WITHIN_S = 0.2
"""`holder` has the lock for microseconds, and a start must not fail because of that."""


@contextlib.contextmanager
def hold(data_dir: Path) -> Iterator[None]:
    """Hold it, made if need be. Raises DatabaseError, InUseError."""
    owner = data_dir / OWNER_FILE
    lock = FileLock(data_dir / LOCK_FILE, timeout=LOOKED_WITHIN_S, thread_local=False)
    with usable(data_dir):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise InUseError(
                f"another FocusUp server{_named(owner)} is using {short(data_dir)}",
                "stop it, or set DATA_DIR to another folder",
            ) from None
    try:
        with usable(data_dir):
            owner.write_text(str(os.getpid()), "ascii")
        yield
    finally:
        with contextlib.suppress(OSError):
            owner.unlink()
        lock.release()


def holder(data_dir: Path) -> str | None:
    """Return the holder of the lock in words; None if it is free. Changes nothing."""
    if not _is_locked(data_dir / LOCK_FILE):
        return None
    return f"a FocusUp server{_named(data_dir / OWNER_FILE)}"


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    if sys.platform == "win32":
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            return True
    import fcntl

    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _named(owner: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if pid := owner.read_text("ascii").strip():
            return f" (process {pid})"
    return ""
