"""Bundle what the routes need to record visits, heartbeats and events."""

from dataclasses import dataclass, field

from models.activity.visits import VisitorHashes
from models.pageviews.storage_budgets import RecentIds
from realtime.ingest.reports import Reports
from routes.http.client_address import TrustedProxies


@dataclass(frozen=True, slots=True)
class Reporting:
    """Services of the tracking routes, and the intervals at which clients are asked to call."""

    reports: Reports
    hashes: VisitorHashes
    proxies: TrustedProxies
    visit_every_s: int
    heartbeat_every_s: int
    known_visits: RecentIds = field(default_factory=RecentIds)
    """Visits stored recently, which are not charged to a storage budget again."""
