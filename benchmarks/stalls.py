"""The longest stall of the event loop, on all routes: `python -m benchmarks stalls`.

One user has the largest data that limits allow: `--overlapping` sessions that overlap in time,
`--never-started` ones, a session of 2,000 runs with 50 edits of as many, and long notes of
combining marks. The application runs in this process. While each route is asked `--times` times, a
thread asks its event loop for a turn every 2 ms; the longest wait for one is the stall.
"""

import argparse
import asyncio
import json
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve

from benchmarks.servers import SECRET
from focusup import serving
from focusup.app import create_app
from focusup.database import OpenedDatabase, open_database
from focusup.listening import bind, listen
from focusup.logs import configure_logs
from focusup.settings import Settings
from focusup.wiring.data import indexes_of, prepare
from models.sessions.manual_edits import MOST_EDITS
from models.sessions.past_sessions import past_session
from models.sessions.queries import new_id
from models.sessions.session import NewSession, ended_fields, new_document
from models.tokens.access_tokens import TokenAuthority
from routes.http.services import KEY
from scoring.timeline import MAX_RUNS, SECOND_US, Kind, Run, pack

AIM_MS = 50
USER = "busy"
EVERY_S = 0.002
LONG_NOTES = 200
MARKS = "\u0301\u0323" * 2500
QUERIES = {
    "/api/sessions": ["", "?limit=100", "?q=zzz", "?tag=zzz", "?from=2026-01-01T00:00:00Z"],
    "/api/stats/me/series": [f"?by={by}" for by in ("day", "week", "hourOfWeek", "content", "tag")],
    "/api/me/export": ["", "?format=csv"],
}
Row = dict[str, Any]


def overlapping(count: int, now: datetime) -> Iterator[Row]:
    """Return ended sessions of ten runs, of which each overlaps hundreds of others."""
    runs = [Run(Kind(part % 2), part * 70 * SECOND_US, 70 * SECOND_US) for part in range(10)]
    for number in range(count):
        at = now - timedelta(hours=8, seconds=number * 1.7)
        body = NewSession(tags=[f"t{number % 500}"], content_id=f"c{number % 500}")
        document = past_session(
            USER,
            body,
            runs,
            session_id=new_id(at),
            created_at=at,
            started_at=at,
            stamp="bench.1",
        )
        yield document | ended_fields(document, "completed", at + timedelta(seconds=700))


def never_started(count: int, now: datetime, **fields: str) -> Iterator[Row]:
    for _ in range(count):
        row = new_document(USER, NewSession(), stamp="bench.1", now=now)
        yield {**row, **fields, "_id": new_id(now)}


def longest(now: datetime) -> Row:
    """Return a session with as many runs and edits as there may be."""
    at = now - timedelta(hours=9)
    runs = [Run(Kind(n % 2), 2 * n * SECOND_US, SECOND_US) for n in range(MAX_RUNS)]
    row = past_session(
        USER,
        NewSession(),
        runs,
        session_id=new_id(at),
        created_at=at,
        started_at=at,
        stamp="bench.1",
    )
    row |= ended_fields(row, "completed", at + timedelta(seconds=2 * MAX_RUNS))
    row |= {"timeline": pack(runs), "edited": True}
    before = {name: row[name] for name in ("timeline", "elapsedSeconds", "focusScore")}
    edit = {"editedAt": now, "what": "counters", "reason": None, "before": before}
    return {**row, "edits": [edit] * MOST_EDITS}


@dataclass
class Stalls:
    """Waits for a turn of an event loop."""

    loop: asyncio.AbstractEventLoop
    most_s: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self._over.is_set():
            turned, asked_s = threading.Event(), time.perf_counter()
            self.loop.call_soon_threadsafe(turned.set)
            turned.wait()
            self.most_s = max(self.most_s, time.perf_counter() - asked_s)
            time.sleep(EVERY_S)

    @contextmanager
    def watching(self) -> Iterator["Stalls"]:
        thread = threading.Thread(target=self.watch)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()


class Application:
    """The application, on an event loop in a thread of its own."""

    def __init__(self, directory: Path, rows: list[Row]) -> None:
        self._settings = Settings(
            _env_file=None,
            data_dir=directory,
            jwt_secret=SECRET,
            rate_limits=False,
            port=0,
        )
        self._rows = rows
        self._serves = threading.Event()
        self._stopping = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop
        self.url = ""
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Application":
        self._thread.start()
        self._serves.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=serving.loop_factory()) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        settings = self._settings
        database = await open_database(
            uri=None, name=settings.mongodb_database, data_dir=settings.data_dir
        )
        try:
            await prepare(database, indexes_of(settings))
            await self._fill(database)
            app = create_app(settings, database, SECRET)
            listener = bind("127.0.0.1", 0)
            listen(listener, "127.0.0.1", 0)
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            config = serving.config(listener, settings)
            self._serves.set()
            await serve(app, config, shutdown_trigger=self._stopping.wait)
            await serving.stop(app.extensions[KEY])
        finally:
            await database.close()

    async def _fill(self, database: OpenedDatabase) -> None:
        for at in range(0, len(self._rows), 500):
            await database.db.sessions.insert_many(self._rows[at : at + 500])


def ask(url: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:  # nosec B310
            while answer.read(65_536):
                pass
    except urllib.error.HTTPError as error:
        if error.code == 500:  # too slow a machine answers 503
            raise


def measure(app: Application, path: str, token: str, times: int) -> float:
    """Return the longest stall while `path` is asked so often, in seconds."""
    with Stalls(app.loop).watching() as stalls:
        for _ in range(times):
            ask(app.url + path, token)
    return stalls.most_s


def main(arguments: list[str]) -> None:
    configure_logs("error")
    parser = argparse.ArgumentParser(prog="python -m benchmarks stalls")
    parser.add_argument("--overlapping", type=int, default=20_000)
    parser.add_argument("--never-started", type=int, default=4_000)
    parser.add_argument("--times", type=int, default=2)
    options = parser.parse_args(arguments)
    now = datetime.now(UTC)
    long = longest(now)
    rows = [
        *overlapping(options.overlapping, now),
        *never_started(options.never_started, now),
        *never_started(LONG_NOTES, now, notes=MARKS, title=MARKS[:200]),
        long,
    ]
    token = TokenAuthority(SECRET, 3600).issue(USER, role="admin", now=now)[0]
    with tempfile.TemporaryDirectory() as directory, Application(Path(directory), rows) as app:
        with Stalls(app.loop).watching() as nothing:
            time.sleep(1)
        print(f"{'nothing':<45}{1000 * nothing.most_s:8.1f} ms")
        worst = 0.0
        for path in paths(app.url):
            for query in QUERIES.get(path, [""]):
                asked = path.replace("{session_id}", str(long["_id"])) + query
                most_s = measure(app, asked, token, options.times)
                worst = max(worst, most_s)
                print(f"{path + query:<45}{1000 * most_s:8.1f} ms")
        print(f"longest stall: {1000 * worst:.1f} ms (aim {AIM_MS})")


def paths(url: str) -> list[str]:

    with urllib.request.urlopen(f"{url}/openapi.json") as answer:  # nosec B310
        found: dict[str, Any] = json.load(answer)["paths"]
    return sorted(path for path, operations in found.items() if "get" in operations)
