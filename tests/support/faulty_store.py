"""A book in memory that fails in every way a database can, and an oracle beside it."""

import copy
from collections.abc import Sequence
from typing import Any

from models.base.driver_errors import StatementRefused
from models.base.errors import StorageUnavailable
from realtime.engine.tracked import Tracked
from scoring.timeline import Counts

MISSING = object()
"""What a field that is not there evaluates to; setting it to that sets nothing."""
Document = dict[str, Any]
COUNTERS = ("activeSeconds", "idleSeconds", "tabSwitches")


def evaluate(expression: Any, document: Document) -> Any:
    """The part of MongoDB's expression language that fenced updates use."""
    match expression:
        case {"$cond": [condition, then, otherwise]}:
            return evaluate(then if evaluate(condition, document) else otherwise, document)
        case {"$eq": [left, right]}:
            return evaluate(left, document) == evaluate(right, document)
        case {"$add": [left, right]}:
            return evaluate(left, document) + evaluate(right, document)
        case {"$switch": {"branches": branches, "default": default}}:
            for branch in branches:
                if evaluate(branch["case"], document):
                    return evaluate(branch["then"], document)
            return evaluate(default, document)
        case {"$literal": value}:
            return value
        case str() if expression.startswith("$"):
            return document.get(expression[1:], MISSING)
        case dict():
            raise AssertionError(f"unknown expression {expression}")
        case _:
            return expression


class FaultyStore:
    """`faults` are taken one by one, a write or an insertion each; after the last all goes
    well.

    ok: as it should be. request_lost: not applied, no answer. reply_lost: applied, no
    answer. late: no answer, applied after so many more writes. partial: applied to the
    first half of the things, then no answer. refused: answered with a refusal.
    """

    def __init__(self, process: str) -> None:
        self.process = process
        self.documents: dict[Any, Document] = {}
        self.faults: list[str] = []
        self.poisoned: set[Any] = set()
        self.unreadable = 0
        self.writes: list[int] = []
        self._history: list[tuple[list[Any], list[dict[str, Any]]]] = []
        self._late: list[tuple[int, list[Any], list[dict[str, Any]]]] = []
        self._begun: dict[Any, Document] = {}
        self._late_inserts: list[Any] = []

    def begin(self, tracked: Tracked) -> None:
        """Remember how it begins, for `insert`."""
        self._begun[tracked.tracked_id] = {
            "_id": tracked.tracked_id,
            "stamp": tracked.stamp,
            "status": tracked.status,
            "owner": self.process,
            **dict(zip(COUNTERS, tracked.totals, strict=True)),
        }

    def store(self, id_: Any) -> None:
        """What is there already stays as it is."""
        self.documents.setdefault(id_, dict(self._begun[id_]))

    async def insert(self, batch: Sequence[Tracked]) -> set[Any]:
        ids = [tracked.tracked_id for tracked in batch]
        fault = self.faults.pop(0) if self.faults else "ok"
        if fault == "late":
            self._late_inserts += ids
        elif fault != "request_lost":
            part = ids[: len(ids) // 2] if fault == "partial" else ids
            for id_ in set(part) - self.poisoned:
                self.store(id_)
        if fault in {"ok", "refused"}:
            return self.poisoned.intersection(ids)
        raise StorageUnavailable("database_unavailable", fault)

    async def write(self, ids: list[Any], pipeline: list[dict[str, Any]]) -> int:
        self.writes.append(len(ids))
        self._history.append((list(ids), pipeline))
        if self.poisoned.intersection(ids):
            raise StatementRefused("poisoned")
        fault = self.faults.pop(0) if self.faults else "ok"
        changed = 0
        if fault == "late":
            self._late.append((2, list(ids), copy.deepcopy(pipeline)))
        elif fault == "partial":
            self._apply(ids[: len(ids) // 2], pipeline)
        elif fault != "request_lost":
            changed = self._apply(ids, pipeline)
        self._deliver_late()
        if fault in {"ok", "refused"}:
            return changed
        raise StorageUnavailable("database_unavailable", fault)

    async def read(self, ids: list[Any]) -> dict[Any, Document]:
        if self.unreadable:
            self.unreadable -= 1
            raise StorageUnavailable("database_unavailable", "unreadable")
        return {id_: dict(self.documents[id_]) for id_ in ids if id_ in self.documents}

    def absolute(self, tracked: Tracked) -> Document:
        return {
            "status": tracked.status,
            "owner": self.process if tracked.owned else None,
            **dict(zip(COUNTERS, tracked.totals, strict=True)),
        }

    def increments(self, increase: Counts) -> dict[str, int]:
        return dict(zip(COUNTERS, increase, strict=True))

    def counted(self, increase: Counts, at_us: int) -> Document:
        return {"lastBookedAt": at_us} if increase.elapsed else {}

    def totals(self, document: Document) -> Counts:
        totals = Counts(*(document[name] for name in COUNTERS))
        if not all(isinstance(count, int) for count in totals):
            raise ValueError("a counter is no whole number")
        return totals

    def matches(self, tracked: Tracked, document: Document) -> bool:
        absolute = self.absolute(tracked)
        return all(document[name] == absolute[name] for name in ("status", "owner"))

    def ended(self, document: Document) -> bool:
        return bool(document["status"] == "completed")

    def deliver_everything(self) -> None:
        """Whatever is still on its way arrives."""
        for id_ in self._late_inserts:
            self.store(id_)
        self._late = [(0, ids, pipeline) for _, ids, pipeline in self._late]
        self._deliver_late()

    def repeat_every_write(self) -> None:
        """Whatever was ever sent arrives once more."""
        for ids, pipeline in self._history:
            self._apply(ids, pipeline)

    def _apply(self, ids: list[Any], pipeline: list[dict[str, Any]]) -> int:
        changed = 0
        for id_ in ids:
            document = self.documents.get(id_)
            if document is None:
                continue
            (stage,) = pipeline
            evaluated = {name: evaluate(value, document) for name, value in stage["$set"].items()}
            new = {name: value for name, value in evaluated.items() if value is not MISSING}
            changed += any(document.get(name) != value for name, value in new.items())
            document.update(new)
        return changed

    def _deliver_late(self) -> None:
        due = [item for item in self._late if item[0] <= 0]
        self._late = [(n - 1, ids, pipeline) for n, ids, pipeline in self._late if n > 0]
        for _, ids, pipeline in due:
            self._apply(ids, pipeline)
