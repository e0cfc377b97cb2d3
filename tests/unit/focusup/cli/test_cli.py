"""The command line without a server."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result

from focusup.cli import main
from focusup.settings import Settings

SECRET = "a secret that is long enough for HS256"
NEVER_SHOWN = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting and no .env of the machine that runs the tests."""
    for name in (*Settings.model_fields, "focusup_url", "focusup_token"):
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


# --- the group -------------------------------------------------------------------------


def test_version() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert re.fullmatch(r"focusup \d+\.\d+\.\d+\S*\n", result.output)


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: main {command}" in result.output
    assert command in run("--help").output


def test_there_are_the_promised_commands() -> None:
    promised = {"admin", "demo", "doctor", "pages", "serve", "smoke", "token", "track", "users"}
    assert set(main.commands) == promised


def test_an_unknown_command_is_wrong_usage() -> None:
    assert run("no-such-command").exit_code == 2


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = "{'quart', 'hypercorn', 'motor', 'pymongo', 'pydantic', 'httpx', 'websockets', 'rich'}"
    program = f"import sys, focusup.cli; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert result.stdout == "[]\n"


def test_it_runs_as_a_module() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "focusup", "--version"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert result.stdout == run("--version").output


# --- wrong settings --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", NEVER_SHOWN),
        ("PORT", "70000"),
        ("JWT_SECRET", NEVER_SHOWN),
        ("ACCESS_TOKEN_MINUTES", "0"),
        ("MONGODB_DATABASE", "a b"),
        ("LOG_LEVEL", NEVER_SHOWN),
    ],
)
@pytest.mark.parametrize("command", [("serve",), ("token", "--user", "ada")])
def test_a_wrong_setting_is_named_and_its_value_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    result = run(*command)
    assert result.exit_code == 2
    assert re.fullmatch(rf"focusup: {name}: [^\n]+\n", result.stderr)
    assert "validation error" not in result.output
    assert NEVER_SHOWN not in result.output


def test_several_wrong_settings_are_all_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("JWT_SECRET", "short")
    result = run("serve")
    assert result.exit_code == 2
    assert [line.split(":")[1] for line in result.stderr.splitlines()] == [" PORT", " JWT_SECRET"]


def test_a_wrong_option_is_named_as_such() -> None:
    result = run("serve", "--port", "70000")
    assert result.exit_code == 2
    assert result.stderr.startswith("focusup: --port: ")


def test_a_wrong_setting_in_the_env_file_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("IDLE_AFTER_SECONDS=soon\n", "utf-8")
    result = run("serve")
    assert result.exit_code == 2
    assert result.stderr.startswith("focusup: IDLE_AFTER_SECONDS: ")


def test_an_env_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")
    result = run("serve")
    assert result.exit_code == 2
    assert result.stderr == "focusup: .env: must be UTF-8 text\n"


def test_an_env_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    if not Path("/proc/self/mem").exists():
        pytest.skip("no file here that is there, and fails when it is read")
    (tmp_path / ".env").symlink_to("/proc/self/mem")
    result = run("serve")
    assert result.exit_code == 2
    assert result.stderr == "focusup: .env: can't be read: Input/output error\n"


# --- serve -----------------------------------------------------------------------------


def test_serve_hands_over_the_settings_and_exits_with_the_servers_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Settings] = []

    def serve(settings: Settings) -> int:
        seen.append(settings)
        return 3

    monkeypatch.setenv("HOST", "192.0.2.1")
    monkeypatch.setattr("focusup.serving.run", serve)
    result = run("serve", "--port", "0", "--host", "127.0.0.2", "--data-dir", str(tmp_path / "d"))
    assert result.exit_code == 3
    assert (seen[0].host, seen[0].port, seen[0].data_dir) == ("127.0.0.2", 0, tmp_path / "d")


# --- token -----------------------------------------------------------------------------


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("JWT_SECRET", SECRET)
    return SECRET


def claims_of(result: Result, secret: str) -> dict[str, object]:
    assert result.exit_code == 0, result.output
    return jwt.decode(result.stdout.removesuffix("\n"), secret, algorithms=["HS256"])


def test_a_token_names_its_user_and_expires(secret: str) -> None:
    before = int(datetime.now(UTC).timestamp())
    claims = claims_of(run("token", "--user", "ada", "--minutes", "5"), secret)
    assert claims.keys() == {"sub", "iat", "exp"}
    assert claims["sub"] == "ada"
    issued_at, expires_at = claims["iat"], claims["exp"]
    assert isinstance(issued_at, int)
    assert isinstance(expires_at, int)
    assert 0 <= issued_at - before <= 5
    assert timedelta(seconds=expires_at - issued_at) <= timedelta(minutes=5, seconds=1)
    assert timedelta(seconds=expires_at - issued_at) >= timedelta(minutes=5)


def test_a_token_may_claim_a_role(secret: str) -> None:
    assert claims_of(run("token", "--user", "ada", "--role", "admin"), secret)["role"] == "admin"


def test_a_token_prints_nothing_else(secret: str) -> None:
    result = run("token", "--user", "ada")
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", result.stdout)
    assert result.stderr == ""


@pytest.mark.parametrize("user_id", ["", "a\nb", "x" * 300])
def test_a_user_that_the_server_would_refuse_gets_no_token(secret: str, user_id: str) -> None:
    result = run("token", "--user", user_id)
    assert result.exit_code == 1
    assert result.stdout == ""


def test_without_a_secret_the_generated_one_signs(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    first = run("token", "--user", "ada", "--data-dir", str(data_dir))
    second = run("token", "--user", "ada", "--data-dir", str(data_dir))
    generated = {file.read_text("utf-8").strip() for file in data_dir.iterdir() if file.is_file()}
    assert any(
        claims_of(first, text)["sub"] == claims_of(second, text)["sub"] == "ada"
        for text in generated
        if len(text.encode()) >= 32
    )


# --- against nothing -------------------------------------------------------------------


@pytest.fixture
def dead_url() -> Iterator[str]:
    """A port of this machine on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_smoke_fails_without_a_server_and_skips_the_rest(dead_url: str) -> None:
    result = run("smoke", "--url", dead_url)
    assert result.exit_code == 1
    words = [line.split()[0] for line in result.output.splitlines()]
    assert words == ["FAIL"] + ["skip"] * 12


def test_track_says_why_it_cannot(dead_url: str) -> None:
    result = run("track", "--url", dead_url, "--session", "0" * 24, "--token", "t")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: no server answers at ")


@pytest.mark.parametrize("url", ["localhost:5000", "ftp://localhost", "http://"])
@pytest.mark.parametrize("command", [("smoke",), ("track", "--session", "1", "--token", "t")])
def test_an_address_that_is_none_is_wrong_usage(command: tuple[str, ...], url: str) -> None:
    result = run(*command, "--url", url)
    assert result.exit_code == 2
    assert "is not an http:// or https:// address" in result.output
