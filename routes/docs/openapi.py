"""Build the OpenAPI 3.1 document at `/openapi.json` and serve the page at `/docs`.

Invariants:

- The document describes what the server does; tests compare them by generated and by recorded
  requests.
- Every problem is `application/problem+json`.
- The page loads nothing from other hosts and runs no inline script, so it works offline.
"""

import asyncio
import inspect
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Literal

from quart import Quart, Response, current_app
from quart.json.provider import DefaultJSONProvider
from quart_rate_limiter import QUART_RATE_LIMITER_EXEMPT_ATTRIBUTE
from quart_schema import HttpSecurityScheme, Info, OpenAPIProvider, QuartSchema, Server, hide
from werkzeug.routing import Rule
from werkzeug.routing.converters import BaseConverter

from models.base.schema_types import WireModel
from routes.access.authentication import SCHEME
from routes.access.idempotency import PARAMETER, REPEATABLE
from routes.docs.swagger_ui import install_docs_page
from routes.http.bodies import NoContent, needs_body
from routes.http.error_codes import (
    BODY_CODES,
    CODES,
    COMMON_CODES,
    PATH_CODES,
    QUERY_CODES,
    RATE_LIMIT_CODES,
    REQUIRED_BODY_CODES,
    TOKEN_CODES,
    WRITE_CODES,
    problems_of,
)
from routes.http.preconditions import CONDITIONAL
from routes.http.preconditions import PARAMETER as IF_MATCH
from routes.http.problems import MEDIA_TYPE, Problem

OPENAPI_PATH = "/openapi.json"
REFERENCE = "#/components/schemas/{model}"
DESCRIPTION = (
    "FocusUp counts the seconds of focus sessions on the server. "
    "This is its REST API. The WebSocket API is documented at `/docs/socket`."
)
DOCUMENT_ID = {"type": "string", "pattern": "^[0-9a-f]{24}$"}

Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]
EXAMPLES = "focusup_examples"
WITH_ERRORS = ("invalid_body", "invalid_query")


HEADERS: Mapping[int, tuple[str, Schema]] = {
    401: ("WWW-Authenticate", {"type": "string"}),
    429: ("Retry-After", {"type": "integer", "minimum": 1}),
    503: ("Retry-After", {"type": "integer", "minimum": 1}),
}


def install_openapi(
    app: Quart,
    version: str,
    examples: Mapping[type[WireModel], WireModel],
    base_path: str = "",
) -> None:
    """Serve the document of all routes of `app`, and the page.

    Args:
        app: The application.
        version: The version of the product.
        examples: Examples of bodies by their model.
        base_path: The path below which a proxy serves the application, such as `/focus`.
    """
    app.extensions[EXAMPLES] = examples
    QuartSchema(
        app,
        openapi_path=OPENAPI_PATH,
        redoc_ui_path=None,
        scalar_ui_path=None,
        swagger_ui_path=None,
        info=Info(title="FocusUp", version=version, description=DESCRIPTION),
        security_schemes={SCHEME: HttpSecurityScheme(scheme="bearer", bearer_format="JWT")},
        conversion_preference="pydantic",
        openapi_provider_class=Document,
        servers=[Server(url=base_path)] if base_path else None,
    )
    # Quart-Schema encodes the document on each request, which blocks the event loop for 10 ms.
    app.view_functions["openapi"] = hide(_send_openapi)
    if isinstance(app.json, DefaultJSONProvider):
        app.json.sort_keys = False  # keep operations and fields in source order
    install_docs_page(app, OPENAPI_PATH)


async def _send_openapi() -> Response:
    """Send the document, which is built and encoded once, in a thread."""
    provider = current_app.extensions["QUART_SCHEMA"].openapi_provider
    encoded = await asyncio.to_thread(provider.encoded)
    return Response(encoded, content_type="application/json")


