"""Serve `/api/health` for people, probes and smoke tests, and watch database and disk."""

import asyncio
import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

import structlog
from quart import Blueprint
from quart_rate_limiter import rate_exempt
from quart_schema import tag_blueprint

from models.base.driver_errors import StorageUnavailable, answered_within
from models.base.schema_types import WireModel
from models.concurrency.periodic import run_every
from realtime.cluster.revocation_listener import RevocationListener
from realtime.pageviews.tracking import PageViewTracking
from realtime.sessions.tracking import SessionTracking
from routes.http.error_codes import document_problems
from routes.http.operations import returns
from routes.http.services import services

PING_WITHIN_S = 2.0
WATCH_EVERY_S = 5.0
WATCH_DISK_EVERY_S = 60.0
LOW_MIB = 1024
"""Less free space than this is reported as low."""
MIB = 2**20
LOW_DISK_ADVICE = "free up disk space, or lower STORED_MB_PER_DAY and RETENTION_DAYS_…"

log = structlog.get_logger(__name__)

blueprint = Blueprint("health", __name__, url_prefix="/api/health")
tag_blueprint(blueprint, ["Health"])


class Pingable(Protocol):
    """A database that can be pinged."""

    kind: Literal["mongodb", "mongod", "secantusdb", "memory"]

    async def ping_ms(self) -> float:
        """Return how long the database took to answer, in milliseconds."""
        ...


class DatabaseHealth(WireModel):
    """The kind of the database, and its latency; null while it does not respond."""

    kind: Literal["mongodb", "mongod", "secantusdb", "memory"]
    latency_ms: float | None


class DiskHealth(WireModel):
    """Free space on the disk of the data directory. `low` is true below 1 GiB."""

    free_mib: int
    low: bool


class Health(WireModel):
    """The state of the server.

    `degraded` while the database does not respond or counted time cannot be saved; counting
    continues. `tasks` counts the tasks of the event loop and stays small: sockets and sessions need
    none.
    """

    status: Literal["ok", "degraded"]
    version: str
    database: DatabaseHealth
    disk: DiskHealth | None
    """Null if the database is on another machine, by its address."""
    tracked_sessions: int
    viewed_pages: int
    sockets: int
    tasks: int
    tick_lag_ms: float
    flush_ms: float


class Probe(WireModel):
    """The probe succeeded."""

    status: Literal["ok"]


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Checks the database, the disk, the counting and the revocations."""

    version: str
    database: Pingable
    tracking: SessionTracking
    pages: PageViewTracking
    sign_outs: RevocationListener
    disk: "DiskWatch"

    async def __call__(self) -> Health:
        """Return the state of the server."""
        tracking, pages = self.tracking, self.pages
        latency_ms: float | None = None
        with contextlib.suppress(StorageUnavailable):
            latency_ms = round(await ping_ms(self.database), 2)
        is_well = latency_ms is not None and not (
            tracking.ledger.in_trouble or pages.ledger.in_trouble
        )
        return Health(
            status="ok" if is_well else "degraded",
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
        """Return if requests can be served.

        Raises:
            StorageUnavailable: The database does not respond, or the revocations from before the
                start are not read yet.
            Unavailable: The server is stopping.
        """
        self.tracking.claims.refuse_if_closed()
        self.sign_outs.refuse_unless_read()
        await ping_ms(self.database)


class DiskWatch:
    """The free space on the disk of the embedded database, measured periodically.

    Args:
        directory: The data directory; None if the database is on another machine.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self.free_bytes: int | None = None
        """None if the space is unknown."""
        self._was_low = False
        self.measure()

    def measure(self) -> None:
        """Measure the free space now."""
        self.free_bytes = None
        if self._directory is not None:
            with contextlib.suppress(OSError):
                self.free_bytes = shutil.disk_usage(self._directory).free

    def health(self) -> DiskHealth | None:
        """Return the latest measurement; None if the space is unknown."""
        if self.free_bytes is None:
            return None
        return DiskHealth(free_mib=self.free_bytes // MIB, low=self.free_bytes < LOW_MIB * MIB)

    async def run(self) -> None:
        """Measure every `WATCH_DISK_EVERY_S`, and log when the space becomes low."""
        await run_every(WATCH_DISK_EVERY_S, self._measure_and_log, name="disk_watch")

    async def _measure_and_log(self) -> None:
        self.measure()
        health = self.health()
        is_low = health is not None and health.low
        if is_low and not self._was_low:
            log.warning("disk_low", free_mib=health and health.free_mib, advice=LOW_DISK_ADVICE)
        self._was_low = is_low


class DatabaseWatch:
    """The latency of the latest ping, for readers that cannot wait for the database."""

    def __init__(self, database: Pingable) -> None:
        self.database = database
        self.latency_ms: float | None = None
        """None if the latest ping was not answered, or before the first one."""

    async def run(self) -> None:
        """Ping every `WATCH_EVERY_S`, until the task is cancelled."""
        await run_every(WATCH_EVERY_S, self._ping, name="database_watch")

    async def _ping(self) -> None:
        try:
            self.latency_ms = await ping_ms(self.database)
        except BaseException:
            self.latency_ms = None  # the previous latency is out of date
            raise


async def ping_ms(database: Pingable) -> float:
    """Return how long the database takes to answer a ping, in milliseconds.

    Raises:
        StorageUnavailable: It does not answer within `PING_WITHIN_S`.
    """
    async with answered_within(PING_WITHIN_S):
        return await database.ping_ms()


@blueprint.get("")
@rate_exempt
@returns(Health)
async def health() -> Health:
    """Get the health of the server.

    Returns 200 as long as the server runs. `status` is `degraded` while the database does not
    respond.
    """
    return cast(Health, await services().health())


@blueprint.get("/live")
@rate_exempt
@returns(Probe)
async def live() -> Probe:
    """Check that the process is running (liveness)."""
    return Probe(status="ok")


@blueprint.get("/ready")
@rate_exempt
@returns(Probe)
@document_problems("restarting")
async def ready() -> Probe:
    """Check that requests can be served (readiness).

    Returns 503 while the database does not respond, while the server starts, and while it stops.
    """
    await services().health.ready()
    return Probe(status="ok")
