"""Define every error `code` in one table, for the OpenAPI and the AsyncAPI document.

Invariants:

- The table holds each code that the source raises, with its status over REST, and no other code
  (a test compares them).
- A code never changes its meaning.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
ATTRIBUTE = "problem_codes"


class Code(NamedTuple):
    """The status of an error over REST and its sentence for people.

    `status` is None for the codes that only the sockets send.
    """

    status: int | None
    meaning: str


CODES: Mapping[str, Code] = {
    "bad_request": Code(400, "The request could not be understood."),
    "body_missing": Code(400, "A JSON body is required."),
    "invalid_json": Code(400, "The body is not valid JSON."),
    "invalid_credentials": Code(401, "The e-mail address or password is wrong."),
    "refresh_token_invalid": Code(
        401, "The refresh token is invalid or has expired. Sign in again."
    ),
    "token_missing": Code(401, "A bearer token is required."),
    "token_invalid": Code(401, "The token is invalid. Sign in again."),
    "token_expired": Code(401, "The token has expired."),
    "metrics_private": Code(
        403, "Metrics are private. Set METRICS_TOKEN to read them from another machine."
    ),
    "account_locked": Code(403, "This account is locked. Contact the server operator."),
    "admin_only": Code(403, "Admin access is required."),
    "origin_not_allowed": Code(403, "Requests from this origin are not allowed."),
    "password_wrong": Code(403, "The current password is missing or wrong."),
    "account_not_found": Code(404, "This user has no account on this server."),
    "coefficient_not_found": Code(404, "This pattern has no coefficient."),
    "not_found": Code(404, "Not found. Check the address."),
    "not_started": Code(
        404, "Nothing is being tracked on this connection. Send `start` or `view` first."
    ),
    "run_not_found": Code(404, "No segment of this session starts at this time."),
    "session_not_found": Code(404, "Session not found."),
    "visitor_not_found": Code(404, "Visitor not found."),
    "method_not_allowed": Code(405, "This method is not allowed. See the Allow header."),
    "request_timeout": Code(408, "The request body took too long to arrive."),
    "already_tracking": Code(
        409, "This connection is already tracking another session. Stop it first."
    ),
    "email_taken": Code(409, "An account with this e-mail address already exists."),
    "idempotency_in_progress": Code(
        409, "A request with this Idempotency-Key is still in progress. Try again in a moment."
    ),
    "not_a_beacon": Code(409, "This view is tracked over a WebSocket, not by beacons."),
    "run_not_reassignable": Code(
        409, "Only idle or away segments of at least a second can be marked as active."
    ),
    "session_ended": Code(409, "This session has already ended."),
    "session_not_ended": Code(409, "This session is still running. End it first."),
    "session_tracked": Code(409, "Counters can't be changed while the session is being tracked."),
    "superseded": Code(409, "This session is now active on another device."),
    "too_many_changes": Code(409, "Goals were changed on too many days."),
    "too_many_edits": Code(409, "This session has reached its limit of edits."),
    "too_many_patterns": Code(409, "The limit of patterns is reached. Delete one first."),
    "changed_meanwhile": Code(412, "This was changed in the meantime. Reload it and try again."),
    "body_too_large": Code(413, "The request body is too large."),
    "unsupported_media_type": Code(
        415, "Compressed bodies are not supported. Send the body uncompressed."
    ),
    "counters_inconsistent": Code(422, "elapsedSeconds must equal activeSeconds + idleSeconds."),
    "idempotency_key_reused": Code(
        422, "This Idempotency-Key was already used for another request."
    ),
    "invalid_header": Code(422, "Some headers are invalid."),
    "invalid_body": Code(422, "Some fields are invalid."),
    "invalid_query": Code(422, "Some query parameters are invalid."),
    "password_too_common": Code(422, "This password is too easy to guess. Choose another one."),
    "upgrade_required": Code(426, "This is a WebSocket address. Connect with ws:// or wss://."),
    "too_many_attempts": Code(429, "Too many attempts. Try again later."),
    "too_many_views": Code(429, "Too many page views started. Try again in a moment."),
    "too_much_stored": Code(429, "The storage limit is reached. Try again later."),
    "too_many_requests": Code(429, "Too many requests. Try again in a moment."),
    "internal_error": Code(500, "Something went wrong on the server. The error has been logged."),
    "busy": Code(503, "Too many people are signing in. Try again in a moment."),
    "contended": Code(503, "Another request is changing the same data. Try again in a moment."),
    "database_unavailable": Code(503, "The database is not responding. Try again in a moment."),
    "leaving": Code(
        503, "The account is being deleted. This can take a moment and needs no further request."
    ),
    "restarting": Code(503, "The server is restarting. Try again in a moment."),
    "too_busy": Code(503, "The server is busy. Try again in a moment."),
    "invalid_message": Code(None, "The message is not valid JSON, or some fields are invalid."),
    "unknown_type": Code(None, "There is no message of this type."),
    "wrong_subject": Code(None, "The token belongs to another user. The connection is closed."),
}

COMMON_CODES = ("internal_error", "database_unavailable")
RATE_LIMIT_CODES = ("too_many_requests",)
BUDGET_CODES = ("too_much_stored",)
VIEW_CODES = ("too_many_views", *BUDGET_CODES)
BODY_CODES = (
    *("invalid_json", "request_timeout", "body_too_large", "unsupported_media_type"),
    "invalid_body",
)
REQUIRED_BODY_CODES = ("body_missing",)
WRITE_CODES = ("origin_not_allowed",)
QUERY_CODES = ("invalid_query",)
PATH_CODES = ("not_found",)
TOKEN_CODES = ("token_missing", "token_invalid", "token_expired")
UNROUTED_CODES = ("bad_request", "method_not_allowed", "upgrade_required")
"""Codes of requests that reach no operation."""


def document_problems(*codes: str) -> Callable[[F], F]:
    """Document the problems that are specific to a handler.

    `routes.docs.openapi` adds the problems that all operations of its kind share.
    """

    def decorate(handler: F) -> F:
        setattr(handler, ATTRIBUTE, (*problems_of(handler), *codes))
        return handler

    return decorate


def problems_of(handler: Callable[..., Any]) -> tuple[str, ...]:
    """Return the codes that `document_problems` recorded for the handler."""
    codes: tuple[str, ...] = getattr(handler, ATTRIBUTE, ())
    return codes
