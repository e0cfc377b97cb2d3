"""Check the steps of `focusup smoke`, in their order.

Invariants:

- A step passes only if the answer is as the protocol says. Counted seconds are compared with the
  clock of this client, and the score with the formula on the stored numbers.
"""

import contextlib
import math
import secrets
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx

from focusup.cli.client import (
    PATIENCE_S,
    SUBPROTOCOL,
    Message,
    ServerError,
    Socket,
    is_here,
    no_server,
)
from scoring.focus import focus_score

PAUSE_S = 1.1
"""Long enough that counting through the pause would show."""
CLOCK_TOLERANCE_S = 0.02
"""Two clocks and their rounding, over a run of minutes."""
FAILURES = (ServerError, httpx.HTTPError, LookupError, TypeError)
"""The last two: an answer without a field, or with another type than it should have."""
COUNTED = ("elapsedSeconds", "activeSeconds", "idleSeconds", "tabSwitches")


class Smoke:
    """One run against one server."""

    def __init__(self, base_url: str, seconds: float) -> None:
        self._seconds = seconds
        self._base_url = base_url
        self._http = httpx.Client(
            base_url=base_url, timeout=PATIENCE_S, trust_env=not is_here(base_url)
        )
        self._socket: Socket | None = None
        self._email = f"smoke-{secrets.token_hex(8)}@example.com"
        self._password = secrets.token_urlsafe(16)
        self._token = ""
        self._session: Message = {}
        self._heard: list[Message] = []
        # Tracked time by our clock: what the server must, and what it can have counted.
        self._at_least_s = 0.0
        self._at_most_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._http.close()
        if self._socket is not None:
            self._socket.close()

    @property
    def steps(self) -> tuple[tuple[str, Callable[[], str]], ...]:
        """Each with its name. A step returns what it saw, or raises one of `FAILURES`."""
        return (
            ("health", self._health),
            ("sign up", self._sign_up),
            ("log in", self._log_in),
            ("create a session", self._create),
            ("open the socket", self._open_socket),
            ("start", self._start),
            (f"track for {self._seconds:g} s", self._track),
            ("pause and resume", self._pause),
            ("stop", self._stop),
            ("score", self._score),
            ("read it again", self._read),
            ("statistics", self._stats),
            ("delete", self._delete),
        )

    # --- REST before ---------------------------------------------------------------------

    def _health(self) -> str:
        try:
            health = self._call("GET", "/api/health", 200)
        except httpx.TransportError as error:
            raise ServerError(no_server(self._base_url, error)) from None
        told = [str(health[key]) for key in ("status", "version") if key in health]
        return " ".join(told)

    def _sign_up(self) -> str:
        answer = self._call(
            "POST",
            "/api/auth/signup",
            201,
            {"email": self._email, "password": self._password, "name": "Smoke test"},
        )
        _check(bool(answer.get("accessToken")), "no accessToken in the answer")
        return self._email

    def _log_in(self) -> str:
        credentials = {"email": self._email, "password": self._password}
        answer = self._call("POST", "/api/auth/login", 200, credentials)
        self._token = str(answer.get("accessToken") or "")
        _check(bool(self._token), "no accessToken in the answer")
        self._http.headers["Authorization"] = f"Bearer {self._token}"
        return ""

    def _create(self) -> str:
        body = {"targetMinutes": 0.1, "title": "Smoke test"}
        self._session = self._call("POST", "/api/sessions", 201, body)["session"]
        _check(self._session["status"] == "active", "a new session is not active")
        return str(self._session["_id"])

    # --- the socket ----------------------------------------------------------------------

    @property
    def _live(self) -> Socket:
        if self._socket is None:
            raise ServerError("no socket is open")
        return self._socket

    def _open_socket(self) -> str:
        self._socket = Socket(self._base_url, self._token, hear=self._heard.append)
        chosen = self._socket.subprotocol
        _check(chosen == SUBPROTOCOL, f"subprotocol {chosen!r} instead of {SUBPROTOCOL!r}")
        return SUBPROTOCOL

    def _start(self) -> str:
        asked = time.monotonic()
        started = self._live.ask("start", "started", sessionId=self._session["_id"])
        self._open_stretch(asked)
        return f"the first second falls due in {started['nextSecondInMs']:.0f} ms"

    def _track(self) -> str:
        self._live.send("tabSwitch")
        self._live.stay_active(self._seconds)
        ticks = [message for message in self._heard if message.get("type") == "tick"]
        _check(bool(ticks), "not a single tick")
        last = ticks[-1]
        _check(last["tabSwitches"] == 1, f"{last['tabSwitches']} tab switches instead of 1")
        return f"{len(ticks)} ticks, {last['elapsedSeconds']} s counted"

    def _pause(self) -> str:
        self._close_stretch(lambda: self._live.ask("pause", "paused"))
        until = time.monotonic() + PAUSE_S
        while self._live.receive(until) is not None:
            pass
        asked = time.monotonic()
        self._live.ask("resume", "resumed")
        self._open_stretch(asked)
        return ""

    def _stop(self) -> str:
        stopped = self._close_stretch(lambda: self._live.ask("stop", "stopped"))
        self._session = stopped["session"]
        _check(self._session["status"] == "completed", "the stopped session is not completed")
        _check(
            stopped["focusScore"] == self._session["focusScore"],
            "`stopped` tells another score than its session",
        )
        least = math.floor(self._at_least_s - CLOCK_TOLERANCE_S)
        most = math.floor(self._at_most_s + CLOCK_TOLERANCE_S)
        elapsed = self._session["elapsedSeconds"]
        _check(
            least <= elapsed <= most,
            f"{elapsed} s counted, where our clock says {least} to {most}",
        )
        return f"{elapsed} s counted"

    def _open_stretch(self, asked: float) -> None:
        """Counting began between `asked` and now."""
        now = time.monotonic()
        self._at_least_s -= now
        self._at_most_s -= asked

    def _close_stretch(self, ask: Callable[[], Message]) -> Message:
        asked = time.monotonic()
        answer = ask()
        self._at_least_s += asked
        self._at_most_s += time.monotonic()
        return answer

    # --- REST after ----------------------------------------------------------------------

    def _score(self) -> str:
        stored = self._call("GET", self._path, 200)["session"]
        _check(
            stored["elapsedSeconds"] == stored["activeSeconds"] + stored["idleSeconds"],
            "elapsed is not active + idle",
        )
        score = focus_score(
            elapsed_seconds=stored["elapsedSeconds"],
            active_seconds=stored["activeSeconds"],
            idle_seconds=stored["idleSeconds"],
            tab_switches=stored["tabSwitches"],
            target_minutes=stored["targetMinutes"],
        )
        expected = {
            "completion": score.completion,
            "activityRatio": score.activity_ratio,
            "penalty": score.penalty,
            "formulaVersion": score.formula_version,
        }
        _check(
            stored["focusScore"] == score.focus_score,
            f"{stored['focusScore']} is stored, the formula gives {score.focus_score}",
        )
        _check(stored["scoreBreakdown"] == expected, "the breakdown is not the formula's")
        return f"{score.focus_score}, as the formula gives"

    def _read(self) -> str:
        stored = self._call("GET", self._path, 200)["session"]
        fields = (*COUNTED, "status", "focusScore", "scoreBreakdown", "startedAt", "endedAt")
        changed = [name for name in fields if stored[name] != self._session[name]]
        _check(not changed, f"differs from what was stopped in {', '.join(changed)}")
        return ""

    def _stats(self) -> str:
        self._call("PUT", "/api/goals", 200, {"sessionsPerDay": 1})
        stats = self._call("GET", "/api/stats/me", 200)["stats"]
        focused, active = stats["focusedSeconds"], self._session["activeSeconds"]
        _check(focused == active, f"{focused} focused seconds, where the session has {active}")
        _check(stats["currentStreak"] == 1, f"a streak of {stats['currentStreak']} days, not 1")
        _check(stats["today"]["sessions"]["reached"] is True, "the goal of today is not reached")
        return f"{focused} s focused, the goal of today is reached"

    def _delete(self) -> str:
        self._call("DELETE", self._path, 204)
        self._call("GET", self._path, 404)
        return "204, then 404"

    @property
    def _path(self) -> str:
        return f"/api/sessions/{self._session['_id']}"

    def _call(
        self, method: str, path: str, expected_status: int, body: Message | None = None
    ) -> Message:
        response = self._http.request(method, path, json=body)
        answer: Any = None
        with contextlib.suppress(ValueError):
            answer = response.json()
        if response.status_code != expected_status:
            problem = answer if isinstance(answer, dict) else {}
            detail = problem.get("detail") or problem.get("title") or response.reason_phrase
            raise ServerError(
                f"{method} {path}: {response.status_code} instead of {expected_status}: {detail}"
            )
        if expected_status == 204:
            return {}
        if not isinstance(answer, dict):
            raise ServerError(f"{method} {path}: the body is not a JSON object")
        return answer


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ServerError(otherwise)
