"""Compare-and-set on a document's `stamp`, for one document or many at once.

What must always hold: every write to a session's counters, status or owner goes through
`fenced`, so a writer whose idea of the document is out of date changes nothing and sees
it in `modified_count`; and no stamp is ever used twice.

The comparison is part of the update, not of the filter: a filter of `_id` *and* anything
else makes the embedded database scan the collection. For the same reason it is written
with `$set`, `$cond` and `$literal` alone, which every MongoDB and mongomock understand.
"""

import secrets
from collections.abc import Mapping
from typing import Any


class Stamps:
    """Makes stamps `process.counter`; the process part is random at each start."""

    def __init__(self, process: str | None = None) -> None:
        self.process = process or secrets.token_hex(6)
        self._prefix = self.process + "."
        self._count = 0

    def fresh(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"

    def ours(self, stamp: str) -> bool:
        return stamp.startswith(self._prefix)


class PerDocument(dict[Any, Any]):
    """A value for each document of an update, by `_id`."""


def fenced(
    expected: "str | PerDocument",
    stamp: str,
    *,
    values: Mapping[str, Any] | None = None,
    increments: Mapping[str, int] | None = None,
) -> list[dict[str, Any]]:
    """The update that sets `values`, adds `increments` and stamps the document anew, in
    each document whose stamp is `expected`, and leaves every other one as it is.

    `expected` and each value may be `PerDocument`, so that documents of different
    histories are written together: one statement is one commit. Its cost grows with the
    square of their number.
    """
    holds = {"$eq": ["$stamp", expression_of(expected)]}
    fields: dict[str, Any] = {
        name: {"$cond": [holds, expression_of(value), f"${name}"]}
        for name, value in (values or {}).items()
    }
    for name, amount in (increments or {}).items():
        fields[name] = {"$cond": [holds, {"$add": [f"${name}", amount]}, f"${name}"]}
    fields["stamp"] = {"$cond": [holds, stamp, "$stamp"]}
    return [{"$set": fields}]


def expression_of(value: Any) -> dict[str, Any]:
    """This value, or the one for the document at hand, in an update pipeline."""
    if not isinstance(value, PerDocument):
        return {"$literal": value}
    first = next(iter(value.values()))
    if all(other == first for other in value.values()):
        return {"$literal": first}
    branches = [
        {"case": {"$eq": ["$_id", id_]}, "then": {"$literal": each}} for id_, each in value.items()
    ]
    return {"$switch": {"branches": branches, "default": {"$literal": None}}}
