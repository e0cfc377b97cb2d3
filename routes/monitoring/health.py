"""`/api/health`: whether the server is well, for people, probes and smoke tests."""

import asyncio
import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import structlog
from quart import Blueprint, Response
from quart_rate_limiter import rate_exempt
from quart_schema import document_response, tag_blueprint

from models.base.driver_errors import StorageUnavailable, answered_within
from models.base.schema_types import WireModel
from models.concurrency.periodic import run_every
from realtime.cluster.revocation_listener import RevocationListener
from realtime.pageviews.tracking import PageViewTracking
from realtime.sessions.tracking import SessionTracking
from routes.http.bodies import answer
from routes.http.error_codes import document_problems
from routes.http.services import services

PING_WITHIN_S = 2.0
WATCH_EVERY_S = 5.0
WATCH_DISK_EVERY_S = 60.0
LOW_MIB = 1024
MIB = 2**20
MAKE_ROOM = "make room, or lower STORED_MB_PER_DAY and RETENTION_DAYS_…"

log = structlog.get_logger(__name__)

blueprint = Blueprint("health", __name__, url_prefix="/api/health")
tag_blueprint(blueprint, ["Health"])


class Pinged(Protocol):
    """An opened database."""

    kind: Literal["mongodb", "mongod", "secantusdb", "memory"]

    async def ping_ms(self) -> float: ...


class DatabaseHealth(WireModel):
    """Which database it is, and how long it takes to answer; null while it does not."""

    kind: Literal["mongodb", "mongod", "secantusdb", "memory"]
    latency_ms: float | None


class DiskHealth(WireModel):
    """Free space of the disk of the data directory; `low` below what the database needs to go on
    for a while."""

    free_mib: int
    low: bool


class Health(WireModel):
    """How the server is doing; `degraded` while the database does not answer or what is
    counted cannot be written. Counting goes on meanwhile.

    `tasks` are those of the event loop; sockets and sessions need none, so it stays small.
    """

    status: Literal["ok", "degraded"]
    version: str
    database: DatabaseHealth
    disk: DiskHealth | None
    """Null where the database is not on this machine, by its address."""
    tracked_sessions: int
    viewed_pages: int
    sockets: int
    tasks: int
    tick_lag_ms: float
    flush_ms: float


class Probe(WireModel):
    """The answer to a probe."""

    status: Literal["ok"]


@dataclass(frozen=True, slots=True)
class HealthCheck:
    version: str
    database: Pinged
    tracking: SessionTracking
    pages: PageViewTracking
    sign_outs: RevocationListener
    disk: "DiskWatch"

    async def __call__(self) -> Health:
        tracking, pages = self.tracking, self.pages
        latency_ms: float | None = None
        with contextlib.suppress(StorageUnavailable):
            latency_ms = round(await ping_ms(self.database), 2)
        well = latency_ms is not None and not (
            tracking.ledger.in_trouble or pages.ledger.in_trouble
        )
        return Health(
            status="ok" if well else "degraded",
            version=self.version,
            database=DatabaseHealth(kind=self.database.kind, latency_ms=latency_ms),
            disk=self.disk.health(),
            tracked_sessions=tracking.tracked_count,
            viewed_pages=pages.tracked_count,
            sockets=len(tracking.registry) + len(pages.registry),
            tasks=len(asyncio.all_tasks()),
            tick_lag_ms=round(tracking.ticker.lag_ms, 2),
            flush_ms=round(tracking.ledger.figures.last_flush_ms, 2),
        )

    async def ready(self) -> None:
        """Raises StorageUnavailable while the database does not answer, or it is not known what
        was signed out before the start; Unavailable while the server stops."""
        self.tracking.claims.refuse_if_closed()
        self.sign_outs.refuse_unless_read()
        await ping_ms(self.database)


class DiskWatch:
    """How much room the disk of the embedded database has, looked at again and again."""

    def __init__(self, directory: Path | None) -> None:
        """`directory` is None where the database is elsewhere."""
        self._directory = directory
        self.free_bytes: int | None = None
        self._was_low = False
        self.look()

    def look(self) -> None:
        """Look now; a disk that can't be looked at has an unknown room."""
        place = self._directory
        self.free_bytes = None
        if place is not None:
            with contextlib.suppress(OSError):
                self.free_bytes = shutil.disk_usage(place).free

    def health(self) -> DiskHealth | None:
        if self.free_bytes is None:
            return None
        return DiskHealth(free_mib=self.free_bytes // MIB, low=self.free_bytes < LOW_MIB * MIB)

    async def run(self) -> None:
        """Look every `WATCH_DISK_EVERY_S`, and log when the room gets low."""
        await run_every(WATCH_DISK_EVERY_S, self._look_and_log, name="disk_watch")

    async def _look_and_log(self) -> None:
        self.look()
        health = self.health()
        is_low = health is not None and health.low
        if is_low and not self._was_low:
            log.warning("disk_low", free_mib=health and health.free_mib, advice=MAKE_ROOM)
        self._was_low = is_low


class DatabaseWatch:
    """What the database last answered to a ping, for those who can't wait for it."""

    def __init__(self, database: Pinged) -> None:
        self.database = database
        self.latency_ms: float | None = None
        """Of the latest ping; None if it was not answered, or none was sent yet."""

    async def run(self) -> None:
        """Ping again and again, for as long as the task lives."""
        await run_every(WATCH_EVERY_S, self._ping, name="database_watch")

    async def _ping(self) -> None:
        try:
            self.latency_ms = await ping_ms(self.database)
        except BaseException:
            self.latency_ms = None  # the old figure must not stand
            raise


async def ping_ms(database: Pinged) -> float:
    """How long it takes to answer; raises StorageUnavailable."""
    async with answered_within(PING_WITHIN_S):
        return await database.ping_ms()


@blueprint.get("")
@rate_exempt
@document_response(Health)
async def health() -> Response:
    """Tell version, database and how the counting is doing

    Answers 200 as long as the server runs; `status` says whether the database does.
    """
    return answer(await services().health())


@blueprint.get("/live")
@rate_exempt
@document_response(Probe)
async def live() -> Response:
    """Tell whether the process runs (liveness)"""
    return answer(Probe(status="ok"))


@blueprint.get("/ready")
@rate_exempt
@document_response(Probe)
@document_problems("restarting")
async def ready() -> Response:
    """Tell whether requests can be served (readiness)

    Answers 503 while the database does not answer, while the server has not read yet what was
    signed out before it started, and while it stops.
    """
    await services().health.ready()
    return answer(Probe(status="ok"))
