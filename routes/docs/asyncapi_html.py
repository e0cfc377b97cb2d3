"""Serve the AsyncAPI document at `/asyncapi.json` and as a page at `/docs/socket`.

Invariants:

- The page is rendered from the document alone.
- It works without scripts and loads nothing from other hosts.
- All text of the document is escaped.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from quart import Quart, Response, request
from quart_rate_limiter import rate_exempt
from quart_schema import hide

from routes.docs.asyncapi import asyncapi_document
from routes.docs.swagger_ui import SECURITY_HEADERS

Json = Mapping[str, Any]
CODE = Markup("<code>{}</code>")
TEMPLATES = Environment(
    loader=PackageLoader("routes"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} members",
    "format": "{}",
    "pattern": "matching {}",
}
"""Constraints shown in parentheses after a type, by the keyword of its schema."""


def _with_code(text: str) -> Markup:
    """Return the text with names in backticks as `<code>` elements."""
    plain_and_names = text.split("`")
    return Markup().join(
        CODE.format(part) if place % 2 else part for place, part in enumerate(plain_and_names)
    )


TEMPLATES.filters["words"] = _with_code


class Part(NamedTuple):
    """A piece of a type's name; `object` is the name of the schema to link to, if any."""

    text: str
    object: str | None = None


def install_socket_page(app: Quart, version: str, base_path: str = "") -> None:
    """Serve the document and the page.

    Args:
        app: The application.
        version: The version of the product.
        base_path: The path below which the sockets are served, such as `/focus`.
    """
    document = asyncapi_document(version, base_path)
    files = {
        "/asyncapi.json": ("application/json", json.dumps(document, ensure_ascii=False)),
        "/docs/socket": ("text/html", socket_page(document)),
        "/docs/socket.css": ("text/css", TEMPLATES.get_template("socket.css").render()),
    }

    @hide
    @rate_exempt
    async def socket_file() -> Response:
        media_type, text = files[request.path]
        return Response(text, headers=SECURITY_HEADERS, content_type=f"{media_type}; charset=utf-8")

    for path in files:
        app.add_url_rule(path, "socket_file", socket_file)


def socket_page(document: Json) -> str:
    """Return the HTML page of this document."""
    return TEMPLATES.get_template("socket.html").render(page=_page(document))


def _page(document: Json) -> Json:
    schemas, messages = document["components"]["schemas"], document["components"]["messages"]
    return {
        **document["info"],
        "channels": [_channel(document, name) for name in document["channels"]],
        "authentication": [
            scheme["description"] for scheme in document["components"]["securitySchemes"].values()
        ],
        "close_codes": next(iter(document["channels"].values()))["x-close-codes"],
        "codes": document["x-error-codes"].items(),
        "objects": [
            _described(name, schema) for name, schema in schemas.items() if name not in messages
        ],
    }


def _channel(document: Json, name: str) -> Json:
    channel = document["channels"][name]
    received, sent = [], []
    for operation in document["operations"].values():
        if operation["channel"]["$ref"] != f"#/channels/{name}":
            continue
        if operation["action"] == "receive":
            received.append(_received(document, name, operation))
            references = operation["reply"]["messages"]
        else:
            references = operation["messages"]
        sent += [_name(each) for each in references]
    return {
        "name": name,
        **{key: channel[key] for key in ("address", "title", "description")},
        "received": received,
        "sent": [_message(document, name, kind) for kind in channel["messages"] if kind in sent],
    }


def _received(document: Json, channel: str, operation: Json) -> Json:
    (kind,) = (_name(each) for each in operation["messages"])
    answers = [_name(each) for each in operation["reply"]["messages"]]
    return {
        **_message(document, channel, kind),
        "answers": [_message(document, channel, each) for each in answers if each != "Error"],
        "codes": operation["x-error-codes"],
    }


def _message(document: Json, channel: str, kind: str) -> Json:
    message = document["components"]["messages"][kind]
    schema = document["components"]["schemas"][_name(message["payload"])]
    return {
        **_described(message["name"], schema),
        "description": message["description"],
        "anchor": f"{channel}-{kind}",
        "example": json.dumps(message["examples"][0]["payload"], indent=2, ensure_ascii=False),
        "answers": [],
        "codes": [],
    }


def _described(name: str, schema: Json) -> Json:
    required = schema.get("required", ())
    return {
        "name": name,
        "description": schema.get("description", ""),
        "fields": [
            {
                "name": field,
                "required": field in required,
                "type": list(_type(given)),
                "meaning": _meaning(given),
            }
            for field, given in schema.get("properties", {}).items()
            if "const" not in given  # the type of a message is already its heading
        ],
    }


def _meaning(schema: Json) -> str:
    meaning = str(schema.get("description", ""))
    default = schema.get("default")
    return meaning if default is None else f"{meaning} Default: {json.dumps(default)}.".strip()


def _type(schema: Json) -> Iterator[Part]:
    """Describe the type of a value in words."""
    if "$ref" in schema:
        yield Part(_name(schema), _name(schema))
    elif "anyOf" in schema:
        for place, choice in enumerate(schema["anyOf"]):
            yield from [Part(" or ")] if place else []
            yield from _type(choice)
    elif "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        yield Part(" or ".join(json.dumps(value) for value in values))
    elif schema.get("type") == "array":
        yield Part("list of ")
        yield from _type(schema["items"])
        yield from _bounds(schema)
    else:
        yield Part(schema.get("type", "any value"))
        yield from _bounds(schema)


def _bounds(schema: Json) -> Iterator[Part]:
    bounds = [words.format(schema[key]) for key, words in BOUNDS.items() if key in schema]
    if bounds:
        yield Part(f" ({', '.join(bounds)})")


def _name(reference: Json) -> str:
    return str(reference["$ref"]).rpartition("/")[2]
