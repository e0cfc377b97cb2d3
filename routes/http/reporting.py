"""What the routes need to take reports of visits, presence and events."""

from dataclasses import dataclass, field

from models.activity.visits import VisitorHashes
from models.pageviews.storage_budgets import RecentIds
from realtime.ingest.reports import Reports
from routes.http.client_address import TrustedProxies


@dataclass(frozen=True, slots=True)
class Reporting:
    """`…_every_s`: how often clients are asked to call."""

    reports: Reports
    hashes: VisitorHashes
    proxies: TrustedProxies
    visit_every_s: int
    heartbeat_every_s: int
    known_visits: RecentIds = field(default_factory=RecentIds)
    """Visits that were stored of late, hence cost nothing more."""
