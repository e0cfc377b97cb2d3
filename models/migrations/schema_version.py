"""Check the schema version of a database, and migrate an older one: collection `meta`.

Invariants:

- A database that a newer version has written, or has started to migrate, is not used.
- An older database is migrated step by step. Its version is raised once a step is complete.
- Several processes may start at the same time, and any may be killed within a step. So each step
  can be repeated, also by two processes at the same time.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from models.base.database import Database
from models.migrations import manual_seconds

COLLECTION = "meta"
ID = "schema"
FIRST = 1
"""The version of a database without the document: it is new, or older than schema versions."""

Step = Callable[[Database], Awaitable[None]]

STEPS: Mapping[int, Step] = MappingProxyType({1: manual_seconds.convert_all})
"""Steps by the version that they migrate to the next one, without a gap from `FIRST` on."""


class SchemaTooNew(Exception):  # noqa: N818 - as in `models.base.errors`
    """The data is of a newer version; the message is for operators."""


def supported_version(steps: Mapping[int, Step] = STEPS) -> int:
    """Return the version that this program reads and writes."""
    return FIRST + len(steps)


async def refuse_newer(db: Database, steps: Mapping[int, Step] = STEPS) -> int:
    """Return the version of the data, unless it is newer than this program.

    Errors of the driver pass through.

    Raises:
        SchemaTooNew: A newer version has written the data, or has started to migrate it.
    """
    document = await db[COLLECTION].find_one({"_id": ID}) or {}
    version = int(document.get("version", FIRST))
    newest = max(version, int(document.get("begun", FIRST)))
    if newest > supported_version(steps):
        raise SchemaTooNew(
            f"this data was written by a newer FocusUp (schema version {newest}; this one "
            f"supports {supported_version(steps)}): upgrade FocusUp, or restore a backup from "
            "before the upgrade"
        )
    return version


async def migrate(db: Database, steps: Mapping[int, Step] = STEPS) -> None:
    """Migrate the data to the version that this program supports.

    Errors of the driver pass through.

    Raises:
        SchemaTooNew: A newer version has written the data, or has started to migrate it.
    """
    version = await refuse_newer(db, steps)
    await _raise_version(db, version=version)
    for done in range(version, supported_version(steps)):
        await _raise_version(db, begun=done + 1)
        await steps[done](db)
        await _raise_version(db, version=done + 1)


async def _raise_version(db: Database, **to: int) -> None:
    # $max, so that a process that is slower than another one does not lower the version.
    await db[COLLECTION].update_one({"_id": ID}, {"$max": to}, upsert=True)
