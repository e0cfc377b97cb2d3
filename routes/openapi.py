"""The OpenAPI 3.1 document at `/openapi.json`, and the page at `/docs` that shows it.

What must always hold: the document says what the server does, and a schema-driven test
holds the two together; problems are `application/problem+json`; the page loads nothing
from elsewhere and runs no inline script, so it works without the internet.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from quart import Quart
from quart.json.provider import DefaultJSONProvider
from quart_schema import (
    HttpSecurityScheme,
    Info,
    OpenAPIProvider,
    QuartSchema,
    document_response,
)
from werkzeug.routing import Rule
from werkzeug.routing.converters import BaseConverter

from models.wire import WireModel
from routes.bodies import needs_body
from routes.docs_page import install_docs_page
from routes.identity import SCHEME
from routes.problems import MEDIA_TYPE, Problem

OPENAPI_PATH = "/openapi.json"
REFERENCE = "#/components/schemas/{model}"
DESCRIPTION = (
    "FocusUp counts the seconds of a focus session on the server. "
    "This is its REST interface; the sockets are described in the protocol document."
)
DOCUMENT_ID = {"type": "string", "pattern": "^[0-9a-f]{24}$"}

Schema = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])


class NoContent(WireModel):
    """Done; there is nothing more to say."""


# Why each status comes; what every operation of a kind can answer is added to it below.
PROBLEMS: Mapping[int, str] = {
    400: "The body is no JSON.",
    401: "The credentials are missing, wrong or expired.",
    403: "Not allowed for this user.",
    404: "There is no such thing, or it is somebody else's.",
    408: "The body did not arrive in time.",
    409: "Not possible in the present state; `code` says why.",
    413: "The body is larger than 64 KiB.",
    422: "The input breaks a rule; `errors` names the fields.",
    429: "Too many requests; wait for `Retry-After` seconds.",
    500: "An error of the server, which has logged it.",
    503: "The server cannot do it now; wait for `Retry-After` seconds.",
}
OF_EVERY = (500, 503)
OF_A_BODY = (400, 408, 413, 422)
OF_A_QUERY = (422,)
OF_A_PATH = (404,)
OF_A_TOKEN = (401,)
HEADERS: Mapping[int, tuple[str, Schema]] = {
    401: ("WWW-Authenticate", {"type": "string"}),
    429: ("Retry-After", {"type": "integer", "minimum": 1}),
    503: ("Retry-After", {"type": "integer", "minimum": 1}),
}


def document_problems(*statuses: int) -> Callable[[F], F]:
    """Document the problems that are special to a handler; the common ones are added."""

    def decorate(handler: F) -> F:
        for status in statuses:
            document_response(Problem, status)(handler)
        return handler

    return decorate


def install_openapi(app: Quart, version: str) -> None:
    """Serve the document of all routes of `app`, and the page; `version` is the product's."""
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
    )
    if isinstance(app.json, DefaultJSONProvider):
        app.json.sort_keys = False  # operations and fields in the order they were written
    install_docs_page(app, OPENAPI_PATH)


