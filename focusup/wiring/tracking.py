"""Build what counts: focus sessions, page views, and the limits on what strangers may store."""

from collections.abc import Callable
from datetime import datetime

from focusup import file_descriptors
from focusup.file_descriptors import Capacity
from focusup.settings import Settings
from models.base.database import Database
from models.page_statistics.rollup_job import ClosedPeriods
from models.page_statistics.statistics import PageStats
from models.page_statistics.visitor_statistics import VisitorStats
from models.pageviews.beacons import Beacons, Engagement
from models.pageviews.coefficients import Coefficients
from models.pageviews.page_view import size_of
from models.pageviews.storage_budgets import MEGABYTE, StorageBudget
from models.pageviews.visitors import VisitorKeys
from models.study.service import StudyService
from realtime.engine.clock import Clock
from realtime.pageviews.page_limit import PageLimit
from realtime.pageviews.rollup_job import RollupJob
from realtime.pageviews.tracking import PageViewTracking
from realtime.sessions.tracking import SessionTracking
from realtime.sockets.registry import Room
from routes.http.services import Job, PageViewServices


def build_session_tracking(
    settings: Settings, db: Database, clock: Clock, study: StudyService
) -> SessionTracking:
    """Build the counting of focus sessions."""
    return SessionTracking(
        db,
        clock,
        idle_after_s=settings.idle_after_seconds,
        max_sockets_per_user=settings.max_sockets_per_user,
        max_sockets=settings.max_sockets,
        abandon_after_s=settings.abandon_after_minutes * 60,
        learning=study,
    )


def build_page_views(
    settings: Settings,
    db: Database,
    secret: str,
    session_tracking: SessionTracking,
    now: Callable[[], datetime],
) -> tuple[PageViewServices, tuple[Job, ...]]:
    """Build the counting of page views and their statistics, and the jobs behind them.

    Sessions and page views share the room for sockets.
    """
    peers = session_tracking.peers

    def is_alive(owner: str | None) -> bool:
        return owner == session_tracking.process or peers.others_track(owner)

    clock = session_tracking.clock
    names, budget = _limits_of(settings, clock)
    coefficients = Coefficients(db)
    tracking = PageViewTracking(
        db,
        clock,
        process=session_tracking.process,
        is_alive=peers.others_track,
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
    session_tracking.registry.room = tracking.registry.room = room
    periods = ClosedPeriods(db, is_alive=is_alive)
    services = PageViewServices(
        tracking=tracking,
        beacons=Beacons(
            db,
            arrive=tracking.arrive,
            admit=_admission_of(names, budget),
            coefficient=coefficients.coefficient,
        ),
        names=names,
        budget=budget,
        coefficients=coefficients,
        statistics=PageStats(db, periods, is_alive=is_alive),
        visitor_statistics=VisitorStats(db, is_alive=is_alive),
        visitor_keys=VisitorKeys(secret),
    )
    return services, (coefficients.run, RollupJob(periods, now=now).run)


def _limits_of(settings: Settings, clock: Clock) -> tuple[PageLimit, StorageBudget]:
    """Return what bounds the page names and the data that strangers make us store."""
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


def _admission_of(
    names: PageLimit, budget: StorageBudget
) -> Callable[[Engagement, str, str, str | None], str]:
    """Return what charges the limits for each page view that a beacon starts."""

    def admit(engagement: Engagement, visitor_id: str, address: str, user_id: str | None) -> str:
        """Return the name that the view is counted under; raises TooMany."""
        now_s = budget.clock_s()
        size = size_of(engagement.page, engagement.params, engagement.title)
        budget.charge_view(size, arrives=True, address=address, user_id=user_id, now_s=now_s)
        return names.admit(engagement.page, visitor_id, address, now_s)

    return admit
