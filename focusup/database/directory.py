"""The data directory: one server at a time.

What must always hold: whoever comes second is told who holds it; the system lets it go
even if the holder is killed.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from focusup.database.errors import InUseError, short, usable

LOCK_FILE = "server.lock"
OWNER_FILE = "server.pid"


@contextlib.contextmanager
def hold(data_dir: Path) -> Iterator[None]:
    """Hold it, made if need be. Raises DatabaseError, InUseError."""
    owner = data_dir / OWNER_FILE
    lock = FileLock(data_dir / LOCK_FILE, timeout=0, thread_local=False)
    with usable(data_dir):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise InUseError(
                f"another FocusUp server{_named(owner)} is using {short(data_dir)}; "
                "stop it, or set DATA_DIR to another folder"
            ) from None
    try:
        with usable(data_dir):
            owner.write_text(str(os.getpid()), "ascii")
        yield
    finally:
        with contextlib.suppress(OSError):
            owner.unlink()
        lock.release()


def _named(owner: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if pid := owner.read_text("ascii").strip():
            return f" (process {pid})"
    return ""
