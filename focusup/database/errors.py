"""What is told to people when there is no database to run on.

What must always hold: of a connection string, nothing is shown but its hosts. Passwords
stand in front of them, but in the options behind them too.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from focusup.disk_space import remedy

ADDRESS = re.compile(r"mongodb(?:\+srv)?://(?:[^/?#]*@)?(?P<hosts>[^/?#@]+)(?:[/?#][^@]*)?")


class DatabaseError(Exception):
    """What is wrong and what to do about it, in words for people."""


def hosts(uri: str) -> str | None:
    """The hosts of a connection string; None if they can't be told from its credentials.

    An `@` behind the hosts means that a password holds an unescaped `/`, `?` or `#`, and
    then what looks like a host is part of the password.
    """
    found = ADDRESS.fullmatch(uri)
    return None if found is None else found["hosts"]


class InUseError(DatabaseError):
    """A server that runs holds the data directory."""


@contextlib.contextmanager
def usable(data_dir: Path) -> Iterator[None]:
    """Says of anything the file system refuses that it is about the data directory."""
    try:
        yield
    except OSError as error:
        raise DatabaseError(
            f"the data directory {short(data_dir)} can't be used: {error.strerror or error}; "
            f"{remedy(error)}"
        ) from None


def short(path: Path) -> str:
    """Relative to where we are, if it is below."""
    with contextlib.suppress(ValueError, OSError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
