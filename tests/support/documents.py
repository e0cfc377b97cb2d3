"""The documents of the whole application, and schemas out of them, for tests."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import jsonschema_rs
import pytest
from mongomock_motor import AsyncMongoMockClient
from quart import Quart

from focusup.app import create_app
from focusup.settings import Settings

Json = dict[str, Any]
URI = "urn:focusup:document"
SECRET = "a secret that is long enough for HS256"


def whole_app(monkeypatch: pytest.MonkeyPatch) -> Quart:
    """The application as it is wired, on a database in memory that nobody asks."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    database = SimpleNamespace(db=AsyncMongoMockClient(tz_aware=True)["focusup"], kind="memory")
    return create_app(Settings(_env_file=None), cast(Any, database), SECRET)


def openapi_of(app: Quart) -> Json:
    document: Json = app.extensions["QUART_SCHEMA"].openapi_provider.schema()
    return document


def operations(openapi: Json) -> Iterator[tuple[str, str, Json]]:
    """Method, path and description of each operation."""
    for path, item in openapi["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def resolved(document: Json, node: Json) -> Json:
    """What a node of the document stands for."""
    while "$ref" in node:
        reference = node["$ref"].removeprefix("#/")
        node = document
        for part in reference.split("/"):
            node = node[part.replace("~1", "/")]
    return node


def rules(document: Json, schema: Json) -> jsonschema_rs.Validator:
    """A validator of what this schema of the document describes, formats included."""
    registry = jsonschema_rs.Registry([(URI, document)])
    return jsonschema_rs.Draft202012Validator(
        _absolute(schema), registry=registry, validate_formats=True
    )


def _absolute(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: f"{URI}{value}" if key == "$ref" else _absolute(value)
            for key, value in schema.items()
        }
    return [_absolute(each) for each in schema] if isinstance(schema, list) else schema
