"""The served OpenAPI document against the server that serves it, by schemathesis.

Its command line runs as a process, with all of its checks and phases; this module is also
the file of hooks that it loads.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis import Case, GenerationMode, HookContext

from models.accounts.passwords import MIN_DIFFERENT_CHARS
from models.base.errors import Unauthorized
from models.tokens.access_tokens import TokenAuthority
from tests.support.live_server import LiveServer
from tests.support.paths import ROOT
from tests.support.server import SECRET
from tests.support.socket_client import tracked_for_a_moment

WITHIN_S = 180
NEED_CREDENTIALS = {"POST /api/auth/login", "POST /api/auth/refresh"}
"""Few of their valid bodies are credentials that somebody has."""
NOT_ASKED = {"POST /api/auth/logout-everywhere", "PUT /api/me/password"}
"""One would end the token by which all others ask; its user has no password to change."""

# Signing up costs a password hash: its coverage phase alone would try each time zone. That
# of leaving takes the header away, as that of examples has none, and then sends the token by
# which all others ask.
CONFIGURATION = """
hooks = "tests.live.test_schemathesis"
continue-on-failure = true

[generation]
deterministic = true
max-examples = 20

[warnings]
fail-on = true

[[operations]]
include-operation-id = "signup"
phases.coverage.enabled = false
phases.stateful.enabled = false
generation.max-examples = 8

[[operations]]
include-operation-id = "login"
generation.max-examples = 8

[[operations]]
include-operation-id = "leave"
phases.coverage.enabled = false
phases.examples.enabled = false

[[operations]]
include-operation-id = "logout_everywhere"
enabled = false

[[operations]]
include-operation-id = "change_password"
enabled = false

[[operations]]
include-operation-id = "get_visitor_stats"
parameters = {{ visitor = "{visitor}" }}

[[operations]]
include-operation-id = "reassign_run"
parameters = {{ session_id = "{ended}" }}
"""
AWAY_SINCE = "FOCUSUP_AWAY_SINCE"
"""In the environment of its process: when the run began that can be reassigned, once."""


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """Keep valid requests to the rules that JSON Schema can't say, or at too great a length.

    elapsed = active + idle: without `elapsedSeconds` it follows from the others, within its
    own limit. A range ends after its begin, and not too late: without both it does. A run
    is named by when it began. A time zone is one of six hundred. A key is of one request, a
    version of one state, and a password not among the commonest.
    """
    if case.operation.definition.raw.get("operationId") == "leave":
        _as_somebody_else(case)
    valid = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    operation = case.operation.definition.raw.get("operationId")
    if valid and case.operation.path.startswith("/api/stats"):
        for name in {"from", "to"} & (case.query or {}).keys():
            del case.query[name]
    if valid and "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if valid and "If-Match" in (case.headers or {}):
        del case.headers["If-Match"]
    body: Any = case.body
    if not valid or not isinstance(body, dict):
        return
    if body.get("timeZone") is not None:
        body["timeZone"] = "Europe/Berlin"
    if operation == "signup" and len(set(body["password"])) < MIN_DIFFERENT_CHARS:
        body["password"] = uuid.uuid4().hex
    if operation == "reassign_run":
        body["startedAt"] = os.environ[AWAY_SINCE]
    if operation == "update_session":
        body.pop("elapsedSeconds", None)
        for name in {"activeSeconds", "idleSeconds"} & body.keys():
            body[name] = min(body[name], 40_000)


def session_with_time_away(server: LiveServer, user: str) -> tuple[str, str]:
    """A session that has ended, and when its time away began."""
    with server.rest(user) as rest:
        id_ = rest.post("/api/sessions", json={}).json()["session"]["_id"]
        tracked_for_a_moment(server, id_, user)
        time.sleep(1.1)
        rest.put(f"/api/sessions/{id_}/end").raise_for_status()
        timeline = rest.get(f"/api/sessions/{id_}/timeline").json()["timeline"]
    return str(id_), str(timeline["runs"][0]["startedAt"])


def _as_somebody_else(case: Case[Any]) -> None:
    """Whoever leaves is refused from then on, so it is somebody else each time."""
    authority, now = TokenAuthority(SECRET, 3600), datetime.now(UTC)
    given = case.headers.get("Authorization", "") if case.headers else ""
    with contextlib.suppress(Unauthorized):
        authority.verify(given.removeprefix("Bearer "), now)
        token, _ = authority.issue(uuid.uuid4().hex, now=now)
        case.headers["Authorization"] = f"Bearer {token}"


@pytest.mark.timeout(WITHIN_S + 30)
def test_the_server_keeps_to_its_openapi_document(live_server: LiveServer, tmp_path: Path) -> None:
    configuration, report = tmp_path / "schemathesis.toml", tmp_path / "report.json"
    view = {"view": "v", "sequence": 0, "page": "/", "visibleSeconds": 0, "engagedSeconds": 0}
    visitor = live_server.rest().post("/api/track-engagement", json=view).json()["visitor"]
    user = uuid.uuid4().hex
    ended, away_since = session_with_time_away(live_server, user)
    configuration.write_text(CONFIGURATION.format(visitor=visitor.partition(".")[0], ended=ended))
    token = live_server.token(user, role="admin")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration)),
            *("run", f"{live_server.url}/openapi.json", "--checks", "all", "--no-color"),
            *("--header", f"Authorization: Bearer {token}"),
            *("--report", "json", "--report-json-path", str(report)),
        ],
        cwd=tmp_path,  # it leaves a cache behind
        env={**os.environ, "PYTHONPATH": str(ROOT), AWAY_SINCE: away_since},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = live_server.rest().get("/openapi.json").json()
    operations = {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item
    }
    found = json.loads(report.read_text())
    accepted = {
        operation
        for operation, phases in found["valid_rates"].items()
        if any(rates["accepted"] for rates in phases.values())
    }
    assert operations - accepted <= NEED_CREDENTIALS | NOT_ASKED
    assert "Traceback" not in live_server.log()
