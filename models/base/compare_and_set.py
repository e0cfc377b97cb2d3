"""Compare and set the `stamp` of a document, or of many documents at once.

Invariants:

- Every write to a session's counters, status or owner goes through `fenced`. A writer with an
  outdated document changes nothing, and sees that in `modified_count`.
- No stamp is ever used twice.

The comparison is part of the update, not of the filter: a filter of `_id` and another field makes
the embedded database scan the collection. For the same reason it uses `$set`, `$cond` and
`$literal` alone, which every MongoDB and mongomock understand.
"""

import secrets
from collections.abc import Mapping
from typing import Any


class Stamps:
    """A source of stamps `process.counter`; the process part is random at each start."""

    def __init__(self, process: str | None = None) -> None:
        self.process = process or secrets.token_hex(6)
        self._prefix = self.process + "."
        self._count = 0

    def fresh(self) -> str:
        """Return a stamp that was never used before."""
        self._count += 1
        return f"{self._prefix}{self._count}"

    def ours(self, stamp: str) -> bool:
        """Return whether a stamp was made by this source."""
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
    """Return an update that changes the documents whose stamp is `expected`, and no others.

    It sets `values`, adds `increments` and sets the new stamp. `expected` and each value may be
    `PerDocument`, so that documents of different histories share a statement, and so a commit. The
    cost grows with the square of their number.
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
    """Return an expression for a value, or for the value of each document."""
    if not isinstance(value, PerDocument):
        return {"$literal": value}
    first = next(iter(value.values()))
    if all(other == first for other in value.values()):
        return {"$literal": first}
    branches = [
        {"case": {"$eq": ["$_id", id_]}, "then": {"$literal": each}} for id_, each in value.items()
    ]
    return {"$switch": {"branches": branches, "default": {"$literal": None}}}
