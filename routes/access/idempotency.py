"""Support `Idempotency-Key`: a request that is sent again takes effect once.

Invariants:

- A request without the header behaves as usual, and nothing is stored for it.
- An answer with a secret (a token, a visitor's key) is not stored: handlers that return one are
  not `repeatable`.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec

from bson import ObjectId
from quart import Response, g, request
from werkzeug.exceptions import HTTPException

from models.accounts.idempotency_keys import Answer, Claimed, Request, fingerprint
from models.base.driver_errors import StatementRefused, StorageUnavailable, translated
from models.base.errors import Conflict, DomainError, FieldError, Invalid, Unavailable
from routes.access.authentication import identity_if_any
from routes.http.bodies import read_bytes
from routes.http.client_address import network_of
from routes.http.error_codes import document_problems
from routes.http.services import services

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
KEY = re.compile(r"[!-~]{1,255}")
PARAMETER: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": (
        "Makes the request safe to retry: for 24 hours the same key, path and body return the "
        "response of the first success, marked `Idempotent-Replayed: true`. Use a new random key "
        "for each new request."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
}
REPEATABLE = "focusup_repeatable"
PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Pauses between checks whether another request with the same key has finished."""

P = ParamSpec("P")
Handler = Callable[P, Awaitable[Response]]


def repeatable(handler: Handler[P]) -> Handler[P]:
    """Run the handler once for all requests with the same key.

    The handler stores what it creates under the id `reserved_id()`.
    """

    @wraps(handler)
    async def once(*args: P.args, **kwargs: P.kwargs) -> Response:
        key = _requested_key()
        if key is None:
            return await handler(*args, **kwargs)
        claimed = await _claim(await _request_of(key))
        if isinstance(claimed, Answer):
            return _replay(claimed)
        g.reserved_id = claimed.makes
        try:
            response = await handler(*args, **kwargs)
        except Exception as error:
            with suppress(StorageUnavailable, StatementRefused), translated():
                await services().access.idempotency_keys.release(
                    claimed, services().now(), refused=_is_refusal(error)
                )
            raise
        await _remember(claimed, response)
        return response

    setattr(once, REPEATABLE, True)
    codes = ("invalid_header", "idempotency_key_reused", "idempotency_in_progress")
    return document_problems(*codes)(once)


def reserved_id() -> ObjectId | None:
    """Return the id for what this request creates; None without a key."""
    reserved: ObjectId | None = g.get("reserved_id")
    return reserved


def _requested_key() -> str | None:
    values = request.headers.getlist(HEADER)
    if not values:
        return None
    if len(values) > 1 or not KEY.fullmatch(values[0]):
        message = f"{HEADER} must be 1 to 255 visible ASCII characters, sent once."
        raise Invalid("invalid_header", message, [FieldError(field=HEADER, message=message)])
    return values[0]


async def _request_of(key: str) -> Request:
    user = g.get("identity") or await identity_if_any()
    if user is None:
        scope = f"address {network_of(services().reporting.proxies.client_of(request))}"
    else:
        scope = f"user {user.user_id}"
    content = fingerprint(request.method, request.full_path, await read_bytes())
    return Request(scope, None if user is None else user.user_id, key, content)


async def _claim(keyed_request: Request) -> Claimed | Answer:
    for pause_s in (*PAUSES_S, None):
        claimed = await services().access.idempotency_keys.claim(keyed_request, services().now())
        if claimed is not None:
            return claimed
        if pause_s is not None:
            await asyncio.sleep(pause_s)
    raise Conflict(
        "idempotency_in_progress",
        "A request with this Idempotency-Key is still in progress. Try again in a moment.",
    )


async def _remember(claimed: Claimed, response: Response) -> None:
    body = (await response.get_data(as_text=False)).decode()
    answer = Answer(response.status_code, body, response.headers.get("Location"))
    # If this fails, a retry finds what was created by its reserved id.
    with suppress(StorageUnavailable, StatementRefused), translated():
        await services().access.idempotency_keys.remember(claimed, answer, services().now())


def _replay(answer: Answer) -> Response:
    response = Response(answer.body, answer.status, content_type="application/json")
    if not answer.body:
        response.headers.clear()
    if answer.location is not None:
        response.headers["Location"] = answer.location
    response.headers[REPLAYED_HEADER] = "true"
    return response


def _is_refusal(error: Exception) -> bool:
    """Return whether the request had no effect, and would have none if it were sent again."""
    if isinstance(error, HTTPException):
        return error.code is not None and error.code < 500
    return isinstance(error, DomainError) and not isinstance(error, Unavailable)