class Document(OpenAPIProvider):
    """Quart-Schema's document with problems, references, required bodies and headers."""

    _cached: Schema | None = None
    _components: Schema

    def schema(self) -> Schema:
        """The document; made once, since the routes never change while serving."""
        if self._cached is None:
            self._cached = self._build()
        return self._cached

    def _build(self) -> Schema:
        # Quart-Schema lets a later schema overwrite an earlier one of the same name.
        self._components = {}
        document = super().schema()
        used: set[int] = set()
        for path_item in document["paths"].values():
            for operation in path_item.values():
                used |= _add_problems(operation)
        problem = self._referenced(Problem, "serialization")
        document["components"]["schemas"] = self._components
        document["components"]["responses"] = {
            f"Problem{status}": _problem_response(status, problem) for status in sorted(used)
        }
        return document

    def build_paths(self, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
        paths, components = super().build_paths(rule)
        _merge(self._components, components)
        # Its own way to find `<kind:name>` swallows a `<name>` before it.
        (path_item,) = paths.values()
        for operation in path_item.values():
            operation["tags"] = sorted(operation.get("tags", ()))
            operation["responses"] = {str(k): v for k, v in operation["responses"].items()}
        return {re.sub(r"<(?:[^:<>]*:)?([^<>]+)>", r"{\1}", rule.rule): path_item}, {}

    def operation_id(self, method: str, path: str, func: Callable[..., Any]) -> str | None:
        # Quart-Schema puts the method in front; the names of our handlers say enough.
        prefixed = super().operation_id(method, path, func) or ""
        return prefixed.removeprefix(f"{method.lower()}_")

    def build_path_parameter(self, name: str, converter: BaseConverter) -> Schema:
        parameter: Schema = super().build_path_parameter(name, converter)
        if name.endswith("_id") and parameter["schema"] == {"type": "string"}:
            parameter["schema"] = dict(DOCUMENT_ID)
        return parameter

    def build_querystring_parameters(self, model: Any) -> tuple[list[Schema], Schema]:
        parameters, components = super().build_querystring_parameters(model)
        needed = model.model_json_schema().get("required", ())
        for parameter in parameters:
            parameter["schema"] = _without_null(parameter["schema"])
            parameter["required"] = parameter["name"] in needed
        return parameters, components

    def build_request_body(
        self,
        model: Any,
        source: Any,  # noqa: ARG002 - JSON is the only one here
    ) -> tuple[Schema, Schema]:
        schema = self._referenced(model, "validation")
        body = {"content": {"application/json": {"schema": schema}}, "required": needs_body(model)}
        return body, {}

    def build_response_object(
        self,
        model: Any,
        headers_model: Any,  # noqa: ARG002 - Quart-Schema puts headers where no reader looks
    ) -> tuple[Schema, Schema]:
        if model is Problem:
            return {"$ref": "problem"}, {}  # its status is known to `_add_problems` only
        description = inspect.getdoc(model) or ""
        if model is NoContent:
            return {"description": description}, {}
        content = {"application/json": {"schema": self._referenced(model, "serialization")}}
        also_as: str | None = getattr(model, "also_as", None)
        if also_as is not None:
            content[also_as] = {"schema": {"type": "string"}}
        return {"description": description, "content": content}, {}

    def _referenced(self, model: type[WireModel], mode: Any) -> Schema:
        """A reference to the model's schema, which joins the components with its parts."""
        schema = model.model_json_schema(mode=mode, ref_template=REFERENCE)
        _merge(self._components, schema.pop("$defs", {}))
        _merge(self._components, {model.__name__: schema})
        return {"$ref": REFERENCE.format(model=model.__name__)}


def _add_problems(operation: Schema) -> set[int]:
    """Refer to every problem the operation can answer; gives their statuses."""
    responses = operation["responses"]
    places = {parameter["in"] for parameter in operation["parameters"]}
    statuses = {int(status) for status, given in responses.items() if "$ref" in given}
    statuses.update(OF_EVERY)
    statuses.update(OF_A_BODY if "requestBody" in operation else ())
    statuses.update(OF_A_QUERY if "query" in places else ())
    statuses.update(OF_A_PATH if "path" in places else ())
    statuses.update(OF_A_TOKEN if operation.get("security") else ())
    for status in statuses:
        responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    return statuses


def _problem_response(status: int, schema: Schema) -> Schema:
    response: Schema = {
        "description": f"{HTTPStatus(status).phrase}. {PROBLEMS[status]}",
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    if status in HEADERS:
        name, header_schema = HEADERS[status]
        response["headers"] = {name: {"required": True, "schema": header_schema}}
    return response


def _merge(components: Schema, more: Schema) -> None:
    for name, schema in more.items():
        if components.setdefault(name, schema) != schema:
            raise ValueError(f"two different schemas are called {name}")


def _without_null(schema: Schema) -> Schema:
    """A parameter that is not sent has no value; there is no way to send null."""
    kept = {key: value for key, value in schema.items() if (key, value) != ("default", None)}
    choices = [choice for choice in kept.pop("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        return {**kept, **choices[0]}
    return {**kept, "anyOf": choices} if choices else kept
