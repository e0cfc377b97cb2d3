"""Read JSON bodies and query strings into models, and write models as JSON responses.

Invariants:

- Whatever the bytes, reading ends in a model or in a 4xx problem.
- At most `MAX_BODY_BYTES` of a body are held in memory.
- An answer repeats nothing that the client sent except the names of unknown fields.

A body is read as JSON whatever its Content-Type says, since `curl -d` declares a form by default.
This opens no door to forged requests from other sites, since no cookie authenticates a user. Of a
repeated member of an object the last counts, as in browsers; a lone surrogate becomes U+FFFD; a
byte order mark is skipped. Compressed bodies are refused, since their real size is unknown.
"""

import asyncio
import codecs
from collections.abc import Iterable, Mapping
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from quart import Quart, Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType

from models.base.errors import FieldError, Invalid, Malformed
from models.base.schema_types import Change, WireModel
from scoring.text import mended_json

MAX_BODY_BYTES = 64 * 1024
BODY_WITHIN_S = 8
"""Shorter than the time limit of a whole request, so that the client gets a 408 with the reason."""
MAX_ERRORS = 20
MAX_NAME_CHARS = 100
MAX_MESSAGE_CHARS = 300

M = TypeVar("M", bound=WireModel)


class NoContent(WireModel):
    """Success, without a body."""


def install_limits(app: Quart) -> None:
    """Set the limits at which Quart itself stops collecting a body that no handler reads."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["BODY_TIMEOUT"] = BODY_WITHIN_S


async def read_body(model: type[M]) -> M:
    """Read the body of the request into `model`.

    Raises:
        Malformed: The body is missing or not JSON.
        Invalid: The body breaks the rules of the model.
        HTTPException: The status is 408, 413 or 415.
    """
    return parse_body(model, await read_bytes())


def needs_body(model: type[WireModel]) -> bool:
    """Return whether the body of this model must be sent.

    Without required fields no body stands for `{}`, except for a change: that would be empty.
    """
    return issubclass(model, Change) or any(
        field.is_required() for field in model.model_fields.values()
    )


def read_query(model: type[M]) -> M:
    """Read the query string into `model`.

    Raises:
        Invalid: A parameter is unknown, repeated or breaks the rules of the model.
    """
    parameters = request.args
    repeated = [name for name in parameters if len(parameters.getlist(name)) > 1]
    if repeated:
        message = "must be given once"
        raise _invalid_query({"field": name, "message": message} for name in repeated)
    try:
        return model.model_validate_strings(parameters.to_dict(), by_alias=True, by_name=False)
    except ValidationError as error:
        raise _invalid_query(_field_errors(_details(error))) from None


def answer(
    model: WireModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the model as a JSON response."""
    body = model.model_dump_json()
    return Response(body, status, dict(headers or {}), content_type="application/json")


def no_content(headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with status 204."""
    response = Response(b"", 204)
    # RFC 9110, section 8.6: a 204 has no Content-Length; a Content-Type would describe nothing.
    response.headers.clear()
    response.headers.update(headers or {})
    return response


def parse_body(model: type[M], body: bytes) -> M:
    """Read JSON into `model`.

    Raises:
        Malformed: The body is missing or not JSON.
        Invalid: The body breaks the rules of the model.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    if not body and needs_body(model):
        raise Malformed("body_missing", "A JSON body is required.")
    try:
        return _read(model, body)
    except ValidationError as error:
        details = _details(error)
    if details[0]["type"] == "json_invalid":
        raise Malformed("invalid_json", f"The body is not valid JSON: {details[0]['msg']}.")
    raise Invalid("invalid_body", "Some fields are invalid.", _field_errors(details))


def _read(model: type[M], body: bytes) -> M:
    """Read JSON; one with lone surrogates, which pydantic refuses, is mended and read again."""
    try:
        return model.model_validate_json(body or b"{}", by_alias=True, by_name=False)
    except ValidationError as error:
        if _details(error)[0]["type"] != "json_invalid":
            raise
        try:
            mended = mended_json(body.decode())
        except UnicodeDecodeError:
            raise error from None
    return model.model_validate_json(mended, by_alias=True, by_name=False)


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False, include_input=False)


def _field_errors(details: Iterable[ErrorDetails]) -> list[FieldError]:
    return [
        {
            # The client chooses the names of unknown fields, at any length.
            "field": ".".join(str(part) for part in detail["loc"])[:MAX_NAME_CHARS] or "body",
            "message": detail["msg"].removeprefix("Value error, ")[:MAX_MESSAGE_CHARS],
        }
        for detail in list(details)[:MAX_ERRORS]
    ]


def _invalid_query(errors: Iterable[FieldError]) -> Invalid:
    return Invalid("invalid_query", "Some query parameters are invalid.", list(errors)[:MAX_ERRORS])


async def read_bytes() -> bytes:
    """Return the bytes of the request's body, which are read once.

    Raises:
        HTTPException: The body is late (408), too large (413) or compressed (415).
    """
    if "body" not in g:
        g.body = await _read_bytes()
    return bytes(g.body)


async def _read_bytes() -> bytes:
    if request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    body = bytearray()
    try:
        async with asyncio.timeout(request.body_timeout):
            async for chunk in request.body:
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise RequestEntityTooLarge
    except TimeoutError:
        raise RequestTimeout from None
    return bytes(body)
