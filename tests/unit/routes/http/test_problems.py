"""Every error is a problem, says enough, and not too much."""

import json
from typing import Any

import pytest
import structlog
from pydantic import ValidationError
from pymongo.errors import (
    AutoReconnect,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
)
from quart import Quart, Response, abort
from werkzeug import exceptions

from models.base.errors import (
    Busy,
    Conflict,
    DomainError,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    StorageUnavailable,
    Unauthorized,
    Unavailable,
)
from models.base.schema_types import WireModel
from routes.http.problems import install_problems

SECRET = "hunter2-do-not-tell"


class Body(WireModel):
    number: int


def broken_document() -> Exception:
    try:
        Body.model_validate({"number": SECRET})
    except ValidationError as error:
        return error
    raise AssertionError


async def problem_of(error: Exception, **request: Any) -> tuple[Response, dict[str, Any]]:
    app = Quart("test", static_folder=None)
    install_problems(app)

    @app.get("/fail")
    async def fail() -> str:
        raise error

    response = await app.test_client().get("/fail", **request)
    assert response.content_type == "application/problem+json"
    body = json.loads(await response.get_data())
    assert body["type"] == "about:blank"
    assert body["status"] == response.status_code
    assert body["title"]
    assert body["detail"]
    return response, body


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Malformed("invalid_json", "No."), 400, "invalid_json"),
        (Unauthorized("token_missing", "No."), 401, "token_missing"),
        (Forbidden(), 403, "forbidden"),
        (NotFound("session_not_found", "No."), 404, "session_not_found"),
        (Conflict("session_tracked", "No."), 409, "session_tracked"),
        (Invalid("counters_inconsistent", "No."), 422, "counters_inconsistent"),
        (Unavailable("overloaded", "No."), 503, "overloaded"),
        (Busy("busy", "No."), 503, "busy"),
        (StorageUnavailable(), 503, "database_unavailable"),
        (StorageUnavailable("contended", "No."), 503, "contended"),
        (ServerSelectionTimeoutError(SECRET), 503, "database_unavailable"),
        (AutoReconnect(SECRET), 503, "database_unavailable"),
        (NetworkTimeout(SECRET), 503, "database_unavailable"),
        (NotPrimaryError(SECRET), 503, "database_unavailable"),
        (ExecutionTimeout(SECRET), 503, "database_unavailable"),
        (OperationFailure(SECRET, 2), 500, "internal_error"),
        (RuntimeError(SECRET), 500, "internal_error"),
        (broken_document(), 500, "internal_error"),
        (exceptions.NotFound(SECRET), 404, "not_found"),
        (exceptions.RequestEntityTooLarge(SECRET), 413, "body_too_large"),
        (exceptions.UnsupportedMediaType(SECRET), 415, "unsupported_media_type"),
        (exceptions.RequestTimeout(SECRET), 408, "request_timeout"),
        (exceptions.BadRequest(SECRET), 400, "bad_request"),
        (exceptions.BadRequestKeyError(SECRET), 400, "bad_request"),
        (exceptions.Gone(SECRET), 410, "gone"),
        (exceptions.ImATeapot(SECRET), 418, "im_a_teapot"),
        (exceptions.InternalServerError(SECRET), 500, "internal_error"),
        (exceptions.ServiceUnavailable(SECRET), 503, "service_unavailable"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_the_table(error: Exception, status: int, code: str) -> None:
    response, body = await problem_of(error)
    assert (response.status_code, body["code"]) == (status, code)
    assert SECRET not in json.dumps(body)
    assert "errors" not in body
    assert ("WWW-Authenticate" in response.headers) == (status == 401)
    if isinstance(error, DomainError):
        assert body["detail"] == error.message
        assert ("Retry-After" in response.headers) == (status == 503)


def all_kinds(kind: type[DomainError]) -> set[type[DomainError]]:
    return {kind}.union(*(all_kinds(child) for child in kind.__subclasses__()))


def test_every_kind_of_domain_error_has_a_status() -> None:
    from routes.http.problems import STATUS_OF

    mapped = tuple(kind for kind, _ in STATUS_OF)
    assert all(issubclass(kind, mapped) for kind in all_kinds(DomainError) - {DomainError})


async def test_fields_are_named() -> None:
    errors = [{"field": "tags.3", "message": "too long"}]
    _, body = await problem_of(Invalid("invalid_body", "No.", errors))  # type: ignore[arg-type]
    assert body["errors"] == errors


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (1.0, "1"), (2.6, "3"), (90, "90")])
async def test_retry_after_is_whole_seconds(seconds: float, header: str) -> None:
    response, _ = await problem_of(StorageUnavailable(retry_after_s=seconds))
    assert response.headers["Retry-After"] == header


@pytest.mark.parametrize("code", ["token_invalid", "token_expired"])
async def test_a_bad_token_is_called_one(code: str) -> None:
    response, _ = await problem_of(Unauthorized(code, "No."))
    assert response.headers["WWW-Authenticate"].endswith(', error="invalid_token"')


async def test_the_headers_of_an_http_error_stay() -> None:
    response, _ = await problem_of(exceptions.TooManyRequests(retry_after=7))
    assert response.headers["Retry-After"] == "7"
    response, _ = await problem_of(exceptions.MethodNotAllowed(["GET", "PUT"]))
    assert response.headers["Allow"] == "GET, PUT"


async def test_an_unexpected_error_is_logged_whole_but_for_the_address() -> None:
    error = RuntimeError("what happened")
    with structlog.testing.capture_logs() as logs:
        await problem_of(error, query_string={"token": SECRET})
    assert logs == [
        {
            "event": "request_failed",
            "log_level": "error",
            "exc_info": error,
            "method": "GET",
            "route": "/fail",
        }
    ]


async def test_a_silent_database_is_a_warning_and_a_clients_mistake_is_nothing() -> None:
    with structlog.testing.capture_logs() as logs:
        await problem_of(AutoReconnect("gone"))
        await problem_of(NotFound("session_not_found", "No."))
        await problem_of(exceptions.NotFound())
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("database_unavailable", "warning")
    ]


async def test_a_ready_made_response_is_left_alone() -> None:
    app = Quart("test", static_folder=None)
    install_problems(app)

    @app.get("/fail")
    async def fail() -> str:
        abort(Response("as it is", 418))

    response = await app.test_client().get("/fail")
    assert await response.get_data() == b"as it is"


async def test_unknown_addresses_and_methods_are_problems() -> None:
    app = Quart("test", static_folder=None)
    install_problems(app)
    app.add_url_rule("/here", view_func=lambda: "here")
    client = app.test_client()
    missing = await client.get(f"/{SECRET}")
    wrong = await client.delete("/here")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert SECRET.encode() not in await missing.get_data()
    assert set(wrong.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
