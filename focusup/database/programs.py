"""Choose the database program that runs as our child, and its arguments.

Invariants:

- Existing data stays in use. A directory that one kind of server has written is used by that kind
  while its program is installed, so installing another one hides no data. Without its program,
  another kind may write there too; the data of the first comes back with its program.

SecantusDB is a program of its own under the GPL: it is executed, never imported.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

Kind = Literal["mongod", "secantusdb"]
KINDS: tuple[Kind, ...] = ("mongod", "secantusdb")
"""In the order of choice for a directory that holds nothing yet."""


EMBEDDED = {"extra": "embedded"}
NEWEST_EMBEDDED = (3, 13)
"""The newest Python for which the embedded database has wheels."""


@dataclass(frozen=True, slots=True)
class Program:
    """A database program that can serve a data directory."""

    kind: Kind
    path: Path

    def arguments(self, data: Path, port: int, empty_file: Path) -> list[str]:
        """The command line that serves `data` on this port of the loopback interface."""
        if self.kind == "mongod":
            return ["--dbpath", str(data), "--bind_ip", "127.0.0.1", "--port", str(port)]
        return [
            *("--config", str(empty_file)),  # else it looks for one in folders of others
            *("--host", "127.0.0.1", "--port", str(port), "--storage-path", str(data)),
            # Acknowledged means on disk; the log stays short, so a restart stays quick.
            *("--sync-on-commit", "--data-nonlogged", "--checkpoint-seconds", "15"),
            *("--log-file-max", "64MB", "--cache-size", "256M", "--log-level", "WARNING"),
        ]


def choose(data_dir: Path) -> Program | None:
    """The program for this data directory, or None if there is none to be had."""
    found = [program for kind in KINDS if (program := _find(kind)) is not None]
    kept = kinds_kept(data_dir)
    by_age = [program for kind in kept for program in found if program.kind == kind]
    return next(iter(by_age or found), None)


def how_to_keep(running: tuple[int, int] = sys.version_info[:2]) -> str:
    """What to do where there is no program, in words for people."""
    if running > NEWEST_EMBEDDED:
        return (
            f"Python {running[0]}.{running[1]} has no embedded database: use Python 3.11 to 3.13 "
            "(make run PYTHON=python3.13), or install mongod, or set MONGODB_URI"
        )
    if _is_embedded_for_us():
        return (
            "to keep data: pip install 'focusup[embedded]', or install mongod, or set MONGODB_URI"
        )
    return "SecantusDB is not made for this system: install mongod, or set MONGODB_URI"


def _is_embedded_for_us() -> bool:
    """Whether SecantusDB can be installed with this system and this Python."""
    wanted = [Requirement(text) for text in requires("focusup") or ()]
    return any(
        each.name == "secantusdb" and each.marker is not None and each.marker.evaluate(EMBEDDED)
        for each in wanted
    )


def version_of(program: Program) -> str:
    """As the package or the program itself tells it; raises OSError, SubprocessError."""
    if program.kind == "secantusdb":
        return version("secantusdb")
    done = subprocess.run(  # noqa: S603 - the mongod of the PATH  # nosec B603
        [program.path, "--version"], capture_output=True, text=True, timeout=5, check=True
    )
    return (done.stdout.splitlines() or ["of an unknown version"])[0].removeprefix("db version ")


def kinds_kept(data_dir: Path) -> list[Kind]:
    """The kinds of server whose data is in this directory, the first to write there first."""
    return sorted((k for k in KINDS if _made(data_dir / k)), key=lambda k: _made(data_dir / k))


def _find(kind: Kind) -> Program | None:
    path = _mongod() if kind == "mongod" else _secantusd()
    return None if path is None else Program(kind, path)


def _mongod() -> Path | None:
    path = shutil.which("mongod")
    return None if path is None else Path(path)


def _secantusd() -> Path | None:
    """The program itself, not the script on PATH: signals must reach it."""
    try:
        files = distribution("secantusdb")
    except PackageNotFoundError:
        return None
    name = "secantusd-rs.exe" if sys.platform == "win32" else "secantusd-rs"
    path = Path(str(files.locate_file(f"secantusdb.scripts/{name}")))
    return path if path.is_file() else None


def _made(directory: Path) -> float:
    """When the storage in this directory was made; 0 if there is none.

    Both programs keep their data in WiredTiger, which writes this file once. A server that
    failed at its first start may leave other files behind: they are nobody's data.
    """
    try:
        return (directory / "WiredTiger").stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return 0.0
