"""`/api/health`: whether the server is well, for people, probes and smoke tests."""

from dataclasses import dataclass
from typing import Literal, Protocol

from quart import Blueprint, Response
from quart_schema import document_response, tag_blueprint

from models.storage import translated
from models.wire import WireModel
from realtime.service import SessionService
from routes.bodies import answer
from routes.openapi import document_problems
from routes.services import services

blueprint = Blueprint("health", __name__, url_prefix="/api/health")
tag_blueprint(blueprint, ["Health"])


class Pinged(Protocol):
    """An opened database."""

    kind: Literal["mongodb", "mongod", "secantusdb", "memory"]

    async def ping_ms(self) -> float: ...


class DatabaseHealth(WireModel):
    """Which database it is, and how long it takes to answer."""

    kind: Literal["mongodb", "mongod", "secantusdb", "memory"]
    latency_ms: float


class Health(WireModel):
    """The server is ready."""

    status: Literal["ok"]
    version: str
    database: DatabaseHealth
    tracked_sessions: int
    sockets: int
    tick_lag_ms: float
    flush_ms: float


@dataclass(frozen=True, slots=True)
class HealthCheck:
    version: str
    database: Pinged
    sessions: SessionService

    async def __call__(self) -> Health:
        """Raises StorageUnavailable when the database does not answer."""
        with translated():
            latency_ms = await self.database.ping_ms()
        sessions = self.sessions
        return Health(
            status="ok",
            version=self.version,
            database=DatabaseHealth(kind=self.database.kind, latency_ms=round(latency_ms, 2)),
            tracked_sessions=sessions.tracked_count,
            sockets=len(sessions.hub),
            tick_lag_ms=round(sessions.ticker.lag_ms, 2),
            flush_ms=round(sessions.ledger.figures.last_flush_ms, 2),
        )


@blueprint.get("")
@document_response(Health)
@document_problems(503)
async def health() -> Response:
    """Tell version, database and how the counting is doing

    Answers 503 while the database does not.
    """
    return answer(await services().health())
