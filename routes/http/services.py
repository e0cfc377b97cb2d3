"""The services that route handlers use, built once by `focusup.app`."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias, cast

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
from realtime.pageviews.page_limit import PageLimit
from realtime.pageviews.tracking import PageViewTracking
from realtime.sessions.service import SessionService
from realtime.sessions.socket import SocketSettings
from realtime.sessions.tracking import SessionTracking
from realtime.sockets.transport import SocketTransport
from routes.http.cors import Origins
from routes.http.reporting import Reporting

KEY = "focusup"

Job: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""Background work that runs for as long as its task lives."""


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
class AccessServices:
    """Accounts and tokens."""

    tokens: TokenAuthority
    accounts: AccountService
    login_throttle: LoginThrottle
    revocations: RevocationListener
    deletions: AccountDeletions
    idempotency_keys: IdempotencyKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionServices:
    """Focus sessions."""

    tracking: SessionTracking
    service: SessionService
    sockets: SocketSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class PageViewServices:
    """Page views, visitors and their statistics."""

    tracking: PageViewTracking
    beacons: Beacons
    names: PageLimit
    budget: StorageBudget
    coefficients: Coefficients
    statistics: PageStats
    visitor_statistics: VisitorStats
    visitor_keys: VisitorKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a handler needs; `now` gives aware UTC datetimes."""

    access: AccessServices
    sessions: SessionServices
    page_views: PageViewServices
    study: StudyService
    reporting: Reporting
    dashboard: Dashboard
    exports: Exports
    health: HealthChecks
    metrics: ReadMetrics
    origins: Origins
    take_over: Callable[[SocketTransport], None]
    """Gives a transport the connection of the WebSocket that was accepted last."""
    now: Callable[[], datetime] = utc_now


def install_services(app: Quart, services: Services) -> None:
    """Make `services` what the handlers of `app` get."""
    app.extensions[KEY] = services


def services() -> Services:
    """The services of the app that serves the current request."""
    return cast(Services, current_app.extensions[KEY])
