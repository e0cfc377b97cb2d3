"""Which database is opened: the one asked for, else the best there is, else memory."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from focusup.database import DatabaseError, child, open_database
from tests.support.database_programs import (
    child_pid,
    command_line,
    fake_mongod,
    no_secantusd,
    nothing_in,
    opened,
    port_of,
    program_of,
    python,
    runs,
    secantusd,
)


async def test_secantusdb_is_used_where_there_is_no_mongod(data_dir: Path) -> None:
    secantusd()
    async with opened(data_dir) as database:
        assert database.kind == "secantusdb"
        assert database.where == f"secantusdb in {data_dir / 'secantusdb'}"
        assert 0 < await database.ping_ms() < 1000
        pid = child_pid(data_dir)
        assert program_of(pid) == secantusd()
        given, port = command_line(pid)[1:], port_of(database)
    assert not runs(pid)
    assert given == [
        *("--config", str(data_dir / "secantusdb.toml"), "--host", "127.0.0.1"),
        *("--port", str(port), "--storage-path", str(data_dir / "secantusdb")),
        *("--sync-on-commit", "--data-nonlogged", "--checkpoint-seconds", "15"),
        *("--log-file-max", "64MB", "--cache-size", "256M", "--log-level", "WARNING"),
    ]
    assert (data_dir / "secantusdb.toml").read_bytes() == b""


async def test_a_mongod_on_path_comes_first(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = fake_mongod(tmp_path / "bin", monkeypatch)
    async with opened(data_dir) as database:
        assert database.kind == "mongod"
        assert database.where == f"mongod in {data_dir / 'mongod'}"
        await database.db["things"].insert_one({"_id": 1})
        port = port_of(database)
    assert noted.read_text().splitlines() == [
        *("--dbpath", str(data_dir / "mongod"), "--bind_ip", "127.0.0.1", "--port", str(port))
    ]


async def test_data_of_secantusdb_stays_in_use_when_a_mongod_comes(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(data_dir) as database:
        await database.db["things"].insert_one({"_id": "kept"})
    fake_mongod(tmp_path / "bin", monkeypatch)
    async with opened(data_dir) as database:
        assert database.kind == "secantusdb"
        assert await database.db["things"].find_one() == {"_id": "kept"}


async def test_data_that_cannot_be_used_is_told_and_comes_back(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(data_dir) as database:
        await database.db["things"].insert_one({"_id": "kept"})
    fake_mongod(tmp_path / "bin", monkeypatch)
    with monkeypatch.context() as lost:
        no_secantusd(lost)
        with capture_logs() as logs:
            async with opened(data_dir) as database:
                assert database.kind == "mongod"
        told = next(line for line in logs if line["event"] == "data_ignored")
        assert told["of"] == [str(data_dir / "secantusdb")]
        assert "not installed" in told["why"]
    with capture_logs() as logs:
        async with opened(data_dir) as database:
            assert database.kind == "secantusdb"
            assert await database.db["things"].find_one() == {"_id": "kept"}
    assert "data_ignored" in [line["event"] for line in logs]


async def test_what_a_failed_first_start_leaves_is_not_data(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = 'touch "$2/mongod.lock"; echo "Illegal instruction: no AVX"; exit 4'
    fake_mongod(tmp_path / "bin", monkeypatch, body)
    with pytest.raises(DatabaseError, match=r"mongod ended at once \(exit status 4\).*no AVX"):
        await open_database(uri=None, name="focusup", data_dir=data_dir)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    async with opened(data_dir) as database:
        assert database.kind == "secantusdb"
    fake_mongod(tmp_path / "bin", monkeypatch)
    async with opened(data_dir) as database:
        assert database.kind == "secantusdb"


async def test_one_that_never_gets_ready_is_ended(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "READY_WITHIN_S", 0.3)
    body = f"echo $$ > '{tmp_path / 'pid'}'; echo still thinking; exec sleep 60"
    fake_mongod(tmp_path / "bin", monkeypatch, body)
    with pytest.raises(DatabaseError, match=r"not ready within 0.3 s.*still thinking"):
        await open_database(uri=None, name="focusup", data_dir=data_dir)
    assert not runs(int((tmp_path / "pid").read_text()))
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("uri", ["memory", None])
async def test_memory_is_told_loudly(
    uri: str | None, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_secantusd(monkeypatch)
    with capture_logs() as logs:
        async with opened(data_dir, uri=uri) as database:
            assert database.kind == "memory"
            assert database.where == "memory: nothing is kept"
            await database.db["things"].insert_one({"_id": 1})
            assert await database.db["things"].find_one() == {"_id": 1}
            assert await database.ping_ms() >= 0
            await database.checkpoint()
    [told] = logs
    assert told["log_level"] == "warning"
    assert "NOTHING WILL BE KEPT" in told["warning"]
    for way in ("focusup[embedded]", "mongod", "MONGODB_URI"):
        assert (way in told["because"]) is (uri is None or way == "MONGODB_URI")
    assert nothing_in(data_dir.parent)


async def test_memory_says_where_there_is_data(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(data_dir):
        pass
    no_secantusd(monkeypatch)
    with capture_logs() as logs:
        async with opened(data_dir):
            pass
    assert f"There is data in {data_dir / 'secantusdb'}" in logs[0]["because"]


async def test_nothing_of_secantusdb_or_mongomock_is_imported(data_dir: Path) -> None:
    """The one is under the GPL, the other slow to import."""
    secantusd()
    code = (
        "import asyncio, sys; from pathlib import Path; from focusup.database import *\n"
        "async def main():\n"
        "    o = await open_database(uri=None, name='x', data_dir=Path(sys.argv[1]))\n"
        "    await o.close(); print(o.kind)\n"
        "asyncio.run(main())\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(n for n in names if 'secantus' in n or n in ('mongomock', 'wiredtiger')))"
    )
    output, _ = await (await python(code, str(data_dir))).communicate()
    assert output.decode().splitlines()[-2:] == ["secantusdb", "[]"]
