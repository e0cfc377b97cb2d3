"""What comes in and goes out: JSON bodies and query strings, into and out of models.

What must always hold: whatever the bytes, reading ends in a model or in a 4xx problem;
no more than the limit is ever held; nothing that was sent is repeated in the answer but
the names of unknown fields. A body is read as JSON whatever its Content-Type says, since
`curl -d` calls everything a form; no cookie signs anyone in, so nothing is gained by
forging such a request from another site. Of a repeated member of an object the last
counts, as in every browser; a lone surrogate becomes U+FFFD, and a byte order mark nothing.
Compressed bodies are refused: they can be as large as they like.
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
"""Shorter than a request may take, so that it is told why it ended."""
MAX_ERRORS = 20
MAX_NAME_CHARS = 100
MAX_MESSAGE_CHARS = 300

M = TypeVar("M", bound=WireModel)


class NoContent(WireModel):
    """An answer with status 204, which has no body."""


def install_limits(app: Quart) -> None:
    """Let Quart itself stop collecting a body at the limit, read or not, and wait no longer."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["BODY_TIMEOUT"] = BODY_WITHIN_S


async def read_body(model: type[M]) -> M:
    """The body of the request; raises Malformed, Invalid, or werkzeug's 408 and 413."""
    return parse_body(model, await read_bytes())


def needs_body(model: type[WireModel]) -> bool:
    """Whether a body must be sent: where no field is required, none stands for `{}`, but for a
    change, of which nothing would remain."""
    return issubclass(model, Change) or any(
        field.is_required() for field in model.model_fields.values()
    )


def read_query(model: type[M]) -> M:
    """The query string, each parameter known and given once; raises Invalid."""
    given = request.args
    repeated = [name for name in given if len(given.getlist(name)) > 1]
    if repeated:
        message = "must be given once"
        raise _invalid_query({"field": name, "message": message} for name in repeated)
    try:
        return model.model_validate_strings(given.to_dict(), by_alias=True, by_name=False)
    except ValidationError as error:
        raise _invalid_query(_listed(_details(error))) from None


def answer(
    model: WireModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON response."""
    body = model.model_dump_json()
    return Response(body, status, dict(headers or {}), content_type="application/json")


def no_content(headers: Mapping[str, str] | None = None) -> Response:
    """A 204."""
    response = Response(b"", 204)
    # RFC 9110, section 8.6: no length where there is no content; nor has it a type.
    response.headers.clear()
    response.headers.update(headers or {})
    return response


def parse_body(model: type[M], body: bytes) -> M:
    """Read JSON; raises Malformed when it is none, Invalid when it is not this model's."""
    body = body.removeprefix(codecs.BOM_UTF8)
    if not body and needs_body(model):
        raise Malformed("body_missing", "A JSON object is needed as the body.")
    try:
        return _read(model, body)
    except ValidationError as error:
        details = _details(error)
    if details[0]["type"] == "json_invalid":
        raise Malformed("invalid_json", f"The body is refused: {details[0]['msg']}.")
    raise Invalid("invalid_body", "The body breaks the rules named in errors.", _listed(details))


def _read(model: type[M], body: bytes) -> M:
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


def _listed(details: Iterable[ErrorDetails]) -> list[FieldError]:
    return [
        {
            # Names of unknown fields come from outside, and may be of any length.
            "field": ".".join(str(part) for part in found["loc"])[:MAX_NAME_CHARS] or "body",
            "message": found["msg"].removeprefix("Value error, ")[:MAX_MESSAGE_CHARS],
        }
        for found in list(details)[:MAX_ERRORS]
    ]


def _invalid_query(errors: Iterable[FieldError]) -> Invalid:
    message = "The query string breaks the rules named in errors."
    return Invalid("invalid_query", message, list(errors)[:MAX_ERRORS])


async def read_bytes() -> bytes:
    """The body of the request as it came; raises werkzeug's 408, 413 and 415."""
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
