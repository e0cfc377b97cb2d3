"""Fenced writes over many documents, and the reads that follow a doubt: for any collection
whose documents count seconds.

What must always hold: a filter names `_id` and nothing else, because the embedded database
scans otherwise.
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
    """Run one fenced update over these documents; how many it changed."""
    if len(ids) == 1:
        result = await collection.update_one({"_id": ids[0]}, pipeline)
    else:
        result = await collection.update_many({"_id": {"$in": ids}}, pipeline)
    return int(result.modified_count)


async def read_fields(
    collection: Collection, ids: list[ObjectId], fields: Iterable[str]
) -> dict[ObjectId, Document]:
    """Return these fields of these documents, those that exist, as a majority has stored them.

    A primary that has lost the others goes on showing what it has written last, and may have
    to undo it: a doubt that such a read settles would acknowledge what can still be lost.
    """
    settled = collection.database.get_collection(collection.name, read_concern=MAJORITY)
    found = settled.find({"_id": {"$in": ids}}, dict.fromkeys(fields, 1))
    return {document["_id"]: document for document in await found.to_list(None)}
