"""The whole application in this process, on a real socket and a real database.

It starts in a tenth of the time of a process, and its clock is the test's: a session of 40
seconds takes milliseconds. Tests that kill, freeze or configure a process use `LiveServer`.
"""

import asyncio
import socket
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pymongo
from hypercorn.asyncio import serve

from focusup import serving
from focusup.app import create_app
from focusup.database import open_database
from focusup.settings import Settings
from focusup.wiring.data import indexes_of, prepare
from realtime.engine.clock import ManualClock, SystemClock
from routes.http.services import KEY, Services
from tests.support.app_log import AppLog
from tests.support.server import SECRET, Server

T = TypeVar("T")

START_WITHIN_S = STOP_WITHIN_S = 60.0
STEP_S = 0.25
"""How far the clock moves between two turns of the tickers: as often as they flush."""


class AppServer(Server):
    """Runs the application on an event loop in a thread of its own.

    With a `clock`, time stands until `advance` moves it: both the one that counts and the one
    that tokens and stored documents go by. Servers that share a database share a clock, too.
    """

    def __init__(
        self,
        directory: Path,
        uri: str,
        *,
        clock: ManualClock | None = None,
        database: str | None = None,
        **settings: object,
    ) -> None:
        super().__init__()
        self.database = database or f"focusup_test_{uuid.uuid4().hex[:12]}"
        self.wall_ahead = timedelta()
        """How far the wall clock was set ahead since the start."""
        self._uri = uri
        self._settings = Settings(
            _env_file=None,
            **{
                "data_dir": directory / "data",
                "jwt_secret": SECRET,
                "rate_limits": False,
                "mongodb_database": self.database,
                **settings,
            },  # type: ignore[arg-type]
        )
        self._manual = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._services: Services | None = None
        self._failure: BaseException | None = None
        self._serves = threading.Event()
        self._log = AppLog()
        self._thread = threading.Thread(target=self._run, name="application", daemon=True)

    @property
    def mongodb_uri(self) -> str:
        return self._uri

    @property
    def services(self) -> Services:
        """The services of the application; use them on its loop alone (`call`)."""
        assert self._services is not None
        return self._services

    def now(self) -> datetime:
        if self._manual is None:
            return super().now()
        return self._manual.wall(self._manual.now_us()) + self.wall_ahead

    def start(self) -> "AppServer":
        self._thread.start()
        assert self._serves.wait(START_WITHIN_S), "the application did not start"
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Stop as on SIGTERM."""
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(STOP_WITHIN_S)
        assert not self._thread.is_alive(), "the application did not stop"
        if self._failure is not None:
            raise self._failure

    def drop_database(self) -> None:
        with pymongo.MongoClient[dict[str, Any]](self._uri) as client:
            client.drop_database(self.database)

    def call(self, work: Callable[[Services], Awaitable[T]], within_s: float = 30.0) -> T:
        """Run `work` on the application's loop and return its result."""
        assert self._loop is not None

        async def run() -> T:
            return await work(self.services)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(within_s)

    def log(self) -> str:
        return self._log.text()

    def collects_its_log(self) -> AbstractContextManager[None]:
        return self._log.collecting()

    def advance(self, seconds: float) -> None:
        """Let time pass as if every tick came on time, until everything due is stored."""
        clock = self._manual
        assert clock is not None, "the clock of this server is the system's"

        async def step(services: Services) -> None:
            counting = (services.sessions.tracking.counting, services.page_views.tracking.counting)
            await _let_read()
            left_s = seconds
            while left_s > 0:
                clock.advance_s(min(STEP_S, left_s))
                left_s -= STEP_S
                for each in counting:
                    each.ticker.turn(clock.now_us())
            for each in counting:
                await each.ledger.drain()

        self.call(step)

    def jump(self, seconds: float) -> None:
        """Let time pass at once, as on a machine that was suspended."""
        clock = self._manual
        assert clock is not None, "the clock of this server is the system's"

        async def leap(services: Services) -> None:
            await _let_read()
            clock.advance_s(seconds)

        self.call(leap)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=serving.loop_factory()) as runner:
                runner.run(self._serve())
        except BaseException as failure:
            self._failure = failure
        finally:
            self._serves.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        database = await open_database(
            uri=self._uri, name=self.database, data_dir=self._settings.data_dir
        )
        try:
            await prepare(database, indexes_of(self._settings))
            given: dict[str, Any] = {"now": self.now} if self._manual is not None else {}
            app = create_app(
                self._settings, database, SECRET, clock=self._manual or SystemClock(), **given
            )
            services = self._services = app.extensions[KEY]
            listener = socket.create_server(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

            async def until_stopped() -> None:
                self._serves.set()
                assert self._stopping is not None
                await self._stopping.wait()
                app.stopping = True
                await serving.stop(services)

            await serve(
                app, serving.config(listener, self._settings), shutdown_trigger=until_stopped
            )
            await serving.close(services)
        finally:
            await database.close()


async def _let_read() -> None:
    """Let the sockets hear what clients have sent before time moves on."""
    await asyncio.sleep(0.005)


def manual_clock() -> ManualClock:
    """A clock that stands at the present."""
    return ManualClock(wall_start=datetime.now(UTC))


@contextmanager
def running_app(directory: Path, uri: str, **options: Any) -> Iterator[AppServer]:
    """An application that stops in the end, and has logged no traceback."""
    server = AppServer(directory, uri, **options)
    with server.collects_its_log():
        try:
            yield server.start()
        finally:
            server.stop()
            server.drop_database()
    assert "Traceback" not in server.log(), server.log()
