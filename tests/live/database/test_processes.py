"""Several processes: no orphans, no strangers harmed, one server per data directory."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from focusup.database import DatabaseError, open_database
from focusup.database.ports import free_port
from focusup.database.processes import end_leftover
from tests.support.database_programs import (
    SMALL,
    child_pid,
    opened,
    pid_files,
    port_of,
    python,
    runs,
    secantusd,
    until,
)

SERVER = """
import asyncio, signal, sys
from pathlib import Path
from focusup.database import open_database
async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    opened = await open_database(uri=None, name="focusup", data_dir=Path(sys.argv[1]))
    await opened.db["things"].insert_one({"_id": "first"})
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    await opened.db["things"].insert_one({"_id": "second"})
    await opened.close()
    print(len(asyncio.all_tasks()), flush=True)
with asyncio.Runner(loop_factory=%s) as runner:
    runner.run(main())
"""
LOOPS = ["asyncio.new_event_loop", "__import__('uvloop').new_event_loop"]
if sys.platform == "win32":
    LOOPS = LOOPS[:1]


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_server_comes_and_goes_without_a_trace(loop: str, data_dir: Path) -> None:
    """No task, process or resource is left, and nothing is said."""
    secantusd()
    server = await python(SERVER % loop, str(data_dir))
    output, errors = await server.communicate(b"\n")
    assert (errors.decode(), server.returncode) == ("", 0)
    assert output.split() == [b"ready", b"1"]
    assert pid_files(data_dir) == []
    async with opened(data_dir) as database:
        assert await database.db["things"].distinct("_id") == ["first", "second"]


@pytest.mark.parametrize("loop", LOOPS)
async def test_ctrl_c_reaches_the_server_alone(loop: str, data_dir: Path) -> None:
    """The terminal signals the whole group, but what is counted has yet to be written."""
    secantusd()
    server = await python(SERVER % loop, str(data_dir), start_new_session=True)
    assert server.stdout is not None
    await server.stdout.readline()
    pid = child_pid(data_dir)
    os.killpg(server.pid, signal.SIGINT)
    await asyncio.sleep(0.3)
    assert runs(pid)
    _, errors = await server.communicate(b"\n")
    assert (errors.decode(), server.returncode) == ("", 0)
    assert not runs(pid)


@pytest.mark.parametrize("loop", LOOPS)
async def test_the_child_of_a_killed_server_ends_and_its_data_is_there(
    loop: str, data_dir: Path
) -> None:
    secantusd()
    server = await python(SERVER % loop, str(data_dir))
    assert server.stdout is not None
    await server.stdout.readline()
    pid = child_pid(data_dir)
    server.kill()
    await server.communicate()
    if sys.platform == "linux":
        await until(lambda: not runs(pid))
    async with opened(data_dir) as database:
        assert not runs(pid)
        assert await database.db["things"].distinct("_id") == ["first"]


async def test_a_start_right_after_a_kill_waits_for_the_child_before(data_dir: Path) -> None:
    secantusd()
    server = await python(SERVER % LOOPS[0], str(data_dir))
    assert server.stdout is not None
    await server.stdout.readline()
    pid = child_pid(data_dir)
    server.kill()
    await server.communicate()
    async with opened(data_dir) as database:
        assert child_pid(data_dir) != pid
        assert await database.db["things"].distinct("_id") == ["first"]


async def test_the_options_of_indexes_outlive_the_server(data_dir: Path) -> None:
    """The child is asked to end, not killed, when the server is: it writes a checkpoint."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells a child that its parent died")
    secantusd()
    code = SERVER.replace("insert_one({'_id': \"first\"})", "x").replace(
        'print("ready"', 'await opened.db["things"].create_index("k", unique=True); print("ready"'
    )
    server = await python(code % LOOPS[0], str(data_dir))
    assert server.stdout is not None
    await server.stdout.readline()
    server.kill()
    await server.communicate()
    async with opened(data_dir) as database:
        information = await database.db["things"].index_information()
        assert information["k_1"]["unique"] is True


