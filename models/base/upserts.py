"""Store when each id was last seen, one row each, as visits and presence need it.

Invariants:

- A filter names the id alone, because the embedded database otherwise scans the collection.
- `last_seen_at` never goes back.
- Storing the same sighting again changes nothing, so a statement whose answer was lost does no
  harm.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from models.base.database import BulkWriteError, Collection, Document
from models.base.schema_types import milliseconds

V = TypeVar("V")
DUPLICATE_KEY = 11000


async def note_sightings(
    collection: Collection,
    seen: Mapping[str, V],
    *,
    again: list[dict[str, Any]],
    first: Callable[[str, V], Document],
) -> list[str]:
    """Update the rows of known ids with `again`, and insert `first` for the others.

    Returns:
        The ids that were inserted.
    """
    ids = list(seen)
    result = await collection.update_many({"_id": {"$in": ids}}, again)
    if result.matched_count == len(ids):
        return []
    there = collection.find({"_id": {"$in": ids}}, {"_id": 1})
    missing = seen.keys() - {row["_id"] for row in await there.to_list(None)}
    taken = await insert_new(collection, [first(id_, seen[id_]) for id_ in sorted(missing)])
    if taken:  # by another server, which may have seen them earlier
        await collection.update_many({"_id": {"$in": taken}}, again)
    return sorted(missing - set(taken))


async def insert_new(collection: Collection, documents: list[Document]) -> list[Any]:
    """Insert documents; return the ids that existed before, which stay unchanged."""
    if not documents:
        return []
    try:
        await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        errors: list[dict[str, Any]] = error.details.get("writeErrors", [])
        if any(each.get("code") != DUPLICATE_KEY for each in errors):
            raise
        return [documents[each["index"]]["_id"] for each in errors]
    return []


async def count_seen_within(collection: Collection, now: datetime, age: timedelta) -> int:
    """Return how many ids were last seen less than `age` ago."""
    return await collection.count_documents({"last_seen_at": {"$gt": milliseconds(now) - age}})
