"""`focusup admin`: beside a server that runs, and without one."""

import time
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from focusup.cli import main
from tests.support.live_server import LiveServer

PASSWORD = "correct horse"


pytestmark = pytest.mark.usefixtures("bare_environment")


def admin(*arguments: str, answer: str = "y\n") -> Result:
    return CliRunner().invoke(main, ("admin", *arguments), answer, catch_exceptions=False)


def sign(server: LiveServer, how: str, email: str = "ada@example.com") -> dict[str, str]:
    body = {"email": email, "password": PASSWORD}
    answer = httpx.post(f"{server.url}/api/auth/{how}", json=body, timeout=20)
    assert answer.is_success, answer.text
    return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


def metrics_status(server: LiveServer, headers: dict[str, str]) -> int:
    return httpx.get(f"{server.url}/api/admin/metrics", headers=headers, timeout=20).status_code


def test_beside_a_server_that_runs(server: LiveServer) -> None:
    before = sign(server, "signup")
    assert metrics_status(server, before) == 403
    result = admin("add", " Ada@Example.com".strip())
    assert result.exit_code == 0, result.output
    assert metrics_status(server, before) == 403  # the token says who is an admin
    assert metrics_status(server, sign(server, "login")) == 200
    assert admin("list").stdout == "ada@example.com\n"
    as_admin = sign(server, "login")
    assert metrics_status(server, as_admin) == 200
    assert admin("remove", "ada@example.com").exit_code == 0
    began_s = time.monotonic()
    while metrics_status(server, as_admin) != 403:
        assert time.monotonic() - began_s < 10, "still an admin"
    assert metrics_status(server, sign(server, "login")) == 403
    assert admin("list").stdout == ""


def test_it_shows_the_account_and_asks(server: LiveServer) -> None:
    """Anybody may have signed up with that address."""
    sign(server, "signup")
    refused = admin("add", "ada@example.com", answer="n\n")
    assert refused.exit_code == 1
    assert "ada@example.com" in refused.stderr
    assert "signed up:" in refused.stderr
    assert admin("list").stdout == ""
    assert admin("add", "ada@example.com", answer="").exit_code == 1  # nobody there
    assert admin("add", "ada@example.com", "--yes", answer="").exit_code == 0
    assert admin("list").stdout == "ada@example.com\n"


def test_without_a_server(server: LiveServer) -> None:
    sign(server, "signup")
    server.stop()
    assert admin("add", "ada@example.com").exit_code == 0
    assert admin("list").stdout == "ada@example.com\n"
    server.start()
    assert metrics_status(server, sign(server, "login")) == 200


def test_after_a_server_that_was_killed(server: LiveServer) -> None:
    sign(server, "signup")
    server.kill()
    result = admin("add", "ada@example.com")
    assert result.exit_code == 0, result.output
    server.start()
    assert metrics_status(server, sign(server, "login")) == 200


def test_without_an_account_it_says_what_to_do(server: LiveServer) -> None:
    result = admin("add", "nobody@example.com")
    assert result.exit_code == 1
    assert "There is no account with this e-mail address." in result.stderr


def test_what_is_no_address_is_wrong_usage() -> None:
    result = admin("add", "ada")
    assert result.exit_code == 2
    assert "must be an e-mail address" in result.stderr


def test_without_a_database_it_says_so_and_makes_none(tmp_path: Path) -> None:
    result = admin("add", "ada@example.com", "--data-dir", str(tmp_path / "none"))
    assert result.exit_code == 1
    assert "there is no database in none" in result.stderr
    assert not (tmp_path / "none").exists()


def test_memory_is_the_servers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", "memory")
    result = admin("list")
    assert result.exit_code == 1
    assert "MONGODB_URI=memory" in result.stderr
