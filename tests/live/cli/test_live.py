"""The client commands against a live server on the embedded database."""

import json
import re
from dataclasses import replace
from typing import Any, Protocol
from uuid import uuid4

import httpx
import pytest
from click.testing import CliRunner, Result

from focusup.cli import main
from focusup.cli.smoke import steps
from scoring.focus import Score, focus_score


class Live(Protocol):
    @property
    def url(self) -> str: ...


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


@pytest.fixture
def account(live_server: Live) -> dict[str, str]:
    """Headers of a new user."""
    body = {"email": f"{uuid4().hex}@example.com", "password": "correct horse"}
    answer = httpx.post(f"{live_server.url}/api/auth/signup", json=body)
    return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


@pytest.fixture
def session_id(live_server: Live, account: dict[str, str]) -> str:
    answer = httpx.post(f"{live_server.url}/api/sessions", json={}, headers=account)
    return str(answer.json()["session"]["_id"])


def track(live_server: Live, account: dict[str, str], session_id: str, *more: str) -> Result:
    token = account["Authorization"].removeprefix("Bearer ")
    return run("track", "--url", live_server.url, "--session", session_id, "--token", token, *more)


def test_smoke_passes(live_server: Live) -> None:
    result = run("smoke", "--url", live_server.url, "--seconds", "2")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert len(lines) == 13
    assert all(re.match(r"pass  [a-z].* \d+ ms", line) for line in lines)


def test_smoke_notices_a_wrong_score(live_server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_more(**numbers: Any) -> Score:
        score = focus_score(**numbers)
        return replace(score, focus_score=score.focus_score + 1)

    monkeypatch.setattr(steps, "focus_score", one_more)
    result = run("smoke", "--url", live_server.url, "--seconds", "2")
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.output.splitlines()[-4:]] == ["FAIL", *["skip"] * 3]
    assert "the formula gives" in result.output


def test_track_prints_what_it_hears_and_ends_the_session(
    live_server: Live, account: dict[str, str], session_id: str
) -> None:
    result = track(live_server, account, session_id, "--seconds", "2.5")
    assert result.exit_code == 0, result.output
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    types = [message["type"] for message in messages]
    assert types[0] == "started"
    assert types[-1] == "stopped"
    assert types.count("tick") == 2
    assert messages[-1]["session"]["elapsedSeconds"] == 2
    assert messages[-1]["session"]["status"] == "completed"


def test_track_can_leave_the_session_open(
    live_server: Live, account: dict[str, str], session_id: str
) -> None:
    result = track(live_server, account, session_id, "--seconds", "1.2", "--no-stop")
    assert result.exit_code == 0, result.output
    url = f"{live_server.url}/api/sessions/{session_id}"
    session = httpx.get(url, headers=account).json()["session"]
    assert session["status"] == "active"
    assert session["elapsedSeconds"] == 1


def test_track_tells_why_it_is_refused(live_server: Live, account: dict[str, str]) -> None:
    result = track(live_server, account, "0" * 24)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: session_not_found: ")


def test_track_tells_that_its_token_is_refused(live_server: Live, session_id: str) -> None:
    result = track(live_server, {"Authorization": "Bearer nonsense"}, session_id)
    assert result.exit_code == 1
    assert "4401" in result.stderr
