"""Put the application together: settings, database, services and routes."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from importlib.metadata import version

from focusup.asgi import hypercorn_hooks, request_handling
from focusup.settings import Settings
from focusup.web.pages import install_pages
from focusup.wiring.access import build_access
from focusup.wiring.data import OpenDatabase
from focusup.wiring.reports import build_dashboard, build_reporting
from focusup.wiring.tracking import build_page_views, build_session_tracking
from models.base.driver_errors import StatementRefused, StorageUnavailable
from models.concurrency.periodic import run_every
from models.privacy.export import Exports
from models.study.service import StudyService
from realtime.engine.clock import Clock, SystemClock
from realtime.sessions.service import SessionService
from realtime.sessions.socket import SocketSettings
from routes.access.rate_limits import install_rate_limits
from routes.api import (
    admin,
    auth,
    beacons,
    coefficients,
    learners,
    me,
    page_stats,
    sessions,
    sockets,
    visits,
)
from routes.docs.answer_examples import EXAMPLES
from routes.docs.asyncapi_html import install_socket_page
from routes.docs.openapi import install_openapi
from routes.http.bodies import install_limits
from routes.http.client_address import TrustedProxies
from routes.http.cors import Origins
from routes.http.problems import install_problems
from routes.http.security_headers import install_security_headers
from routes.http.services import Job, Services, SessionServices, install_services, utc_now
from routes.monitoring import endpoint, health
from routes.monitoring.endpoint import Metrics
from routes.monitoring.health import DatabaseWatch, DiskWatch, HealthCheck
from routes.monitoring.prometheus import MetricsCollector, StorageLimits

VERSION = version("focusup")
WARM_DASHBOARD_EVERY_S = 600.0
"""How often the settled counts are stored, so that the first reading of a day is quick and rows
are counted before their age removes them."""
EMBEDDED_KINDS = ("mongod", "secantusdb")
BLUEPRINTS = tuple(
    module.blueprint
    for module in (
        *(admin, auth, beacons, coefficients, endpoint, health),
        *(learners, me, page_stats, sessions, sockets, visits),
    )
)


def create_app(
    settings: Settings,
    database: OpenDatabase,
    secret: str,
    *,
    clock: Clock | None = None,
    now: Callable[[], datetime] = utc_now,
) -> request_handling.App:
    """Build the application; it begins to count with its `before_serving`.

    Args:
        settings: What the operator has set.
        database: An opened and prepared database (`focusup.wiring.data.prepare`).
        secret: Signs tokens and hashes.
        clock: Counts seconds; the system's by default.
        now: Gives the UTC instant that tokens, limits and stored documents go by.

    Raises:
        SecretError: The keys of another issuer can't be used.
    """
    app = request_handling.App("focusup", settings.base_path)
    app.url_map.merge_slashes = False  # its redirect would be a page of HTML, not a problem
    proxies = TrustedProxies(settings.trusted_proxies)
    services, jobs = _build_services(
        app, settings, database, secret, proxies=proxies, clock=clock or SystemClock(), now=now
    )
    _install(app, settings, services, proxies)
    app.before_serving(partial(_start, services, jobs))
    return app


def _build_services(
    app: request_handling.App,
    settings: Settings,
    database: OpenDatabase,
    secret: str,
    *,
    proxies: TrustedProxies,
    clock: Clock,
    now: Callable[[], datetime],
) -> tuple[Services, Sequence[Job]]:
    """Build everything that handlers use, and the jobs that run beside them."""
    db = database.db
    study = StudyService(db)
    tracking = build_session_tracking(settings, db, clock, study)
    session_service = SessionService(db, tracking, study)
    page_views, page_view_jobs = build_page_views(settings, db, secret, tracking, now)
    access, access_jobs = build_access(
        settings,
        db,
        secret,
        now,
        session_tracking=tracking,
        sessions=session_service,
        page_view_tracking=page_views.tracking,
    )
    dashboard = build_dashboard(settings, db, tracking)
    database_watch = DatabaseWatch(database)
    disk_watch = DiskWatch(settings.data_dir if database.kind in EMBEDDED_KINDS else None)
    token = settings.metrics_token
    metrics = MetricsCollector(
        VERSION,
        {"session": tracking.counting, "view": page_views.tracking.counting},
        app.figures,
        database_watch,
        StorageLimits(page_views.budget, page_views.names, disk_watch),
    )
    services = Services(
        access=access,
        sessions=SessionServices(
            tracking=tracking,
            service=session_service,
            sockets=SocketSettings(tokens=access.tokens, now=now),
        ),
        page_views=page_views,
        study=study,
        reporting=build_reporting(settings, db, secret, proxies, now),
        dashboard=dashboard,
        exports=Exports(db, study.learners, tracking.view),
        health=HealthCheck(
            VERSION, database, tracking, page_views.tracking, access.revocations, disk_watch
        ),
        metrics=Metrics(
            [metrics],
            token=None if token is None else token.get_secret_value(),
            is_proxied=bool(settings.trusted_proxies),
        ),
        origins=Origins(settings.allowed_origins, proxies),
        take_over=hypercorn_hooks.take_over,
        now=now,
    )
    warm_dashboard = partial(
        run_every, WARM_DASHBOARD_EVERY_S, lambda: dashboard.cache_counts(now()), name="dashboard"
    )
    return services, (
        *access_jobs,
        *page_view_jobs,
        database_watch.run,
        disk_watch.run,
        warm_dashboard,
    )


def _install(
    app: request_handling.App, settings: Settings, services: Services, proxies: TrustedProxies
) -> None:
    """Install limits, routes and documents in `app`."""
    install_services(app, services)
    install_limits(app)
    install_problems(app)
    install_security_headers(app, proxies)
    # Before the rate limits: requests of foreign pages use up no user's allowance.
    services.origins.install(app)
    install_rate_limits(
        app,
        per_minute=settings.requests_per_minute,
        of_address_per_minute=settings.requests_of_address,
        enabled=settings.rate_limits,
    )
    hypercorn_hooks.install()
    request_handling.install(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    install_openapi(app, VERSION, EXAMPLES, settings.base_path)
    install_socket_page(app, VERSION, settings.base_path)
    install_pages(app, settings.base_path)


async def _start(services: Services, jobs: Sequence[Job]) -> None:
    """Read deletions and revocations, then begin to count and run the jobs."""
    for listener in (services.access.deletions, services.access.revocations):
        with contextlib.suppress(StorageUnavailable, StatementRefused):  # it is tried again
            await listener.hear()
    tracking = services.sessions.tracking
    await tracking.start()
    await services.page_views.tracking.start()
    for job in jobs:
        tracking.keep(asyncio.create_task(job()))
