"""Errors of a database that cannot be used, and what they may show.

Invariants:

- Of a connection string only the hosts are shown. Passwords stand in front of them, and may stand
  in the options behind them.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from focusup.disk_space import remedy
from focusup.operator_errors import OperatorError

ADDRESS = re.compile(r"mongodb(?:\+srv)?://(?:[^/?#]*@)?(?P<hosts>[^/?#@]+)(?:[/?#][^@]*)?")


class DatabaseError(OperatorError):
    """There is no database to run on."""


def hosts(uri: str) -> str | None:
    """Return the hosts of a connection string; None if its credentials could be among them.

    An `@` behind the hosts means that a password holds an unescaped `/`, `?` or `#`; then the part
    that looks like a host belongs to the password.
    """
    found = ADDRESS.fullmatch(uri)
    return None if found is None else found["hosts"]


class InUseError(DatabaseError):
    """A running server holds the data directory."""


@contextlib.contextmanager
def usable(data_dir: Path) -> Iterator[None]:
    """Turn errors of the file system into a DatabaseError about the data directory."""
    try:
        yield
    except OSError as error:
        raise DatabaseError(
            f"the data directory {short(data_dir)} can't be used: {error.strerror or error}",
            remedy(error),
        ) from None


def short(path: Path) -> str:
    """Return a path relative to the working directory, if it is below it."""
    with contextlib.suppress(ValueError, OSError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
