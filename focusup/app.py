"""The one wiring file: settings, database, services and routes, put together."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol

from focusup import file_descriptors
from focusup.asgi import hypercorn_hooks, request_handling
from focusup.file_descriptors import Capacity
from focusup.security.external_issuer import foreign_issuer
from focusup.settings import Settings
from focusup.web.pages import install_pages
from models.accounts import idempotency_keys, login_throttle, service, user_directory
from models.accounts.idempotency_keys import IdempotencyKeys
from models.accounts.login_throttle import LoginThrottle
from models.accounts.service import AccountService
from models.activity import events, presence, visits
from models.activity.visits import VisitorHashes
from models.admin.dashboard import Dashboard
from models.base.driver_errors import StatementRefused, StorageUnavailable, translated
from models.base.indexes import IndexSpec, ensure_indexes, with_retention
from models.cluster import processes
from models.migrations import schema_version
from models.page_statistics import visitor_tallies
from models.page_statistics.rollup_job import Periods
from models.page_statistics.statistics import PageStats
from models.page_statistics.visitor_statistics import VisitorStats
from models.pageviews import page_view, visitors
from models.pageviews.beacons import Beacons, Engagement
from models.pageviews.coefficients import Coefficients
from models.pageviews.page_view import size_of
from models.pageviews.storage_budgets import MEGABYTE, StorageBudget
from models.pageviews.visitors import VisitorKeys
from models.privacy import deletions
from models.privacy.deletions import Deletions
from models.privacy.erasure import remove_person
from models.privacy.export import Exports
from models.sessions import queries
from models.study import day_cache, goal_events
from models.study.service import StudyService
from models.tokens.access_tokens import TokenAuthority
from models.tokens.revocations import Revocations
from realtime.cluster.account_deletion import AccountDeletions
from realtime.cluster.revocation_listener import RevocationListener
from realtime.engine.clock import Clock, SystemClock
from realtime.ingest.reports import Reports
from realtime.jobs.dashboard_warmup import DashboardWarmup
from realtime.jobs.rollup_job import RollupJob
from realtime.pageviews.page_limit import PageLimit
from realtime.pageviews.tracking import PageViewTracking
from realtime.sessions.service import SessionService
from realtime.sessions.socket import SocketSettings
from realtime.sessions.tracking import SessionTracking
from realtime.sockets.registry import Room
from routes.access.rate_limits import install_rate_limits
from routes.api import admin, auth, beacons, me, page_stats, sessions, sockets
from routes.api import coefficients as coefficients_routes
from routes.api import learners as learners_routes
from routes.api import visits as visit_routes
from routes.docs.answer_examples import EXAMPLES
from routes.docs.asyncapi_html import install_socket_page
from routes.docs.openapi import install_openapi
from routes.http.bodies import install_limits
from routes.http.client_address import TrustedProxies
from routes.http.cors import Origins
from routes.http.problems import install_problems
from routes.http.reporting import Reporting
from routes.http.security_headers import install_security_headers
from routes.http.services import Services, install_services, utc_now
from routes.monitoring import endpoint, health
from routes.monitoring.endpoint import Metrics
from routes.monitoring.health import DatabaseWatch, DiskWatch, HealthCheck, Pinged
from routes.monitoring.prometheus import Kinds, MetricsCollector, Strangers

VERSION = version("focusup")
INDEXES: Mapping[str, tuple[IndexSpec, ...]] = {
    **service.INDEXES,
    **processes.INDEXES,
    **visitors.INDEXES,
    queries.COLLECTION: queries.INDEXES,
    page_view.COLLECTION: page_view.INDEXES,
    visitor_tallies.COLLECTION: visitor_tallies.INDEXES,
    user_directory.COLLECTION: user_directory.INDEXES,
    day_cache.COLLECTION: day_cache.INDEXES,
    goal_events.COLLECTION: goal_events.INDEXES,
    visits.COLLECTION: visits.INDEXES,
    presence.COLLECTION: presence.INDEXES,
    events.COLLECTION: events.INDEXES,
    deletions.COLLECTION: deletions.INDEXES,
    login_throttle.COLLECTION: login_throttle.INDEXES,
    idempotency_keys.COLLECTION: idempotency_keys.INDEXES,
}
VISIT_EVERY_S = 300
"""Twice within the time for which a visit stays active; oftener where that is set shorter."""


class Database(Pinged, Protocol):
    """An opened database (see `focusup.database`)."""

    db: Any

    async def checkpoint(self) -> None: ...


def create_app(
    settings: Settings,
    database: Database,
    secret: str,
    *,
    clock: Clock | None = None,
    now: Callable[[], datetime] = utc_now,
) -> request_handling.App:
    """Build the application; it begins to count with its `before_serving`.

    Args:
        settings: What the operator has set.
        database: An opened and prepared database (`prepare`).
        secret: Signs tokens and hashes.
        clock: Counts seconds; the system's by default.
        now: Gives the UTC instant that tokens, limits and stored documents go by.

    Raises:
        SecretError: The keys of another issuer can't be used.
    """
    foreign = foreign_issuer(settings)
    app = request_handling.App("focusup", settings.base_path)
    app.url_map.merge_slashes = False  # its redirect would be a page of HTML, not a problem
    access_ttl_s = settings.access_token_minutes * 60
    gone = Deletions(database.db, secret, access_ttl_s)
    revocations = Revocations(database.db)
    tokens = TokenAuthority(
        secret,
        access_ttl_s,
        gone.is_gone,
        foreign,
        revocations.is_revoked,
        has_lost_role=revocations.has_lost_role,
    )
    learning = StudyService(database.db)
    service = SessionTracking(
        database.db,
        clock or SystemClock(),
        idle_after_s=settings.idle_after_seconds,
        max_sockets_per_user=settings.max_sockets_per_user,
        max_sockets=settings.max_sockets,
        abandon_after_s=settings.abandon_after_minutes * 60,
        learning=learning,
    )

    def is_alive(owner: str | None) -> bool:
        return owner == service.process or service.peers.others_track(owner)

    coefficients = Coefficients(database.db)
    names, budget = _bounds_of(settings, service.clock)
    pages = PageViewTracking(
        database.db,
        service.clock,
        process=service.process,
        is_alive=service.peers.others_track,
        coefficient=coefficients.coefficient,
        idle_after_s=settings.idle_after_seconds,
        max_sockets_per_visitor=settings.max_sockets_per_visitor,
        max_sockets=settings.max_sockets,
        names=names,
        budget=budget,
        max_waiting=settings.max_waiting_views,
    )
    wanted = Capacity(settings.max_sockets, settings.max_idle_connections)
    room = Room(file_descriptors.within(file_descriptors.soft_limit(), wanted).in_all)
    service.registry.room = pages.registry.room = room
    active_visit_ttl_s = settings.active_visit_ttl_minutes * 60
    dashboard = Dashboard(
        database.db,
        now_ttl=timedelta(minutes=settings.now_ttl_minutes),
        active_visit_ttl=timedelta(seconds=active_visit_ttl_s),
        count_tracked=service.peers.count_tracked,
    )
    periods = Periods(database.db, is_alive=is_alive)
    records = SessionService(database.db, service, learning)
    leavers = AccountDeletions(
        gone,
        remove=lambda user_id, now: remove_person(database.db, user_id, now),
        forget=(
            *(service.forget_user, pages.forget_user, records.forget_user),
            revocations.forget_user,
        ),
        now=now,
    )
    proxies = TrustedProxies(settings.trusted_proxies)
    watch = DatabaseWatch(database)
    disk = DiskWatch(settings.data_dir if database.kind in ("mongod", "secantusdb") else None)
    kinds: Kinds = {"session": service.counting, "view": pages.counting}
    token = settings.metrics_token
    sign_outs = RevocationListener(revocations, (service.registry, pages.registry), now)
    members = Services(
        accounts=AccountService(database.db, tokens, settings.refresh_token_days * 86_400),
        attempts=LoginThrottle(
            database.db,
            secret,
            per_address=settings.attempts_per_address,
            enabled=settings.rate_limits,
        ),
        tokens=tokens,
        tracking=service,
        sessions=records,
        sockets=SocketSettings(tokens=tokens, now=now),
        pages=pages,
        visitor_keys=VisitorKeys(secret),
        reporting=Reporting(
            Reports(database.db, now),
            VisitorHashes(secret),
            proxies,
            visit_every_s=max(1, min(VISIT_EVERY_S, int(active_visit_ttl_s / 2))),
            heartbeat_every_s=settings.heartbeat_interval_seconds,
        ),
        dashboard=dashboard,
        learning=learning,
        beacons=Beacons(
            database.db,
            arrive=pages.arrive,
            admit=partial(_admit_beacon, names, budget),
            coefficient=coefficients.coefficient,
        ),
        idempotency=IdempotencyKeys(database.db, secret),
        budget=budget,
        coefficients=coefficients,
        page_stats=PageStats(database.db, periods, is_alive=is_alive),
        visitor_stats=VisitorStats(database.db, is_alive=is_alive),
        exports=Exports(database.db, learning.learners, service.view),
        leavers=leavers,
        sign_outs=sign_outs,
        health=HealthCheck(VERSION, database, service, pages, sign_outs, disk),
        metrics=Metrics(
            [MetricsCollector(VERSION, kinds, app.figures, watch, Strangers(budget, names, disk))],
            token=None if token is None else token.get_secret_value(),
            is_proxied=bool(settings.trusted_proxies),
        ),
        origins=Origins(settings.allowed_origins, proxies),
        take_over=hypercorn_hooks.take_over,
        now=now,
    )
    install_services(app, members)
    install_limits(app)
    install_problems(app)
    install_security_headers(app, proxies)
    members.origins.install(app)  # first: what a foreign page sends counts for nobody
    install_rate_limits(
        app,
        per_minute=settings.requests_per_minute,
        of_address_per_minute=settings.requests_of_address,
        enabled=settings.rate_limits,
    )
    hypercorn_hooks.install()
    request_handling.install(app)
    for module in (
        *(admin, auth, coefficients_routes, beacons, health, learners_routes),
        *(me, endpoint, sessions, sockets, page_stats, visit_routes),
    ):
        app.register_blueprint(module.blueprint)
    install_openapi(app, VERSION, EXAMPLES, settings.base_path)
    install_socket_page(app, VERSION, settings.base_path)
    install_pages(app, settings.base_path)

    @app.before_serving
    async def begin() -> None:
        for part in (leavers, sign_outs):
            with contextlib.suppress(StorageUnavailable, StatementRefused):  # it is tried again
                await part.hear()
        await service.start()
        await pages.start()
        background = (
            leavers,
            watch,
            disk,
            sign_outs,
            *((foreign.keys,) if foreign is not None else ()),
            coefficients,
            RollupJob(periods, now=now),
            DashboardWarmup(dashboard, now),
        )
        for part in background:
            service.keep(asyncio.create_task(part.run(), name=type(part).__name__))

    return app


def _bounds_of(settings: Settings, clock: Clock) -> tuple[PageLimit, StorageBudget]:
    """Return what bounds the strangers' page names and data."""
    names = PageLimit(
        most=settings.max_pages,
        most_of_visitor=settings.max_new_pages_per_visitor,
        most_of_address=settings.max_new_pages_per_address,
    )
    budget = StorageBudget(
        bytes_of_address=settings.stored_mb_per_day_of_address * MEGABYTE,
        bytes_in_all=settings.stored_mb_per_day * MEGABYTE,
        views_per_minute=settings.views_per_minute,
        clock_s=lambda: clock.now_us() / 1_000_000,
        enabled=settings.rate_limits,
    )
    return names, budget


