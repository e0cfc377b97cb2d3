"""Build visits, presence and events, and the dashboard that shows them."""

from collections.abc import Callable
from datetime import datetime, timedelta

from focusup.settings import Settings
from models.activity.visits import VisitorHashes
from models.admin.dashboard import Dashboard
from models.base.database import Database
from realtime.ingest.reports import Reports
from realtime.sessions.tracking import SessionTracking
from routes.http.client_address import TrustedProxies
from routes.http.reporting import Reporting

VISIT_EVERY_S = 300
"""Twice within the time for which a visit stays active; oftener where that is set shorter."""


def build_reporting(
    settings: Settings,
    db: Database,
    secret: str,
    proxies: TrustedProxies,
    now: Callable[[], datetime],
) -> Reporting:
    """Build what stores visits, presence and events."""
    half_of_a_visit_s = int(settings.active_visit_ttl_minutes * 60 / 2)
    return Reporting(
        Reports(db, now),
        VisitorHashes(secret),
        proxies,
        visit_every_s=max(1, min(VISIT_EVERY_S, half_of_a_visit_s)),
        heartbeat_every_s=settings.heartbeat_interval_seconds,
    )


def build_dashboard(settings: Settings, db: Database, tracking: SessionTracking) -> Dashboard:
    """Build the figures that admins see."""
    return Dashboard(
        db,
        now_ttl=timedelta(minutes=settings.now_ttl_minutes),
        active_visit_ttl=timedelta(minutes=settings.active_visit_ttl_minutes),
        count_tracked=tracking.peers.count_tracked,
    )