class Document(OpenAPIProvider):
    """Quart-Schema's document with problems, references, required bodies and headers."""

    _cached: Schema | None = None
    _encoded: bytes | None = None
    _encoding = threading.Lock()
    """Two threads must not build the document at once."""
    _components: Schema
    _responses: Schema
    _problem: Schema

    def schema(self) -> Schema:
        """Return the document, built once: the routes do not change while serving."""
        if self._cached is None:
            self._cached = self._build()
        return self._cached

    def encoded(self) -> bytes:
        """Return the document as JSON."""
        with self._encoding:
            if self._encoded is None:
                self._encoded = self._app.json.dumps(self.schema()).encode()
            return self._encoded

    def _build(self) -> Schema:
        # Quart-Schema lets a later schema overwrite an earlier one of the same name.
        self._components, self._responses = {}, {}
        self._problem = self._referenced(Problem, "serialization")
        document = super().schema()
        document["components"]["schemas"] = self._components
        document["components"]["responses"] = self._responses
        return document

    def build_paths(self, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
        """Add problems, headers and the summary without its period to the operations."""
        paths, components = super().build_paths(rule)
        add_schemas(self._components, components)
        # Quart-Schema replaces `<kind:name>` by a pattern that swallows a `<name>` before it.
        (path_item,) = paths.values()
        handler = self._app.view_functions[rule.endpoint]
        special = problems_of(handler)
        if not getattr(handler, QUART_RATE_LIMITER_EXEMPT_ATTRIBUTE, False):
            special += RATE_LIMIT_CODES
        for method, operation in path_item.items():
            if getattr(handler, REPEATABLE, False):
                operation["parameters"].append(PARAMETER)
            if getattr(handler, CONDITIONAL, False):
                operation["parameters"].append(IF_MATCH)
            # The docstring of a handler ends its first line with a period; a summary has none.
            operation["summary"] = operation.get("summary", "").removesuffix(".")
            operation["tags"] = sorted(operation.get("tags", ()))
            responses = {str(status): answer for status, answer in operation["responses"].items()}
            responses |= self._problems(_codes_of(method, operation, special))
            operation["responses"] = dict(sorted(responses.items()))
        return {re.sub(r"<(?:[^:<>]*:)?([^<>]+)>", r"{\1}", rule.rule): path_item}, {}

    def operation_id(self, method: str, path: str, func: Callable[..., Any]) -> str | None:
        """Return the name of the handler, without the method that Quart-Schema puts in front."""
        prefixed = super().operation_id(method, path, func) or ""
        return prefixed.removeprefix(f"{method.lower()}_")

    def build_path_parameter(self, name: str, converter: BaseConverter) -> Schema:
        """Describe the ids of documents by their pattern."""
        parameter: Schema = super().build_path_parameter(name, converter)
        if name.endswith("_id") and parameter["schema"] == {"type": "string"}:
            parameter["schema"] = dict(DOCUMENT_ID)
        return parameter

    def build_querystring_parameters(self, model: Any) -> tuple[list[Schema], Schema]:
        """Mark required parameters, and drop null, which a query string cannot send."""
        parameters, components = super().build_querystring_parameters(model)
        needed = model.model_json_schema().get("required", ())
        for parameter in parameters:
            parameter["schema"] = _without_null(parameter["schema"])
            parameter["required"] = parameter["name"] in needed
        return parameters, components

    def build_request_body(
        self,
        model: Any,
        source: Any,  # noqa: ARG002 - every body is JSON
    ) -> tuple[Schema, Schema]:
        """Describe a JSON body by reference, with its example."""
        content = {"application/json": self._described(model, "validation")}
        return {"content": content, "required": needs_body(model)}, {}

    def build_response_object(
        self,
        model: Any,
        headers_model: Any,  # noqa: ARG002 - not used by the routes
    ) -> tuple[Schema, Schema]:
        """Describe a response by reference, with its example and other content type."""
        description = inspect.getdoc(model) or ""
        if model is NoContent:
            return {"description": description}, {}
        content = {"application/json": self._described(model, "serialization")}
        also_as: str | None = getattr(model, "also_as", None)
        if also_as is not None:
            content[also_as] = {"schema": {"type": "string"}}
        return {"description": description, "content": content}, {}

    def _problems(self, codes_by_status: Mapping[int, list[str]]) -> Schema:
        """Add these problems to the components; return references to them."""
        references = {}
        for status, codes in codes_by_status.items():
            name = ".".join([f"Problem{status}", *codes])
            self._responses[name] = _problem_response(status, codes, self._problem)
            references[str(status)] = {"$ref": f"#/components/responses/{name}"}
        return references

    def _described(self, model: type[WireModel], mode: Mode) -> Schema:
        """Return the description of a body of this model, with its example if there is one."""
        described: Schema = {"schema": self._referenced(model, mode)}
        example = self._app.extensions[EXAMPLES].get(model)
        if example is not None:
            # A client omits fields with defaults; the server sends all fields.
            unset = mode == "validation"
            described["example"] = example.model_dump(mode="json", exclude_unset=unset)
        return described

    def _referenced(self, model: type[WireModel], mode: Mode) -> Schema:
        """Add the model's schema and its parts to the components; return a reference."""
        schema = model.model_json_schema(mode=mode, ref_template=REFERENCE)
        add_schemas(self._components, schema.pop("$defs", {}))
        add_schemas(self._components, {model.__name__: schema})
        return {"$ref": REFERENCE.format(model=model.__name__)}


def _codes_of(method: str, operation: Schema, special: Iterable[str]) -> dict[int, list[str]]:
    """Return the codes of all problems that the operation can answer, by status."""
    places = {parameter["in"] for parameter in operation["parameters"]}
    codes = set(COMMON_CODES).union(special)
    if (body := operation.get("requestBody")) is not None:
        codes.update(BODY_CODES, REQUIRED_BODY_CODES if body["required"] else ())
    codes.update(WRITE_CODES if method not in ("get", "head") else ())
    codes.update(QUERY_CODES if "query" in places else ())
    codes.update(PATH_CODES if "path" in places else ())
    security = operation.get("security")
    if security and {} not in security:
        codes.update(TOKEN_CODES)
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes):
        status = CODES[code].status
        if status is None:
            raise ValueError(f"{code} is not an HTTP problem: only sockets send it")
        by_status.setdefault(status, []).append(code)
    return by_status


