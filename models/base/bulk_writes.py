"""Run fenced updates over many documents, and read them back after a doubt.

Invariants:

- A filter names `_id` and nothing else, because the embedded database otherwise scans the
  collection.
"""

from collections.abc import Iterable
from typing import Any

from bson import ObjectId
from pymongo.read_concern import ReadConcern

from models.base.database import Collection, Document

MAJORITY = ReadConcern("majority")


async def write_fenced(
    collection: Collection,
    ids: list[ObjectId],
    pipeline: list[dict[str, Any]],
) -> int:
    """Run one fenced update over documents; return how many it changed."""
    if len(ids) == 1:
        result = await collection.update_one({"_id": ids[0]}, pipeline)
    else:
        result = await collection.update_many({"_id": {"$in": ids}}, pipeline)
    return int(result.modified_count)


async def read_fields(
    collection: Collection, ids: list[ObjectId], fields: Iterable[str]
) -> dict[ObjectId, Document]:
    """Return these fields of the documents that exist, with majority read concern.

    A primary that has lost the majority still shows its own last writes, which may be rolled back:
    a doubt that such a read settles would acknowledge a write that can still be lost.
    """
    settled = collection.database.get_collection(collection.name, read_concern=MAJORITY)
    found = settled.find({"_id": {"$in": ids}}, dict.fromkeys(fields, 1))
    return {document["_id"]: document for document in await found.to_list(None)}
