"""`/api/health`: whether the server is well, for people, probes and smoke tests."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog
from quart import Blueprint, Response
from quart_rate_limiter import rate_exempt
from quart_schema import document_response, tag_blueprint

from models.storage import StatementRefused, StorageUnavailable, answered_within
from models.wire import WireModel
from realtime.page_service import PageService
from realtime.service import SessionService
from realtime.sign_outs import SignOuts
from routes.bodies import answer
from routes.codes import document_problems
from routes.services import services

PING_WITHIN_S = 2.0
WATCH_EVERY_S = 5.0

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


class Health(WireModel):
    """How the server is doing; `degraded` while the database does not answer or what is
    counted cannot be written. Counting goes on meanwhile.

    `tasks` are those of the event loop; sockets and sessions need none, so it stays small.
    """

    status: Literal["ok", "degraded"]
    version: str
    database: DatabaseHealth
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
    tracking: SessionService
    pages: PageService
    sign_outs: SignOuts

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
            tracked_sessions=tracking.tracked_count,
            viewed_pages=pages.tracked_count,
            sockets=len(tracking.hub) + len(pages.hub),
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


class DatabaseWatch:
    """What the database last answered to a ping, for those who can't wait for it."""

    def __init__(self, database: Pinged) -> None:
        self.database = database
        self.latency_ms: float | None = None
        """Of the latest ping; None if it was not answered, or none was sent yet."""

    async def run(self) -> None:
        """Ping again and again, for as long as the task lives."""
        while True:
            try:
                self.latency_ms = await ping_ms(self.database)
            except (StatementRefused, StorageUnavailable):
                self.latency_ms = None
            except Exception:
                # It must not end with the old figure standing.
                log.exception("ping_failed")
                self.latency_ms = None
            await asyncio.sleep(WATCH_EVERY_S)


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
