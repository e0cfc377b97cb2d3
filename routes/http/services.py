"""What the routes may ask of the rest of the house, wired once in `focusup.app`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, cast

from quart import Quart, Request, current_app

from models.accounts.idempotency_keys import IdempotencyKeys
from models.accounts.login_throttle import LoginThrottle
from models.accounts.service import AccountService
from models.admin.dashboard import Dashboard
from models.base.schema_types import WireModel
from models.page_statistics.statistics import PageStats
from models.page_statistics.visitor_statistics import VisitorStats
from models.pageviews.beacons import Beacons
from models.pageviews.coefficients import Coefficients
from models.pageviews.storage_budgets import StorageBudget
from models.pageviews.visitors import VisitorKeys
from models.privacy.export import Exports
from models.study.service import StudyService
from models.tokens.access_tokens import TokenAuthority
from realtime.cluster.account_deletion import AccountDeletions
from realtime.cluster.revocation_listener import RevocationListener
from realtime.pageviews.tracking import PageViewTracking
from realtime.sessions.service import SessionService
from realtime.sessions.socket import SocketSettings
from realtime.sessions.tracking import SessionTracking
from realtime.sockets.transport import SocketTransport
from routes.http.cors import Origins
from routes.http.reporting import Reporting

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

    accounts: AccountService
    attempts: LoginThrottle
    tokens: TokenAuthority
    tracking: SessionTracking
    sessions: SessionService
    sockets: SocketSettings
    pages: PageViewTracking
    visitor_keys: VisitorKeys
    reporting: Reporting
    dashboard: Dashboard
    learning: StudyService
    beacons: Beacons
    budget: StorageBudget
    idempotency: IdempotencyKeys
    coefficients: Coefficients
    page_stats: PageStats
    visitor_stats: VisitorStats
    exports: Exports
    leavers: AccountDeletions
    sign_outs: RevocationListener
    health: HealthChecks
    metrics: ReadMetrics
    origins: Origins
    take_over: Callable[[SocketTransport], None]
    """Gives a wire the connection of the WebSocket that was accepted just now."""
    now: Callable[[], datetime] = utc_now


def install_services(app: Quart, services: Services) -> None:
    """Make `services` what the handlers of `app` get."""
    app.extensions[KEY] = services


def services() -> Services:
    """The services of the app that serves the current request."""
    return cast(Services, current_app.extensions[KEY])