def _problem_response(status: int, codes: list[str], schema: Schema) -> Schema:
    reasons = [f"- `{code}`: {CODES[code].meaning}" for code in codes]
    narrowed = {"properties": {"status": {"const": status}, "code": {"enum": codes}}}
    examples = {code: {"value": _problem(status, code)} for code in codes}
    response: Schema = {
        "description": "\n".join([f"{HTTPStatus(status).phrase}.", "", *reasons]),
        "content": {MEDIA_TYPE: {"schema": {"allOf": [schema, narrowed]}, "examples": examples}},
    }
    if status in HEADERS:
        name, header_schema = HEADERS[status]
        response["headers"] = {name: {"required": True, "schema": header_schema}}
    return response


def _problem(status: int, code: str) -> Schema:
    problem: Schema = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": CODES[code].meaning,
        "code": code,
    }
    if code in WITH_ERRORS:
        problem["errors"] = [{"field": "limit", "message": "Input should be a valid integer"}]
    return problem


def add_schemas(components: Schema, more: Schema) -> None:
    """Add schemas to the components.

    Raises:
        ValueError: Two different schemas have the same name.
    """
    for name, schema in more.items():
        if components.setdefault(name, schema) != schema:
            raise ValueError(f"two different schemas have the name {name}")


def _without_null(schema: Schema) -> Schema:
    """Return the schema of a query parameter without null, which cannot be sent."""
    kept = {key: value for key, value in schema.items() if (key, value) != ("default", None)}
    choices = [choice for choice in kept.pop("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        return {**kept, **choices[0]}
    return {**kept, "anyOf": choices} if choices else kept
