"""Each check of the doctor by itself: what it says of what is well, and of what is not."""

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from focusup.database import programs
from focusup.database.programs import how_to_keep
from focusup.doctor import address, configuration, database_check, installation, machine, storage
from focusup.doctor.examination import examine
from focusup.doctor.findings import Finding, all_well, failed, ok, report, summary, warning
from focusup.settings import Settings
from models.base.indexes import IndexSpec
from scripts.draw_rooms import ROOMS
from tests.support.database_programs import fake_mongod, no_secantusd, opened, secantusd

SECRET = "a Secret, long enough and not repeated"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


# --- findings --------------------------------------------------------------------------


def test_warnings_are_well_and_failures_are_not() -> None:
    findings = [ok("a", "fine"), warning("b", "so so", "look")]
    assert all_well(findings)
    assert report(findings, "1.2.3") == {
        "version": "1.2.3",
        "ok": True,
        "checks": [
            {"check": "a", "status": "ok", "found": "fine", "advice": None},
            {"check": "b", "status": "warning", "found": "so so", "advice": "look"},
        ],
    }
    findings.append(failed("c", "broken", "mend it"))
    assert not all_well(findings)
    assert summary(findings) == "3 checks: 1 failed, 1 to look at"


def test_what_looks_like_a_credential_is_not_told() -> None:
    finding = failed("a", "mongodb://ada:hunter2@h/ and eyJhbGciOi.eyJzdWIi.c2ln", "token=abc")
    assert "hunter2" not in finding.line + str(finding.wire)
    assert "eyJ" not in finding.line + str(finding.wire)
    assert "abc" not in finding.line + str(finding.wire)


# --- what is installed -----------------------------------------------------------------


def test_a_python_without_an_embedded_database_is_named() -> None:
    told = how_to_keep((3, 14))
    assert told.startswith("Python 3.14 has no embedded database: use Python 3.11 to 3.13")


@pytest.mark.parametrize("port", [0, 5000])
def test_an_address_that_is_none_of_ours_is_refused_on_any_port(port: int) -> None:
    assert address.address("203.0.113.9", port).status == "failed"  # RFC 5737


def test_any_free_port_is_well() -> None:
    assert address.address("127.0.0.1", 0).line.endswith("any free one of 127.0.0.1")


@pytest.mark.parametrize(
    ("running", "status"),
    [((3, 10, 14), "failed"), ((2, 7, 18), "failed"), ((3, 11, 0), "ok"), ((3, 13, 1), "ok")],
)
def test_python(running: tuple[int, int, int], status: str) -> None:
    found = installation.python(running)
    assert found.status == status
    assert ".".join(map(str, running)) in found.found
    if status == "failed":
        assert found.advice == "install Python 3.11 or newer and make .venv anew"


def test_packages_that_are_there() -> None:
    [found] = installation.packages()
    assert found.status == "ok"
    assert found.found.startswith("focusup 0.")


def test_packages_that_are_missing_or_of_another_version() -> None:
    required = [
        "click>=8",
        "quart<0.1",
        "no-such-package>=1",
        "neither-this; sys_platform == 'none'",
        "nor-that; extra == 'dev'",
    ]
    [found] = installation.packages(required)
    assert found.status == "failed"
    assert "quart 0." in found.found
    assert "(needs <0.1), no-such-package is missing (needs >=1)" in found.found
    assert "click" not in found.found
    assert "neither" not in found.found
    assert "nor-that" not in found.found


def test_an_environment_of_its_own() -> None:
    assert installation.environment().status == "ok"
    own = {"models": ["focusup"], "routes": ["focusup", "focusup"], "click": ["click"]}
    assert installation.environment(own).status == "ok"


