"""The shell smoke test, run with curl against a live server."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.paths import ROOT
from tests.support.requirements import require

SCRIPT = ROOT / "scripts" / "smoke.sh"
STEPS = ["health", "sign up", "create", "track", "stop", "read score", "statistics", "delete"]


class Live(Protocol):
    @property
    def url(self) -> str: ...


def smoke(shell: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    require("curl", "scripts/smoke.sh is made of it")
    require(shell, "scripts/smoke.sh runs in it")
    environment = os.environ | {"PYTHON": sys.executable} | variables
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        [shell, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


def steps_of(result: subprocess.CompletedProcess[str], word: str) -> list[str]:
    return [
        next(step for step in STEPS if line[6:].startswith(step))
        for line in result.stdout.splitlines()
        if line.startswith(word)
    ]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_every_step_passes(live_server: Live, shell: str) -> None:
    result = smoke(shell, live_server.url, "2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert steps_of(result, "pass") == STEPS
    assert result.stderr == ""


def test_the_address_may_come_from_the_environment(live_server: Live) -> None:
    result = smoke("sh", "", "2", FOCUSUP_URL=f"{live_server.url}/")
    assert result.returncode == 0, result.stdout + result.stderr


def test_it_stops_at_the_first_failure(live_server: Live) -> None:
    result = smoke("sh", live_server.url, "2", FOCUSUP="false")
    assert result.returncode == 1
    assert steps_of(result, "pass") == ["health", "sign up", "create"]
    assert steps_of(result, "FAIL") == ["track"]


def test_without_a_server_the_first_step_fails() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        result = smoke("sh", f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert result.returncode == 1
    assert steps_of(result, "pass") == []
    assert steps_of(result, "FAIL") == ["health"]
