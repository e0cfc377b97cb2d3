"""`focusup doctor` as it is run: beside a server, before one, and where things are wrong."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from focusup.doctor import database_check
from focusup.settings import Settings
from focusup.wiring.data import indexes_of
from models.activity import visits
from tests.support.cli import focusup, stranger
from tests.support.database_programs import child_pid, opened, port_of
from tests.support.live_server import LiveServer, running_server
from tests.support.server import SECRET

PASSWORD = "hunter2-hunter2"


def examined(directory: Path, *options: str, **settings: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and each check's findings by name."""
    done = focusup(directory, ["doctor", "--json", *options], **settings)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["ok"] is (done.returncode == 0)
    checks: dict[str, Any] = {}
    for found in report["checks"]:
        assert found["status"] in ("ok", "warning", "failed")
        assert (found["advice"] is None) is (found["status"] == "ok"), found
        checks.setdefault(found["check"], []).append(found)
    return done.returncode, checks


def tree(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below, as it is."""
    found = {}
    for path in sorted(directory.rglob("*")):
        about = path.stat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (about.st_mode, about.st_mtime_ns, content)
    return found


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The folder of a server that has run."""
    with running_server(tmp_path, JWT_SECRET="", MONGODB_URI=""):
        pass
    return tmp_path


def test_beside_a_server_that_runs(live_server: LiveServer, tmp_path: Path) -> None:
    if not any(live_server.data_dir.glob("server.lock")):
        pytest.skip("the server of the tests runs on a database elsewhere")
    port = live_server.url.rpartition(":")[2]
    status, checks = examined(
        tmp_path,
        "--port",
        port,
        DATA_DIR=str(live_server.data_dir),
        JWT_SECRET=SECRET,
        MONGODB_DATABASE=live_server.database,
        MAX_SOCKETS="10",
    )
    assert status == 0, checks
    assert all(found["status"] == "ok" for each in checks.values() for found in each), checks
    told = {name: each[0]["found"] for name, each in checks.items()}
    assert f"runs on 127.0.0.1:{port}, and is well" in told["port"]
    assert f"in use by a FocusUp server (process {live_server.pid})" in told["data directory"]
    assert "secantusdb of the server on" in told["database"]
    assert "answers in" in told["database"]
    assert (
        told["indexes"]
        == f"all {sum(map(len, indexes_of(Settings(_env_file=None)).values()))} are there"
    )
    assert told["database clock"] == "within 2 s of this machine"
    with live_server.rest() as rest:
        assert rest.get("/api/health").json()["status"] == "ok"


def test_before_the_first_start_nothing_is_made(tmp_path: Path) -> None:
    done = focusup(tmp_path, ["doctor"], MAX_SOCKETS="10")
    assert done.returncode == 0, done.stdout
    *lines, last = done.stdout.splitlines()
    assert all(line.startswith("ok ") for line in lines), done.stdout
    assert last == f"{len(lines)} checks: 0 failed, 0 to look at"
    assert not any(tmp_path.iterdir())


def test_a_stopped_server_is_left_as_it_is(stopped: Path) -> None:
    before = tree(stopped)
    status, checks = examined(stopped, "--data-dir", str(stopped / "data"))
    assert status == 0
    assert "written by secantusdb; not in use" in checks["data directory"][0]["found"]
    assert "generated and kept in" in checks["secret"][0]["found"]
    assert "examined while the server runs" in checks["database"][0]["found"]
    assert tree(stopped) == before


def test_wrong_settings_are_all_told_and_what_needs_none_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MONGO_URI=mongodb://h\nPORT=abc\n")
    status, checks = examined(tmp_path, JWT_SECRET=PASSWORD, PORT="")
    assert status == 1
    told = [found["found"] for found in checks["settings"]]
    assert told[0] == "MONGO_URI in .env is unknown"
    assert told[1].startswith("PORT: ")
    assert told[2].startswith("JWT_SECRET: must be at least 32 bytes")
    assert checks["python"][0]["status"] == "ok"
    assert "port" not in checks
    assert PASSWORD not in str(checks)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    secrets = {
        "JWT_SECRET": f"{PASSWORD}-of-tokens-and-more",
        "METRICS_TOKEN": f"{PASSWORD}-of-metrics",
        "MONGODB_URI": f"mongodb://ada:{PASSWORD}@127.0.0.1:1/?authSource={PASSWORD}",
        "JWT_SECRETS": PASSWORD,
    }
    for options in ([], ["--json"]):
        done = focusup(tmp_path, ["doctor", *options], **secrets)
        assert done.returncode == 1
        assert "mongodb at 127.0.0.1:1 does not answer" in done.stdout
        assert PASSWORD not in done.stdout + done.stderr
        assert "ada" not in done.stdout


def test_a_port_that_another_program_uses(tmp_path: Path) -> None:
    with stranger() as port:
        status, checks = examined(tmp_path, PORT=str(port), MONGODB_URI="memory")
    assert status == 1
    [found] = checks["port"]
    assert found["status"] == "failed"
    assert "another program is already running there" in found["found"]
    assert found["advice"] == "stop it, or set PORT to another port"
    assert checks["database"][0]["status"] == "warning"


# --- databases -------------------------------------------------------------------------


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


async def test_a_database_without_its_indexes_stays_so(tmp_path: Path) -> None:
    async with opened(tmp_path / "theirs") as database:
        ours = settings(mongodb_uri=f"mongodb://127.0.0.1:{port_of(database)}/")
        before = {found.check: found for found in await database_check.database(ours)}
        assert before["indexes"].found == "no data yet: the first start makes them"
        await database.db[visits.COLLECTION].insert_one({"_id": 1})
        made = sorted(await database.db.list_collection_names())
        found = {found.check: found for found in await database_check.database(ours)}
        assert found["indexes"].status == "warning"
        assert f"{visits.COLLECTION}." in found["indexes"].found
        assert found["database"].status == "ok"
        assert found["replica set"].found.startswith("secantus: ")
        assert sorted(await database.db.list_collection_names()) == made
        assert set(await database.db[visits.COLLECTION].index_information()) == {"_id_"}


async def test_a_password_that_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "theirs") as database:
        uri = f"mongodb://ada:{PASSWORD}@127.0.0.1:{port_of(database)}/"
        [found] = await database_check.database(settings(mongodb_uri=uri))
    assert found.status == "failed"
    assert "refuses us" in found.found
    assert found.advice == "check the user and password of MONGODB_URI"


async def test_one_that_hangs_is_told_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_check, "WITHIN_S", 0.5)
    async with opened(tmp_path / "data"):
        pid = child_pid(tmp_path / "data")
        os.kill(pid, signal.SIGSTOP)
        try:
            [found] = await database_check.database(settings(data_dir=tmp_path / "data"))
        finally:
            os.kill(pid, signal.SIGCONT)
    assert found.status == "failed"
    assert "does not answer" in found.line
