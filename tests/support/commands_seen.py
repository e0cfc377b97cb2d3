"""The filters that the code really sends to a database, told by the driver itself."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bson
from pymongo import monitoring

Command = Mapping[str, Any]


@dataclass(frozen=True)
class Query:
    """What one command asks of a collection: its filter, and how far it reads."""

    collection: str
    command: str
    wanted: Mapping[str, Any]
    sort: Mapping[str, Any] | None = None
    limit: int = 0

    @property
    def shape(self) -> tuple[str, str]:
        """Its collection, and the filter without its values: equal for equal queries."""
        order = f" by {','.join(self.sort)}" if self.sort else ""
        return self.collection, json.dumps(_shape(self.wanted)).replace('"', "") + order


class Seen(monitoring.CommandListener):
    """Notes the queries of one database while it listens."""

    def __init__(self) -> None:
        self.database: str | None = None
        self.queries: dict[tuple[str, str], list[Query]] = {}
        """By their shape, as they came."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.database_name == self.database:
            for query in _queries(event.command_name, event.command):
                self.queries.setdefault(query.shape, []).append(query)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing: what a command asks for is known from its start."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing, likewise."""


_seen = Seen()


@contextmanager
def commands_seen(database: str) -> Iterator[Seen]:
    """Note what clients that are made from now on ask of this database."""
    if _seen not in monitoring._LISTENERS.command_listeners:
        monitoring.register(_seen)  # for good: the driver knows no other way
    _seen.database, _seen.queries = database, {}
    try:
        yield _seen
    finally:
        _seen.database = None


def _queries(name: str, command: Command) -> Iterator[Query]:
    match name:
        case "find":
            yield Query(
                command[name],
                name,
                _kept(command.get("filter", {})),
                command.get("sort"),
                command.get("limit", 0),
            )
        case "aggregate":
            first = (command["pipeline"] or [{}])[0]
            yield Query(command[name], name, _kept(first.get("$match", {})))
        case "count" | "distinct":
            yield Query(command[name], name, _kept(command.get("query", {})))
        case "findAndModify":
            yield Query(command[name], name, _kept(command["query"]), command.get("sort"), 1)
        case "update":
            for each in command["updates"]:
                yield Query(command[name], name, _kept(each["q"]))
        case "delete":
            for each in command["deletes"]:
                yield Query(command[name], name, _kept(each["q"]))


def _kept(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Copy it, as it is on the wire now."""
    return bson.decode(bson.encode(wanted))


def _shape(value: Any) -> Any:
    """Names and operators alone; a value is `?`."""
    if isinstance(value, Mapping):
        return {name: _shape(each) for name, each in value.items()}
    if isinstance(value, list):
        shapes: list[Any] = []
        for each in value:
            if (shape := _shape(each)) not in shapes:
                shapes.append(shape)
        return shapes
    return "?"
