"""`focusup` as a process of its own, without a setting of the machine that runs the tests."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from focusup.settings import Settings
from tests.support.paths import ROOT

WITHIN_S = 60.0
OF_TESTS = {"FOCUSUP_URL", "FOCUSUP_TOKEN", "MONGODB_TEST_URI"}
MAIN = "from focusup.cli import main; main(prog_name='focusup')"


def environment(**settings: str) -> dict[str, str]:
    ours = {name.upper() for name in Settings.model_fields} | OF_TESTS
    kept = {name: value for name, value in os.environ.items() if name.upper() not in ours}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "PORT": "0", **settings}


def command(*arguments: str, before: str = "") -> list[str]:
    """The command line; `before` is Python that runs first."""
    return [sys.executable, "-c", f"{before}\n{MAIN}", *arguments]


def focusup(
    directory: Path, arguments: Sequence[str], *, before: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """What it says and its exit status, run in this directory."""
    return subprocess.run(
        command(*arguments, before=before),
        cwd=directory,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def refusal(directory: Path, *arguments: str, **options: Any) -> str:
    """What it says when it ends at once: a line or two, and no traceback."""
    done = focusup(directory, arguments, **options)
    said = done.stderr + done.stdout
    assert done.returncode in (1, 2), said
    assert "Traceback" not in said
    assert len(done.stderr.splitlines()) <= 2, said
    return done.stderr


@contextmanager
def stranger() -> Iterator[int]:
    """The port of a program that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
