"""The database that the server uses: what it is, how far away, and how it is laid out.

An embedded one is looked at only while a server runs on it: starting it would change it.
"""

import statistics
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from focusup.database import DatabaseError, OpenedDatabase
from focusup.database.attach import beside_the_server
from focusup.database.directory import holder
from focusup.database.errors import short
from focusup.database.opening import MEMORY, NOTHING_KEPT, open_database
from focusup.database.programs import kinds_kept
from focusup.doctor.findings import Finding, failed, failed_by, ok, warning
from focusup.settings import Settings
from focusup.wiring.data import indexes_of
from models.base.database import PyMongoError
from models.base.driver_errors import StatementRefused, answered_within
from models.base.errors import StorageUnavailable
from models.base.indexes import IndexSpec
from models.migrations.schema_version import SchemaTooNew, refuse_newer

WITHIN_S = 5.0
PINGS = 5
FAR_MS = 50.0
"""Four flushes a second, each of several statements, have to be done in their second."""
CLOCKS_APART_S = 2.0
"""Leaves sessions abandoned, and tokens of other issuers, at nearly the right instant."""


async def database(settings: Settings) -> list[Finding]:
    """Return all findings about the database of these settings."""
    if settings.mongodb_uri == MEMORY:
        return [warning("database", NOTHING_KEPT, "leave MONGODB_URI unset, or set a mongodb://…")]
    if settings.mongodb_uri is None and holder(settings.data_dir) is None:
        return [_not_started(settings.data_dir)]
    try:
        opened = await _opened(settings)
    except DatabaseError as error:
        return [failed_by("database", error)]
    try:
        async with answered_within(WITHIN_S):
            return await _examined(opened, settings)
    except SchemaTooNew as error:
        found, advice = str(error).rsplit(": ", 1)
        return [failed("database", found, advice)]
    except (StatementRefused, StorageUnavailable, PyMongoError) as error:
        return [_failure(opened.where, error)]
    finally:
        await opened.close()


def _failure(where: str, error: Exception) -> Finding:
    if isinstance(error, StatementRefused):
        advice = "give the user of MONGODB_URI the role readWrite on MONGODB_DATABASE"
        return failed("database", f"{where} refuses to tell ({error})", advice)
    found = f"{where} does not answer within {WITHIN_S:g} s ({type(error).__name__})"
    return failed("database", found, "look at its log and its load")


def _not_started(data_dir: Path) -> Finding:
    kinds = " and ".join(kinds_kept(data_dir))
    data = f"data of {kinds} in {short(data_dir)}" if kinds else "no data yet"
    return ok("database", f"embedded, {data}; examined while the server runs")


async def _opened(settings: Settings) -> OpenedDatabase:
    name, data_dir = settings.mongodb_database, settings.data_dir
    if settings.mongodb_uri is None:
        return await beside_the_server(name, data_dir.resolve(), WITHIN_S)
    return await open_database(
        uri=settings.mongodb_uri,
        name=name,
        data_dir=data_dir,
        server_selection_timeout_s=WITHIN_S,
    )


async def _examined(opened: OpenedDatabase, settings: Settings) -> list[Finding]:
    admin = opened.db.client.admin
    await refuse_newer(opened.db)
    pings_ms = [await opened.ping_ms() for _ in range(PINGS)]
    asked_at, began_s = datetime.now(UTC), time.perf_counter()
    hello = await admin.command("hello")
    took = timedelta(seconds=time.perf_counter() - began_s)
    there = {name: await opened.db[name].index_information() for name in indexes_of(settings)}
    build = await admin.command("buildInfo")
    return [
        latency(f"{opened.where}, speaks MongoDB {build['version']}", statistics.median(pings_ms)),
        *([topology(hello)] if opened.kind == "mongodb" else []),
        *indexes(indexes_of(settings), there),
        clock(_utc(hello.get("localTime")), asked_at + took / 2),
    ]


def _utc(told: datetime | None) -> datetime | None:
    """Answers to commands tell instants in UTC, but do not say so."""
    return None if told is None else told.replace(tzinfo=UTC)


def latency(what: str, median_ms: float) -> Finding:
    """Judge how quickly the database answers."""
    found = f"{what}; answers in {median_ms:.1f} ms"
    if median_ms > FAR_MS:
        return warning("database", found, "put it nearer to the server, or take load off it")
    return ok("database", found)


def topology(hello: Mapping[str, Any]) -> Finding:
    """By what it says of itself: whether writes outlive the loss of one machine."""
    if hello.get("msg") == "isdbgrid":
        return ok("replica set", "a sharded cluster: writes of the majority, retried")
    if "setName" not in hello:
        found = "a single mongod: what it has is lost with its disk, and no write is retried"
        return warning("replica set", found, "make it a replica set (rs.initiate())")
    if not hello.get("isWritablePrimary"):
        advice = "name all members in MONGODB_URI, and leave directConnection out"
        return failed("replica set", "the member that answers is not the primary", advice)
    return ok("replica set", f"{hello['setName']}: writes of the majority, retried")


def indexes(
    wanted: Mapping[str, Iterable[IndexSpec]], there: Mapping[str, Mapping[str, Any]]
) -> list[Finding]:
    """Whether each is there as it should be. `there` is what the database tells, by collection."""
    if not any(there.values()):
        return [ok("indexes", "no data yet: the first start makes them")]
    wrong = [
        f"{collection}.{index.name}"
        for collection, specs in wanted.items()
        for index in specs
        if (found := there[collection].get(index.name)) is None or not index.is_like(found)
    ]
    if wrong:
        found_text = f"missing, or not as they should be: {', '.join(wrong)}"
        return [warning("indexes", found_text, "start the server again: each start makes them")]
    return [ok("indexes", f"all {sum(len(list(specs)) for specs in wanted.values())} are there")]


def clock(told: datetime | None, here: datetime) -> Finding:
    """The clock of the database against ours, at the same instant."""
    if told is None:
        return ok("database clock", "not told")
    apart_s = (told - here).total_seconds()
    if abs(apart_s) > CLOCKS_APART_S:
        found = f"{abs(apart_s):.1f} s {'ahead of' if apart_s > 0 else 'behind'} this machine"
        return warning("database clock", found, "let NTP set the clocks of both machines")
    return ok("database clock", f"within {CLOCKS_APART_S:g} s of this machine")
