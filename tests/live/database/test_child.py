"""The embedded server as a child: started again when it dies, stopped when we stop."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from focusup.database import child, opening
from focusup.database.ports import PORTS, free_port, is_free
from tests.support.database_programs import (
    child_pid,
    fake_mongod,
    kill_child,
    opened,
    pid_files,
    port_of,
    runs,
    secantusd,
    until,
    until_done,
)


async def test_data_is_there_after_a_stop_and_after_kills(data_dir: Path) -> None:
    async with opened(data_dir) as database:
        await database.db["things"].insert_one({"_id": 1})
    async with opened(data_dir) as database:
        things = database.db["things"]
        assert await things.find_one() == {"_id": 1}
        for number in range(2, 4):
            await things.insert_one({"_id": number})
            kill_child(data_dir)
            assert await until_done(lambda: things.count_documents({})) == number
    async with opened(data_dir) as database:
        assert await database.db["things"].count_documents({}) == 3


async def test_one_that_dies_comes_back_on_the_same_port(data_dir: Path) -> None:
    secantusd()
    async with opened(data_dir) as database:
        before, port = child_pid(data_dir), port_of(database)
        with capture_logs() as logs:
            kill_child(data_dir)
            began_s = time.monotonic()
            await until_done(database.ping_ms)
            assert time.monotonic() - began_s < 4
        after = psutil.Process(child_pid(data_dir))
        assert after.pid != before
        assert str(port) in after.cmdline()
        [died] = [line for line in logs if line["event"] == "database_died"]
        assert died["status"] == -9
        assert died["log_level"] == "error"


async def test_it_waits_longer_each_time_and_can_be_closed_meanwhile(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_mongod(tmp_path / "bin", monkeypatch, f"test -e '{tmp_path / 'broken'}' && exit 7")
    with capture_logs() as logs:
        async with opened(data_dir) as database:
            await database.db["things"].insert_one({"_id": 1})
            (tmp_path / "broken").touch()
            kill_child(data_dir, "mongod")
            await until(lambda: len(logs) == 5)
            asleep = asyncio.create_task(longest_sleep())
            await asyncio.sleep(0)
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 2
        asleep.cancel()
        assert await asleep < 0.3, "closing held up the event loop"
    assert [line["retry_in_s"] for line in logs] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert [line["status"] for line in logs] == [-9, 7, 7, 7, 7]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    (tmp_path / "broken").unlink()
    async with opened(data_dir) as database:
        assert await database.db["things"].find_one() == {"_id": 1}


async def test_it_waits_so_long_and_no_longer(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert child.BACKOFF_S[1] == 5.0
    monkeypatch.setattr(child, "BACKOFF_S", (0.1, 0.2))
    fake_mongod(tmp_path / "bin", monkeypatch, f"test -e '{tmp_path / 'broken'}' && exit 7")
    with capture_logs() as logs:
        async with opened(data_dir):
            (tmp_path / "broken").touch()
            kill_child(data_dir, "mongod")
            await until(lambda: len(logs) >= 4)
    assert [line["retry_in_s"] for line in logs][:4] == [0.1, 0.2, 0.2, 0.2]


async def longest_sleep() -> float:
    longest_s = 0.0
    try:
        while True:
            began_s = time.monotonic()
            await asyncio.sleep(0.01)
            longest_s = max(longest_s, time.monotonic() - began_s)
    except asyncio.CancelledError:
        return longest_s


async def test_after_a_while_of_peace_it_is_started_again_at_once(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "STEADY_AFTER_S", 0.2)
    with capture_logs() as logs:
        async with opened(data_dir) as database:
            for number in (1, 2):
                await asyncio.sleep(0.5)
                kill_child(data_dir)

                def logged(count: int = number) -> bool:
                    return len(logs) == count

                await until(logged)
                await until_done(database.ping_ms)
    assert [line["retry_in_s"] for line in logs] == [0.1, 0.1]


async def test_close_may_be_called_twice_and_at_once(data_dir: Path) -> None:
    secantusd()
    async with opened(data_dir) as database:
        pid = child_pid(data_dir)
        closings = [asyncio.create_task(database.close()) for _ in range(3)]
        await closings[1]
        assert not runs(pid), "the second close returned before the first was done"
        await asyncio.gather(*closings)
    assert pid_files(data_dir) == []


async def test_one_that_does_not_listen_is_killed(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "STOP_WITHIN_S", 0.3)
    (tmp_path / "empty").touch()
    deaf = f"""
        '{secantusd()}' --config '{tmp_path / "empty"}' --storage-path "$2" --port "$6" &
        trap '' TERM
        echo $! > '{tmp_path / "inner"}'
        while kill -0 $!; do sleep 0.05; done"""
    fake_mongod(tmp_path / "bin", monkeypatch, deaf)
    async with opened(data_dir):
        pid = child_pid(data_dir, "mongod")
        began_s = time.monotonic()
    os.kill(int((tmp_path / "inner").read_text()), 9)
    assert 0.3 <= time.monotonic() - began_s < 3
    assert not runs(pid)


async def test_a_port_taken_meanwhile_is_another_port(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger who answers on the port is not taken for the child."""
    secantusd()
    stranger = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    taken = stranger.sockets[0].getsockname()[1]
    ports = iter([taken, free := free_port()])
    monkeypatch.setattr(child, "free_port", lambda: next(ports))
    async with opened(data_dir) as database:
        assert port_of(database) == free
    stranger.close()
    await stranger.wait_closed()


def test_a_port_is_free_and_not_one_for_outgoing_connections() -> None:
    ports = {free_port() for _ in range(20)}
    assert len(ports) > 1
    assert all(port in PORTS and is_free(port) for port in ports)


async def test_the_log_begins_anew(data_dir: Path) -> None:
    async with opened(data_dir):
        pass
    log = data_dir / "secantusdb.log"
    log.write_bytes(b"x" * 1_000_000)
    async with opened(data_dir):
        assert 0 < log.stat().st_size < 10_000


async def test_a_start_that_is_given_up_leaves_nothing(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_mongod(tmp_path / "bin", monkeypatch, "exec sleep 60")
    starting = asyncio.create_task(
        opening.open_database(uri=None, name="focusup", data_dir=data_dir)
    )
    await until((data_dir / "mongod.pid").exists)
    await asyncio.sleep(0.05)
    pid = child_pid(data_dir, "mongod")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not runs(pid)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    async with opened(data_dir):  # and the directory is free again
        pass


async def test_it_listens_on_loopback_alone_and_to_our_settings_alone(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secantusd()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secantusd.toml").write_text("this is no toml at all")
    monkeypatch.setenv("SECANTUS_OPLOG_ASYNC", "1")
    async with opened(data_dir) as database:
        process = psutil.Process(child_pid(data_dir))
        listening = [c.laddr for c in process.net_connections() if c.status == "LISTEN"]
        assert [tuple(address) for address in listening] == [("127.0.0.1", port_of(database))]
        assert not [name for name in process.environ() if name.startswith("SECANTUS")]
        # SecantusDB forgets at a crash which writes it has done: a repeated one counts twice.
        options: Any = database.db.client.options
        assert options.retry_writes is False


async def test_the_checkpoint_keeps_the_port_and_the_options_of_indexes(data_dir: Path) -> None:
    secantusd()
    async with opened(data_dir) as database:
        port, things = port_of(database), database.db["things"]
        await things.create_index("email", unique=True)
        await database.checkpoint()
        assert port_of(database) == port
        kill_child(data_dir)
        information = await until_done(things.index_information)
        assert information["email_1"]["unique"] is True
