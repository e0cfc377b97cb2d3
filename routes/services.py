"""What the routes may ask of the rest of the house, wired once in `focusup.app`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, cast

from quart import Quart, Request, current_app

from models.accounts import Accounts
from models.attempts import Attempts
from models.beacons import Beacons
from models.budgets import StorageBudget
from models.coefficients import Coefficients
from models.export import Exports
from models.idempotency import IdempotencyKeys
from models.learning import Learning
from models.metrics import Dashboard
from models.page_stats import PageStats
from models.tokens import TokenAuthority
from models.visitor_stats import VisitorStats
from models.visitors import VisitorKeys
from models.wire import WireModel
from realtime.leavers import Leavers
from realtime.page_service import PageService
from realtime.records import SessionRecords
from realtime.service import SessionService
from realtime.session_socket import SocketSettings
from realtime.sign_outs import SignOuts
from realtime.wire import Wire
from routes.origins import Origins
from routes.reporting import Reporting

KEY = "focusup"


def utc_now() -> datetime:
    """The wall clock, as an aware UTC datetime."""
    return datetime.now(UTC)


class HealthChecks(Protocol):
    async def __call__(self) -> WireModel:
        """How the server is doing. Never raises."""
        ...

    async def ready(self) -> None:
        """Raises StorageUnavailable unless requests can be served."""
        ...


class ReadMetrics(Protocol):
    def admit(self, asked: Request, presented: str | None) -> None:
        """Raises Unauthorized or Forbidden for those who may not read."""
        ...

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a handler needs; `now` gives aware UTC datetimes."""

    accounts: Accounts
    attempts: Attempts
    tokens: TokenAuthority
    tracking: SessionService
    sessions: SessionRecords
    sockets: SocketSettings
    pages: PageService
    visitor_keys: VisitorKeys
    reporting: Reporting
    dashboard: Dashboard
    learning: Learning
    beacons: Beacons
    budget: StorageBudget
    idempotency: IdempotencyKeys
    coefficients: Coefficients
    page_stats: PageStats
    visitor_stats: VisitorStats
    exports: Exports
    leavers: Leavers
    sign_outs: SignOuts
    health: HealthChecks
    metrics: ReadMetrics
    origins: Origins
    take_over: Callable[[Wire], None]
    """Gives a wire the connection of the WebSocket that was accepted just now."""
    now: Callable[[], datetime] = utc_now


def install_services(app: Quart, services: Services) -> None:
    """Make `services` what the handlers of `app` get."""
    app.extensions[KEY] = services


def services() -> Services:
    """The services of the app that serves the current request."""
    return cast(Services, current_app.extensions[KEY])
