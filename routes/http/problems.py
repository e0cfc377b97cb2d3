"""Answer every error over HTTP as an RFC 9457 `application/problem+json` document.

Invariants:

- One table maps the errors of the domain to statuses.
- An unexpected error is a 500. The client learns nothing of it; the log has everything but the
  requested address, which can hold a token or a user's id.
- No problem repeats a value that the client sent.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Literal

import structlog
from pydantic import Field
from quart import Quart, Response, has_request_context, has_websocket_context, request, websocket
from werkzeug.exceptions import HTTPException

from models.base.driver_errors import StorageUnavailable, translated
from models.base.errors import (
    Conflict,
    DomainError,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    PreconditionFailed,
    TooMany,
    Unauthorized,
    Unavailable,
)
from models.base.schema_types import WireModel
from routes.http.error_codes import CODES
from routes.http.request_metrics import route_of

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
REALM = 'Bearer realm="focusup"'

STATUS_OF: tuple[tuple[type[DomainError], int], ...] = (
    (Malformed, 400),
    (Unauthorized, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (PreconditionFailed, 412),
    (Invalid, 422),
    (TooMany, 429),
    (Unavailable, 503),
)

HTTP_CODES: Mapping[int, str] = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    500: "internal_error",
}
"""Codes of the errors that Quart and werkzeug raise, by status."""
KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")


class FieldProblem(WireModel):
    """An invalid field: its path in the body, and the reason."""

    field: str
    message: str


class Problem(WireModel):
    """An error (RFC 9457). Programs compare `code`, which is stable."""

    type: Annotated[Literal["about:blank"], Field(description="See `code` for the kind of error.")]
    title: Annotated[str, Field(description="The phrase of the HTTP status.")]
    status: int
    detail: Annotated[
        str, Field(description="A sentence for people. It may change; compare `code` instead.")
    ]
    code: Annotated[str, Field(description="The stable name of the error.")]
    # Omitted, not null, for errors that concern no single field.
    errors: Annotated[list[FieldProblem], Field(default_factory=list)]


def install_problems(app: Quart) -> None:
    """Answer every unhandled error of `app` as a problem."""
    app.register_error_handler(Exception, handle)


async def handle(error: Exception) -> Response | HTTPException:
    """Return the problem response for any error.

    A werkzeug error that carries its own response is returned as it is.
    """
    if isinstance(error, HTTPException):
        return _response_to(error)
    domain_error = _as_domain_error(error)
    if domain_error is None:
        log.error("request_failed", exc_info=error, **_request_context())
        return respond(500, *_code_and_detail(HTTP_CODES[500]))
    if isinstance(domain_error, StorageUnavailable):
        log.warning("database_unavailable", reason=type(error).__name__, **_request_context())
    return of_domain_error(domain_error)


def of_domain_error(error: DomainError) -> Response:
    """Return the problem response for an error of the domain."""
    status = next(status for kind, status in STATUS_OF if isinstance(error, kind))
    errors = list(error.errors) if isinstance(error, Invalid) else []
    return respond(
        status,
        error.code,
        error.message,
        errors=[FieldProblem(**field) for field in errors],
        headers=_headers_of(error),
    )


def _headers_of(error: DomainError) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        # RFC 6750, section 3.1: no error code when no token was sent.
        is_token_refused = error.code in {"token_invalid", "token_expired"}
        return {"WWW-Authenticate": REALM + ', error="invalid_token"' * is_token_refused}
    if isinstance(error, TooMany | Unavailable):
        return {"Retry-After": str(max(1, round(error.retry_after_s)))}
    return {}


def _response_to(error: HTTPException) -> Response | HTTPException:
    if error.code is None or error.response is not None:
        return error
    phrase = _phrase(error.code)
    name = phrase.lower().replace("'", "").replace(" ", "_")
    known = HTTP_CODES.get(error.code)
    code, detail = (name, f"{phrase}.") if known is None else _code_and_detail(known)
    headers = {name: value for name, value in error.get_headers() if name in KEPT_HEADERS}
    return respond(error.code, code, detail, headers=headers)


def _code_and_detail(code: str) -> tuple[str, str]:
    return code, CODES[code].meaning


def _as_domain_error(error: Exception) -> DomainError | None:
    if isinstance(error, DomainError):
        return error
    # An untranslated driver error: a database that is down is no bug of the server.
    try:
        with translated():
            raise error
    except StorageUnavailable as unavailable:
        return unavailable
    except Exception:
        return None


def respond(
    status: int,
    code: str,
    detail: str,
    *,
    errors: list[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem response."""
    problem = Problem(
        type="about:blank",
        title=_phrase(status),
        status=status,
        detail=detail,
        code=code,
        errors=errors or [],
    )
    body = problem.model_dump_json(exclude=None if errors else {"errors"})
    return Response(body, status, dict(headers or {}), content_type=MEDIA_TYPE)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _request_context() -> dict[str, str]:
    if has_request_context():
        return {"method": request.method, "route": route_of(request)}
    if has_websocket_context():
        return {"method": "WEBSOCKET", "route": route_of(websocket)}
    return {}
