"""Which version of the documents' shape a database holds.

What must always hold: nothing is read or written of a database that a newer version has
written, or has begun to; an older one is brought up step by step, and the version is raised
only once its step is done. Several processes may start at once, and any may die in the middle
of a step: so each step may be done twice, and by two at a time.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from models.base.database import Database
from models.migrations import manual_seconds

COLLECTION = "meta"
ID = "schema"
FIRST = 1
"""Of a database that says nothing: it is new, or older than this document."""

Step = Callable[[Database], Awaitable[None]]

STEPS: Mapping[int, Step] = MappingProxyType({1: manual_seconds.convert_all})
"""By the version from which each leads to the next one, without a gap from `FIRST` on."""


class SchemaTooNew(Exception):  # noqa: N818 - as in `models.base.errors`
    """The data is of a newer version; the message is for people."""


def known(steps: Mapping[int, Step] = STEPS) -> int:
    """The version that this program reads and writes."""
    return FIRST + len(steps)


async def refuse_newer(db: Database, steps: Mapping[int, Step] = STEPS) -> int:
    """The version of the data; raises SchemaTooNew, and what the driver raises."""
    document = await db[COLLECTION].find_one({"_id": ID}) or {}
    version = int(document.get("version", FIRST))
    newest = max(version, int(document.get("begun", FIRST)))
    if newest > known(steps):
        raise SchemaTooNew(
            f"this data was written by a newer FocusUp (schema version {newest}; this one "
            f"knows {known(steps)}): install that one, or restore a backup made before it"
        )
    return version


async def migrate(db: Database, steps: Mapping[int, Step] = STEPS) -> None:
    """Bring the data to the version that this program knows.

    Raises SchemaTooNew, and what the driver raises.
    """
    version = await refuse_newer(db, steps)
    await _raise(db, version=version)
    for done in range(version, known(steps)):
        await _raise(db, begun=done + 1)
        await steps[done](db)
        await _raise(db, version=done + 1)


async def _raise(db: Database, **to: int) -> None:
    # $max: whoever is slower than another process takes nothing back.
    await db[COLLECTION].update_one({"_id": ID}, {"$max": to}, upsert=True)