def _admit_beacon(
    names: PageLimit,
    budget: StorageBudget,
    said: Engagement,
    *beginner: Any,
) -> str:
    """Return the name under which a view by beacon is counted; raises TooMany.

    `beginner` is the visitor's id, the address, and the user's id or None.
    """
    visitor_id, address, user_id = beginner
    now_s = budget.clock_s()
    size = size_of(said.page, said.params, said.title)
    budget.charge_view(size, arrives=True, address=address, user_id=user_id, now_s=now_s)
    return names.admit(said.page, visitor_id, address, now_s)


def indexes_of(settings: Settings) -> Mapping[str, tuple[IndexSpec, ...]]:
    """All indexes, with the retention that is set."""
    page_views_days = settings.retention_days_page_views
    kept = {
        (queries.COLLECTION, "endedAt"): settings.retention_days_sessions,
        (page_view.COLLECTION, "startedAt"): page_views_days,
        (visitors.BROWSER_SESSIONS, "startedAt"): page_views_days,
        (visitors.VISITORS, "lastSeenAt"): page_views_days,
        (visitor_tallies.COLLECTION, "countedAt"): page_views_days,
        (visits.COLLECTION, "last_seen_at"): settings.retention_days_visits,
        (presence.COLLECTION, "last_seen_at"): settings.retention_days_presence,
        (events.COLLECTION, "created_at"): settings.retention_days_events,
    }
    return with_retention(INDEXES, kept)


async def prepare(
    database: Database, indexes: Mapping[str, tuple[IndexSpec, ...]] = INDEXES
) -> None:
    """Bring the data to our version, make the indexes, durably, and forget servers that
    were killed.

    Raises SchemaTooNew, StorageUnavailable or StatementRefused.
    """
    with translated():
        await schema_version.migrate(database.db)
        if await ensure_indexes(database.db, indexes):
            await database.checkpoint()
        if database.kind != "mongodb":  # a child of ours, or memory: nobody else uses it
            await processes.forget_all(database.db)