def orphan(data_dir: Path) -> subprocess.Popen[bytes]:
    """A server on the directory whose FocusUp is gone, as on systems that tell it nothing."""
    (data_dir / "secantusdb").mkdir(parents=True)
    (data_dir / "empty.toml").touch()
    process = subprocess.Popen(
        [
            *(secantusd(), "--config", data_dir / "empty.toml", "--port", str(free_port())),
            *("--storage-path", data_dir / "secantusdb", "--sync-on-commit", *SMALL),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert b"listening" in process.stdout.readline()
    process.stdout.close()
    (data_dir / "secantusdb.pid").write_text(str(process.pid))
    return process


@pytest.mark.parametrize("link", [False, True])
async def test_a_leftover_child_is_ended_first(link: bool, data_dir: Path, tmp_path: Path) -> None:
    left = orphan(data_dir)
    place = data_dir
    if link:
        place = tmp_path / "link"
        place.symlink_to(data_dir)
    try:
        async with opened(place) as database:
            assert left.wait(1) in (
                0,
                -signal.SIGTERM,
            )  # it heeds signals a moment after it listens
            assert await database.ping_ms() > 0
    finally:
        left.kill()
        left.wait()


def pid_file_with(text: str, data_dir: Path) -> Path:
    data_dir.mkdir(exist_ok=True)
    file = data_dir / "secantusdb.pid"
    file.write_text(text)
    return file


def tail(data_dir: Path) -> list[str]:
    data_dir.mkdir()
    (data_dir / "secantusdb.log").touch()
    return ["tail", "-f", str(data_dir / "secantusdb.log")]


def other_directory(data_dir: Path) -> list[str]:
    return ["sh", "-c", "sleep 60; :", "--storage-path", f"{data_dir / 'secantusdb'}2"]


@pytest.mark.parametrize("command", [tail, other_directory])
async def test_a_stranger_under_its_number_is_left_alone(
    command: Callable[[Path], list[str]], data_dir: Path
) -> None:
    stranger = await asyncio.create_subprocess_exec(
        *command(data_dir), stdout=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    try:
        await end_leftover(pid_file_with(str(stranger.pid), data_dir), data_dir / "secantusdb")
        assert runs(stranger.pid)
    finally:
        os.killpg(stranger.pid, signal.SIGKILL)
        await stranger.wait()


@pytest.mark.parametrize("noted", ["", "no number", "999999999", "-1", "0", "1"])
async def test_a_pid_file_of_no_use_does_no_harm(noted: str, data_dir: Path) -> None:
    await end_leftover(pid_file_with(noted, data_dir), data_dir / "secantusdb")


async def test_a_second_server_is_refused_and_the_first_goes_on(data_dir: Path) -> None:
    secantusd()
    server = await python(SERVER % LOOPS[0], str(data_dir))
    assert server.stdout is not None
    await server.stdout.readline()
    expected = rf"another FocusUp server \(process {server.pid}\) is using .*DATA_DIR"
    with pytest.raises(DatabaseError, match=expected):
        await open_database(uri=None, name="focusup", data_dir=data_dir)
    _, errors = await server.communicate(b"\n")
    assert (errors, server.returncode) == (b"", 0)
    async with opened(data_dir) as database:
        assert await database.db["things"].distinct("_id") == ["first", "second"]


async def test_a_second_one_of_the_same_process_is_refused_too(data_dir: Path) -> None:
    secantusd()
    async with opened(data_dir) as database:
        with pytest.raises(DatabaseError, match=rf"process {os.getpid()}\)"):
            await open_database(uri=None, name="focusup", data_dir=data_dir)
        assert await database.ping_ms() > 0


async def test_two_directories_are_two_databases(tmp_path: Path) -> None:
    secantusd()
    async with opened(tmp_path / "one") as one, opened(tmp_path / "two") as two:
        assert port_of(one) != port_of(two)
        await one.db["things"].insert_one({"_id": 1})
        assert await two.db["things"].count_documents({}) == 0


async def test_a_file_in_the_place_of_the_directory_is_told(tmp_path: Path) -> None:
    secantusd()
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DatabaseError, match=r"data directory .*file.* can't be used.*DATA_DIR"):
            await open_database(uri=None, name="focusup", data_dir=path)


@contextmanager
def may_not(folder: Path) -> Iterator[None]:
    """A folder without its permissions, and we without those of root."""
    mode, root = folder.stat().st_mode, os.geteuid() == 0
    folder.chmod(0o555 if folder.name != "secantusdb" else 0o000)
    try:
        if root:
            os.seteuid(65534)
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(mode)


@pytest.mark.parametrize("inside", ["", "new"])
async def test_a_directory_that_may_not_be_written_is_told(inside: str, public_dir: Path) -> None:
    secantusd()
    with may_not(public_dir), pytest.raises(DatabaseError, match="can't be used: Permission"):
        await open_database(uri=None, name="focusup", data_dir=public_dir / inside)


async def test_data_that_may_not_be_read_is_told(public_dir: Path) -> None:
    async with opened(public_dir):
        pass
    with (
        may_not(public_dir / "secantusdb"),
        pytest.raises(DatabaseError, match="can't be used: Permission"),
    ):
        await open_database(uri=None, name="focusup", data_dir=public_dir)


@pytest.fixture
def public_dir() -> Iterator[Path]:
    """A directory that others than root get to, which they do not get to `tmp_path`."""
    if not hasattr(os, "geteuid"):
        pytest.skip("no users here")
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)
