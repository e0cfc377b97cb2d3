"""`focusup users`, beside a server that runs."""

import time
from collections.abc import Callable

import httpx
import pytest
from click.testing import CliRunner, Result

from focusup.cli import main
from tests.support.live_server import LiveServer

EMAIL, PASSWORD = "ada@example.com", "correct horse"
HEARD_WITHIN_S = 20.0

pytestmark = pytest.mark.usefixtures("bare_environment")


def users(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("users", *arguments), catch_exceptions=False)


def auth(server: LiveServer, how: str, **body: str) -> httpx.Response:
    return httpx.post(f"{server.url}/api/auth/{how}", json=body, timeout=20)


def signed_in(server: LiveServer, how: str = "login", password: str = PASSWORD) -> str:
    answer = auth(server, how, email=EMAIL, password=password)
    assert answer.is_success, answer.text
    return str(answer.json()["token"])


def status(server: LiveServer, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{server.url}/api/sessions", headers=headers, timeout=20).status_code


def until(holds: Callable[[], bool]) -> None:
    began_s = time.monotonic()
    while not holds():
        assert time.monotonic() - began_s < HEARD_WITHIN_S, "not heard"
        time.sleep(0.1)


def test_accounts_are_mended_beside_a_server(server: LiveServer) -> None:
    token = signed_in(server, "signup")
    assert "signed up:" in users("show", EMAIL).stdout

    assert users("lock", EMAIL).exit_code == 0
    until(lambda: status(server, token) == 401)
    refused = auth(server, "login", email=EMAIL, password=PASSWORD)
    assert (refused.status_code, refused.json()["code"]) == (403, "account_locked")
    assert users("unlock", EMAIL).exit_code == 0
    token = signed_in(server)
    until(lambda: status(server, token) == 200)

    reset = users("reset-password", EMAIL)
    assert reset.exit_code == 0, reset.output
    once = reset.stdout.strip()
    until(lambda: status(server, token) == 401)
    assert auth(server, "login", email=EMAIL, password=PASSWORD).status_code == 401
    token = signed_in(server, password=once)
    change = {"currentPassword": once, "newPassword": PASSWORD}
    headers = {"Authorization": f"Bearer {token}"}
    changed = httpx.put(f"{server.url}/api/me/password", json=change, headers=headers, timeout=20)
    assert changed.status_code == 204, changed.text
    assert status(server, token) == 200

    assert users("sign-out", "--all").exit_code == 0
    until(lambda: status(server, token) == 401)
    assert signed_in(server)


def test_wrong_usage() -> None:
    assert users("sign-out").exit_code == 2
    assert users("sign-out", EMAIL, "--all").exit_code == 2
    assert users("lock", "ada").exit_code == 2
