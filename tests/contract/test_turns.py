"""No request holds the event loop, whatever is stored.

Each turn of the loop is measured in calls of functions, which no slow machine changes: a turn of
`MOST_CALLS` takes about ten milliseconds.
"""

import asyncio
import sys
import threading
from asyncio import events
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pymongo
import pytest

from focusup import serving
from models.concurrency import slices
from models.sessions.queries import new_id
from models.sessions.session import NewSession, new_document
from scoring.timeline import MAX_RUNS, SECOND_US, Kind, Run, pack
from tests.support.app_server import AppServer, running_app
from tests.support.embedded import shared_uri
from tests.support.study import past_session

MOST_CALLS = 40_000
USER = "busy"
NEVER_STARTED, OVERLAPPING, LONG_NOTES = 1000, 250, 20
EDITS = 3
"""There may be fifty, but those are told in a thread, which is not measured here."""
MARKS = "\u0301\u0323" * 2500


class Turns:
    """Counts the calls of each turn of event loops in other threads than the tests' own."""

    def __init__(self) -> None:
        self.most = 0
        self._calls = 0

    def __enter__(self) -> "Turns":
        self._run = run = events.Handle._run
        ours = threading.get_ident()

        def counted(handle: events.Handle) -> None:
            if threading.get_ident() == ours:
                run(handle)
                return
            self._calls = 0
            sys.setprofile(self._count)
            try:
                run(handle)
            finally:
                sys.setprofile(None)
                self.most = max(self.most, self._calls)

        events.Handle._run = counted  # type: ignore[assignment, method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        events.Handle._run = self._run  # type: ignore[method-assign]

    def _count(self, _frame: object, event: str, _arg: object) -> None:
        if event.endswith("call"):
            self._calls += 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    with pytest.MonkeyPatch.context() as patch:
        # The turns of uvloop can't be seen.
        patch.setattr(serving, "loop_factory", lambda: asyncio.SelectorEventLoop)
        with running_app(tmp_path_factory.mktemp("turns"), shared_uri()) as server:
            yield server


@pytest.fixture(scope="module")
def longest(server: AppServer) -> str:
    """The id of a session with as many runs and edits as there may be; beside it there are
    many others."""
    now = datetime.now(UTC)
    with pymongo.MongoClient[dict[str, Any]](server.mongodb_uri) as client:
        sessions = client[server.database].sessions
        never = new_document(USER, NewSession(notes="x"), stamp="x.1", now=now)
        rows = [{**never, "_id": new_id(now)} for _ in range(NEVER_STARTED)]
        for number in range(OVERLAPPING):
            at = now - timedelta(hours=8, seconds=number * 1.7)
            tags = (f"t{number}",)
            rows.append(past_session(USER, at, active=400, idle=300, parts=10, tags=tags))
        marks = {**never, "notes": MARKS, "title": MARKS[:200]}
        rows += [{**marks, "_id": new_id(now)} for _ in range(LONG_NOTES)]
        runs = [
            Run(Kind(number % 2), 2 * number * SECOND_US, SECOND_US) for number in range(MAX_RUNS)
        ]
        long = past_session(
            USER, now - timedelta(hours=9), active=MAX_RUNS // 2, idle=MAX_RUNS // 2
        )
        long |= {"timeline": pack(runs), "edited": True}
        before = {name: long[name] for name in ("timeline", "elapsedSeconds", "focusScore")}
        edit = {"editedAt": now, "what": "counters", "reason": None, "before": before}
        rows.append({**long, "edits": [edit] * EDITS})
        sessions.insert_many(rows)
    return str(long["_id"])


def asked(server: AppServer, path: str) -> int:
    """How many calls the longest turn took."""
    with server.rest(USER) as rest, Turns() as turns:
        answer = rest.get(path)
    assert answer.status_code < 500, (path, answer.text)
    return turns.most


def paths_of(rest: httpx.Client) -> list[str]:
    found = rest.get("/openapi.json").json()["paths"]
    return sorted(path for path, operations in found.items() if "get" in operations)


QUERIES = {
    "/api/sessions": ["", "?limit=100", "?q=zzz", "?tag=zzz", "?from=2026-01-01T00:00:00Z"],
    "/api/stats/me/series": [f"?by={by}" for by in ("day", "week", "hourOfWeek", "content", "tag")],
    "/api/me/export": ["", "?format=csv"],
}


def test_no_route_holds_the_loop(server: AppServer, longest: str) -> None:
    with server.rest(USER) as rest:
        paths = paths_of(rest)
    assert "/api/stats/me" in paths
    most = {
        path + query: asked(server, path.replace("{session_id}", longest) + query)
        for path in paths
        for query in QUERIES.get(path, [""])
        if not path.startswith(("/docs", "/openapi"))
    }
    assert not {path: calls for path, calls in most.items() if calls > MOST_CALLS}


def test_the_measure_sees_what_is_not_sliced(
    server: AppServer, longest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "MOST_UNITS", 10**9)
    assert asked(server, "/api/stats/me") > MOST_CALLS
