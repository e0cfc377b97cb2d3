"""The stored data as a whole: its indexes, their retention, and its preparation at start."""

from collections.abc import Mapping
from typing import Protocol

from focusup.settings import Settings
from models.accounts import idempotency_keys, login_throttle, user_directory
from models.accounts import service as accounts
from models.activity import events, presence, visits
from models.base.database import Database
from models.base.driver_errors import translated
from models.base.indexes import IndexSpec, ensure_indexes, with_retention
from models.cluster import processes
from models.migrations import schema_version
from models.page_statistics import visitor_tallies
from models.pageviews import page_view, visitors
from models.privacy import deletions
from models.sessions import queries as sessions
from models.study import day_cache, goal_events
from routes.monitoring.health import Pingable

INDEXES: Mapping[str, tuple[IndexSpec, ...]] = {
    **accounts.INDEXES,
    **processes.INDEXES,
    **visitors.INDEXES,
    sessions.COLLECTION: sessions.INDEXES,
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


class OpenDatabase(Pingable, Protocol):
    """An opened database (see `focusup.database`)."""

    db: Database

    async def checkpoint(self) -> None:
        """Make everything that is stored survive a crash of the database."""
        ...


def indexes_of(settings: Settings) -> Mapping[str, tuple[IndexSpec, ...]]:
    """Return all indexes, with the retention that is set."""
    page_views_days = settings.retention_days_page_views
    kept = {
        (sessions.COLLECTION, "endedAt"): settings.retention_days_sessions,
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
    database: OpenDatabase, indexes: Mapping[str, tuple[IndexSpec, ...]] = INDEXES
) -> None:
    """Migrate the data to this version, make the indexes durable, and forget killed servers.

    Raises:
        SchemaTooNew: A later version of FocusUp has written the data.
        StorageUnavailable: The database does not answer.
        StatementRefused: The database refuses an index or a migration.
    """
    with translated():
        await schema_version.migrate(database.db)
        if await ensure_indexes(database.db, indexes):
            await database.checkpoint()
        if database.kind != "mongodb":  # a child of ours, or memory: no other server uses it
            await processes.remove_all(database.db)
