"""The header `Idempotency-Key`: a request that may be sent again, and is carried out once.

Invariants:

- without the header nothing is different, and nothing is stored;
- an answer that holds a secret (a token, the key of a visitor) is never remembered: handlers
  that give one are not `repeatable`.
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
        "Makes the request safe to send again: within 24 hours the same key, path and body get "
        "the answer of the first success, marked `Idempotent-Replayed: true`. Use a new random "
        "key for each thing to make."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
}
REPEATABLE = "focusup_repeatable"
PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Between looks for the answer of a request that is under way elsewhere."""

P = ParamSpec("P")
Handler = Callable[P, Awaitable[Response]]


def repeatable(handler: Handler[P]) -> Handler[P]:
    """Carry requests with the same key out once. The handler makes what it makes under the
    id `reserved_id()`."""

    @wraps(handler)
    async def once(*args: P.args, **kwargs: P.kwargs) -> Response:
        key = _key()
        if key is None:
            return await handler(*args, **kwargs)
        claimed = await _claimed(await _asked(key))
        if isinstance(claimed, Answer):
            return _replayed(claimed)
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
    """The id of what this request makes; None where it came without a key."""
    found: ObjectId | None = g.get("reserved_id")
    return found


def _key() -> str | None:
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not KEY.fullmatch(given[0]):
        message = f"{HEADER} must be 1 to 255 visible ASCII characters, given once."
        raise Invalid("invalid_header", message, [FieldError(field=HEADER, message=message)])
    return given[0]


async def _asked(key: str) -> Request:
    who = g.get("identity") or await identity_if_any()
    if who is None:
        scope = f"address {network_of(services().reporting.proxies.client_of(request))}"
    else:
        scope = f"user {who.user_id}"
    asked = fingerprint(request.method, request.full_path, await read_bytes())
    return Request(scope, None if who is None else who.user_id, key, asked)


async def _claimed(asked: Request) -> Claimed | Answer:
    for pause_s in (*PAUSES_S, None):
        found = await services().access.idempotency_keys.claim(asked, services().now())
        if found is not None:
            return found
        if pause_s is not None:
            await asyncio.sleep(pause_s)
    raise Conflict(
        "idempotency_in_progress", "The request with this key is under way; try again shortly."
    )


async def _remember(claimed: Claimed, response: Response) -> None:
    body = (await response.get_data(as_text=False)).decode()
    answer = Answer(response.status_code, body, response.headers.get("Location"))
    # If that fails, what was made is found by its id when the request comes again.
    with suppress(StorageUnavailable, StatementRefused), translated():
        await services().access.idempotency_keys.remember(claimed, answer, services().now())


def _replayed(answer: Answer) -> Response:
    response = Response(answer.body, answer.status, content_type="application/json")
    if not answer.body:
        response.headers.clear()
    if answer.location is not None:
        response.headers["Location"] = answer.location
    response.headers[REPLAYED_HEADER] = "true"
    return response


def _is_refusal(error: Exception) -> bool:
    """Whether nothing was done, and would not be if the same came again."""
    if isinstance(error, HTTPException):
        return error.code is not None and error.code < 500
    return isinstance(error, DomainError) and not isinstance(error, Unavailable)