def test_a_package_that_another_distribution_installs_under_the_same_name() -> None:
    shared = {"models": ["focusup", "tf-models"], "scoring": ["scoring"], "click": ["click"]}
    found = installation.environment(shared)
    assert found.status == "warning"
    assert found.found.endswith("`models` of tf-models, `scoring` of scoring")
    assert found.advice is not None
    assert "pipx install focusup" in found.advice


def test_the_packages_are_all_of_ours() -> None:
    assert set(installation.TOP_LEVEL) == set(ROOMS)


def test_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert installation.time_zones().status == "ok"
    monkeypatch.setattr(installation, "A_ZONE", "Atlantis/Capital")
    assert installation.time_zones().advice == "pip install tzdata"


def test_a_missing_uvloop_is_only_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_installed", lambda _package: None)
    assert installation.event_loop().status == ("ok" if sys.platform == "win32" else "warning")


# --- the machine -----------------------------------------------------------------------


def test_a_clock_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.monotonic_clock().status == "ok"
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    assert machine.monotonic_clock().status == "failed"


@pytest.mark.parametrize(
    ("now", "synchronised", "status"),
    [
        (NOW, True, "ok"),
        (NOW, None, "ok"),
        (NOW, False, "warning"),
        (datetime(1970, 1, 2, tzinfo=UTC), True, "failed"),
        (datetime(2199, 1, 2, tzinfo=UTC), True, "failed"),
    ],
)
def test_the_wall_clock(now: datetime, synchronised: bool | None, status: str) -> None:
    assert machine.wall_clock(now, synchronised).status == status


