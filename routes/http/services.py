"""Hold the services that route handlers use, built once by `focusup.app`."""

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
"""Starts background work that runs until its task is cancelled."""


def utc_now() -> datetime:
    """Return the current time as an aware UTC datetime."""
    return datetime.now(UTC)


class HealthChecks(Protocol):
    """The checks behind `/api/health`."""

    async def __call__(self) -> WireModel:
        """Return the state of the server. Never raises."""
        ...

    async def ready(self) -> None:
        """Return if requests can be served.

        Raises:
            Unavailable: They cannot.
        """
        ...


class ReadMetrics(Protocol):
    """The metrics behind `/metrics`."""

    def admit(self, incoming: Request, presented: str | None) -> None:
        """Return if the request may read the metrics.

        Args:
            incoming: The request.
            presented: Its bearer token, if any.

        Raises:
            Unauthorized: The token is missing or wrong.
            Forbidden: No token is set and the request does not come from this machine.
        """
        ...

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
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
    """All services; `now` returns aware UTC datetimes."""

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
    """Hands the connection of the WebSocket accepted last to a transport."""
    now: Callable[[], datetime] = utc_now


def install_services(app: Quart, services: Services) -> None:
    """Make `services` available to the handlers of `app`."""
    app.extensions[KEY] = services


def services() -> Services:
    """Return the services of the app that serves the current request."""
    return cast(Services, current_app.extensions[KEY])
