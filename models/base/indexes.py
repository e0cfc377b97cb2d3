"""Describe indexes beside the queries that they serve, and create them.

Invariants:

- Creating them again changes nothing, so every start does it.
- No index exists without a query that needs it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.base.database import Database, OperationFailure

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """One index: its keys in order with 1 or -1, and the query it serves.

    `expire_after_s` makes it a TTL index: the database removes a document that many seconds after
    the instant in its only key.
    """

    keys: tuple[tuple[str, int], ...]
    query: str
    unique: bool = False
    expire_after_s: int | None = None
    partial: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.keys or not self.query:
            raise ValueError("an index has keys, and a query that it serves")
        if self.expire_after_s is not None and len(self.keys) != 1:
            raise ValueError("a TTL index has exactly one key")

    @property
    def name(self) -> str:
        """The name that MongoDB gives by default, such as `userId_1__id_-1`."""
        return "_".join(f"{key}_{direction}" for key, direction in self.keys)

    def is_like(self, found: Mapping[str, Any]) -> bool:
        """Return whether an index, as the database describes it, has the same keys and options."""
        return (
            list(self.keys) == [tuple(pair) for pair in found["key"]]
            and self.unique == bool(found.get("unique", False))
            and self.expire_after_s == found.get("expireAfterSeconds")
            and self.partial == found.get("partialFilterExpression")
        )

    def options(self) -> dict[str, Any]:
        """The keyword arguments of `create_index`, without defaults."""
        given: dict[str, Any] = {"name": self.name}
        if self.unique:
            given["unique"] = True
        if self.expire_after_s is not None:
            given["expireAfterSeconds"] = self.expire_after_s
        if self.partial is not None:
            given["partialFilterExpression"] = dict(self.partial)
        return given


def with_retention(
    specs: Mapping[str, Sequence[IndexSpec]], kept: Mapping[tuple[str, str], int | None]
) -> dict[str, tuple[IndexSpec, ...]]:
    """Return the indexes, with TTL indexes for documents that are kept for a limited time.

    `kept` holds the days by collection and field; None keeps documents for good.
    """
    found = {collection: tuple(indexes) for collection, indexes in specs.items()}
    for (collection, field), days in kept.items():
        if days is None:
            continue
        key = ((field, 1),)
        query = "the retention"
        others = []
        for index in found.get(collection, ()):
            if index.keys == key:
                query = f"{index.query}; and {query}"
            else:
                others.append(index)
        ttl = IndexSpec(keys=key, query=query, expire_after_s=days * DAY_S)
        found[collection] = (*others, ttl)
    return found


async def ensure_indexes(db: Database, specs: Mapping[str, Sequence[IndexSpec]]) -> bool:
    """Create every index of `specs` that is missing or has other options.

    An index with other options is created again: a setting or a new version may have changed it,
    and the embedded database forgets the options of an index when it is killed within seconds of
    its creation. A TTL index that is no longer in `specs` is dropped, as it would go on removing
    documents.

    Returns:
        Whether an index was created.
    """
    made = False
    for collection, indexes in specs.items():
        found = await db[collection].index_information()
        wanted = {index.name for index in indexes}
        for name, there in found.items():
            if name not in wanted and "expireAfterSeconds" in there:
                await db[collection].drop_index(name)
        for index in indexes:
            there = found.get(index.name)
            if there is not None and index.is_like(there):
                continue
            made = True
            if there is not None:
                if await _expiry_set(db, collection, index, there):
                    continue
                await db[collection].drop_index(index.name)
            await db[collection].create_index(list(index.keys), **index.options())
    return made


async def _expiry_set(
    db: Database, collection: str, index: IndexSpec, there: Mapping[str, Any]
) -> bool:
    """Set the age at which documents expire, if nothing else differs.

    Creating an index over a million documents again takes minutes on the embedded database. Returns
    False where it is impossible: an age can be set and changed, but not removed.
    """
    expiry = {"expireAfterSeconds": index.expire_after_s}
    if index.expire_after_s is None or not index.is_like({**there, **expiry}):
        return False
    try:
        await db.command("collMod", collection, index={"name": index.name, **expiry})
    except OperationFailure:  # MongoDB before 5.1
        return False
    return True