@pytest.mark.parametrize(
    ("says", "known"), [("echo yes", True), ("echo no", False), ("echo; exit 1", None)]
)
def test_what_timedatectl_says(
    says: str, known: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "timedatectl"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert machine.is_synchronised() is known


def test_without_timedatectl_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.is_synchronised() is None


def test_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the hard limit, to which a start raises the soft one."""
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (512, 1000))
    assert machine.open_files(322, max_idle=100).status == "ok"
    found = machine.open_files(1000, max_idle=100)
    assert found.status == "warning"
    assert found.advice == "LimitNOFILE=2356 in the service, or MAX_SOCKETS=322"


# --- settings --------------------------------------------------------------------------


def test_where_settings_come_from() -> None:
    (Path.cwd() / ".env").write_text("PORT=1\nHOST=h\nlog_level=debug\nJWT_SECRET=\n")
    environment = {"port": "2", "MAX_PAGES": "7", "DATA_DIR": "", "OTHER": "x"}
    found = configuration.sources({"host": "x", "port": None}, environment)
    assert found.found == (
        "HOST by option; PORT, MAX_PAGES from the environment; LOG_LEVEL from .env; "
        "the rest by default"
    )
    assert configuration.sources({}, {}, {}).found == "all by default"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("JWT_SECRETS", "JWT_SECRET"),
        ("MONGO_URI", "MONGODB_URI"),
        ("MONGO_URL", "MONGODB_URI"),
        ("FOCUSUP_PORT", "PORT"),
        ("CORS_ORIGINS", "ALLOWED_ORIGINS"),
        ("ALLOWED_ORIGIN", "ALLOWED_ORIGINS"),
        ("DATADIR", "DATA_DIR"),
        ("IDLE_AFTER_SECS", "IDLE_AFTER_SECONDS"),
        ("mongo_uri", "MONGODB_URI"),
    ],
)
def test_misspelt_settings(name: str, meant: str) -> None:
    [found] = configuration.misspelt({name: "secret value"}, {})
    assert (found.status, found.advice) == ("warning", f"did you mean {meant}?")
    assert name.upper() in found.found
    assert "secret value" not in found.line
    [in_file] = configuration.misspelt({}, {name.upper(): "x"})
    assert "in .env" in in_file.found


@pytest.mark.parametrize(
    "name",
    ["PORT", "FOCUSUP_URL", "FOCUSUP_TOKEN", "HOSTNAME", "PATH", "HOME", "XDG_DATA_DIRS", "PWD"],
)
def test_what_is_no_mistake(name: str) -> None:
    assert list(configuration.misspelt({name: "x"}, {})) == []


def test_a_similar_name_beside_the_right_one_is_no_mistake() -> None:
    assert list(configuration.misspelt({"MONGO_URI": "x", "MONGODB_URI": "y"}, {})) == []


def test_a_secret_that_is_set() -> None:
    found = configuration.secret(settings(jwt_secret=SECRET))
    assert found.status == "ok"
    assert SECRET not in found.line
    guessed = configuration.secret(settings(jwt_secret="change-me" + "!" * 40))
    assert guessed.status == "warning"


def test_a_secret_that_is_kept(tmp_path: Path) -> None:
    ours = settings(data_dir=tmp_path)
    assert "the first start makes one" in configuration.secret(ours).found
    file = tmp_path / "jwt_secret"
    file.write_text(SECRET)
    file.chmod(0o600)
    assert configuration.secret(ours) == ok(
        "secret", f"JWT_SECRET is not set: generated and kept in {file}"
    )
    file.chmod(0o644)
    assert configuration.secret(ours).advice == f"chmod 600 {file}"
    for damaged in (b"short", b"\xff" * 64):
        file.write_bytes(damaged)
        assert configuration.secret(ours).status == "failed"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, "ok"),
        ({"jwks_url": "https://issuer.example/keys"}, "ok"),
        ({"jwt_public_key": "nowhere.pem"}, "failed"),
        (
            {"jwt_public_key": "-----BEGIN PUBLIC KEY-----\nnone\n-----END PUBLIC KEY-----"},
            "failed",
        ),
    ],
)
def test_the_key_of_another_issuer(given: dict[str, str], status: str) -> None:
    found = configuration.other_issuer(settings(**given))
    assert found.status == status
    assert (found.advice is None) is (status == "ok")


@pytest.mark.parametrize(
    ("host", "allowed", "status"),
    [
        ("127.0.0.1", "", "ok"),
        ("localhost", "", "ok"),
        ("::1", "", "ok"),
        ("0.0.0.0", "", "warning"),
        ("0.0.0.0", "https://a.example", "ok"),
        ("study.example", "", "warning"),
    ],
)
def test_origins(host: str, allowed: str, status: str) -> None:
    assert configuration.origins(settings(host=host, allowed_origins=allowed)).status == status


@pytest.mark.parametrize(
    ("trusted", "status"), [("", "ok"), ("10.0.0.0/8", "ok"), ("127.0.0.1,0.0.0.0/0", "warning")]
)
def test_proxies(trusted: str, status: str) -> None:
    assert configuration.proxies(settings(trusted_proxies=trusted)).status == status


# --- the data directory ----------------------------------------------------------------


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    found = storage.data_directory(tmp_path / "a" / "b")
    assert (found.status, found.found) == ("ok", "a/b is not there yet: the first start makes it")
    assert not any(tmp_path.iterdir())


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert storage.data_directory(place).found == "file is a file"


async def test_who_wrote_it_and_who_uses_it(tmp_path: Path) -> None:
    secantusd()
    async with opened(tmp_path / "data"):
        used = storage.data_directory(tmp_path / "data").found
    assert (
        used == f"data, written by secantusdb; in use by a FocusUp server (process {os.getpid()})"
    )
    assert (
        storage.data_directory(tmp_path / "data").found == "data, written by secantusdb; not in use"
    )


def test_what_is_left_of_a_server_that_was_killed_is_not_in_use(tmp_path: Path) -> None:
    (tmp_path / "server.lock").touch()
    (tmp_path / "server.pid").write_text("1")
    assert storage.data_directory(tmp_path).found.endswith("without a database; not in use")


@pytest.mark.parametrize(("mib", "status"), [(10, "failed"), (500, "warning"), (5000, "ok")])
def test_room(mib: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "free_mib", lambda _place: mib)
    assert storage.room(tmp_path / "not there yet").status == status


def test_the_database_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = secantusd()
    assert storage.database_program(tmp_path) == ok("database program", "secantusdb 0.6.0b17")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert storage.database_program(tmp_path).status == "failed"
    monkeypatch.undo()
    monkeypatch.setattr(programs, "_secantusd", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    none = storage.database_program(tmp_path)
    assert none.status == "warning"
    assert "pip install 'focusup[embedded]'" in str(none.advice)
    (tmp_path / "secantusdb").mkdir()
    (tmp_path / "secantusdb" / "WiredTiger").touch()
    assert storage.database_program(tmp_path).status == "failed"
    assert program.is_file()


def test_another_program_than_the_one_that_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_mongod(tmp_path / "bin", monkeypatch, 'echo "db version v8.0.4"; exit 0')
    no_secantusd(monkeypatch)
    assert storage.database_program(tmp_path) == ok("database program", "mongod v8.0.4")
    (tmp_path / "secantusdb").mkdir()
    (tmp_path / "secantusdb" / "WiredTiger").touch()
    assert storage.database_program(tmp_path).advice == "install secantusdb to have that data back"


# --- what the database tells -----------------------------------------------------------


@pytest.mark.parametrize(
    ("hello", "status"),
    [
        ({"isWritablePrimary": True}, "warning"),
        ({"isWritablePrimary": True, "setName": "rs0"}, "ok"),
        ({"isWritablePrimary": False, "setName": "rs0"}, "failed"),
        ({"isWritablePrimary": True, "msg": "isdbgrid"}, "ok"),
    ],
)
def test_topology(hello: dict[str, Any], status: str) -> None:
    assert database_check.topology(hello).status == status


@pytest.mark.parametrize(
    ("apart_s", "status", "word"),
    [(0, "ok", ""), (1.9, "ok", ""), (3, "warning", "3.0 s ahead"), (-60, "warning", "behind")],
)
def test_the_clock_of_the_database(apart_s: float, status: str, word: str) -> None:
    found = database_check.clock(NOW + timedelta(seconds=apart_s), NOW)
    assert found.status == status
    assert word in found.found


@pytest.mark.parametrize(("ms", "status"), [(0.3, "ok"), (80, "warning")])
def test_latency(ms: float, status: str) -> None:
    assert database_check.latency("mongodb at h", ms).status == status


WANTED = {
    "things": (
        IndexSpec(keys=(("a", 1),), query="q", unique=True),
        IndexSpec(keys=(("b", -1),), query="q", expire_after_s=60),
    )
}
A = {"key": [("a", 1)], "unique": True}
B = {"key": [("b", -1)], "expireAfterSeconds": 60}


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ({}, "no data yet"),
        ({"a_1": A, "b_-1": B, "_id_": {"key": [("_id", 1)]}}, "all 2 are there"),
        ({"a_1": A}, "should be: things.b_-1"),
        ({"a_1": {"key": [("a", 1)]}, "b_-1": B}, "should be: things.a_1"),
        ({"a_1": A, "b_-1": {**B, "expireAfterSeconds": 61}}, "should be: things.b_-1"),
    ],
)
def test_indexes(there: dict[str, Any], says: str) -> None:
    [found] = database_check.indexes(WANTED, {"things": there})
    assert says in found.found
    assert found.status == ("warning" if "should be" in says else "ok")


# --- none keeps the others from being made ---------------------------------------------


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied", "/x"), KeyError("x")])
def test_a_check_that_fails_is_told(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Finding:
        raise error

    def checks() -> set[str]:
        return {found.check for found in examine(port=0)}

    before = checks()
    monkeypatch.setattr(installation, "time_zones", fails)
    assert checks() == before
    found = next(each for each in examine(port=0) if each.check == "time zones")
    assert found.status == "failed"
    assert "can't be checked" in found.found
