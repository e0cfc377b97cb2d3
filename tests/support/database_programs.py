"""Real programs for tests of the database under the server: the embedded one, and stand-ins."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from focusup.database import OpenedDatabase, open_database, programs
from tests.support.paths import ROOT
from tests.support.requirements import missing

SMALL = ("--cache-size", "64M", "--log-file-max", "64MB")
"""With its own defaults it starts and stops slowly."""


def secantusd() -> Path:
    path = programs._secantusd()
    if path is None:
        missing("secantusdb is not installed: the embedded database can't be tested")
    return path.resolve()


@asynccontextmanager
async def opened(data_dir: Path, **options: Any) -> AsyncIterator[OpenedDatabase]:
    database = await open_database(
        **{"uri": None, "name": "focusup", "data_dir": data_dir, **options}
    )
    try:
        yield database
    finally:
        await database.close()


def child_pid(data_dir: Path, kind: str = "secantusdb") -> int:
    return int((data_dir / f"{kind}.pid").read_text())


def kill_child(data_dir: Path, kind: str = "secantusdb") -> int:
    pid = child_pid(data_dir, kind)
    os.kill(pid, signal.SIGKILL)
    return pid


def program_of(pid: int) -> Path:
    return Path(psutil.Process(pid).exe()).resolve()


def command_line(pid: int) -> list[str]:
    return psutil.Process(pid).cmdline()


def nothing_in(folder: Path) -> bool:
    return not any(folder.iterdir())


def pid_files(data_dir: Path) -> list[Path]:
    return list(data_dir.glob("*.pid"))


def port_of(database: OpenedDatabase) -> int:
    return int(database.db.client.delegate._topology_settings.seeds.copy().pop()[1])


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(true: Callable[[], bool], limit_s: float = 5.0) -> None:
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110 - what it waits for is outside of this process
            await asyncio.sleep(0.01)


async def until_done(work: Callable[[], Awaitable[Any]], limit_s: float = 8.0) -> Any:
    """The result of `work` once it stops failing, as a client sees it after a restart."""
    from pymongo.errors import ConnectionFailure

    async with asyncio.timeout(limit_s):
        while True:
            try:
                return await work()
            except ConnectionFailure:
                await asyncio.sleep(0.02)


def fake_mongod(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str = "") -> Path:
    """A `mongod` on PATH that takes mongod's options and runs the embedded server.

    It notes its arguments in `mongod.args`; `body` runs before, and may end it.
    """
    folder.mkdir(exist_ok=True)
    program = folder / "mongod"
    noted = folder / "mongod.args"
    empty = folder / "empty.toml"
    empty.touch()
    program.write_text(
        f"""#!/bin/sh
printf '%s\\n' "$@" > '{noted}'
{body}
exec '{secantusd()}' --config '{empty}' --storage-path "$2" --host "$4" --port "$6" \\
    {" ".join(SMALL)} --sync-on-commit --log-level WARNING
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return noted


def no_secantusd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_secantusd", lambda: None)


async def python(code: str, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
    """A Python of its own that runs `code`; its lines can be read, and it be written to."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-X", "dev", "-W", "error::ResourceWarning", "-c", code, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **options,
    )
