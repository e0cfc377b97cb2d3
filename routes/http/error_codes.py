"""Every `code` of an error, in one table, for both documents (OpenAPI and AsyncAPI).

What must always hold: a code that the source raises is here, with the status that it has
over REST, and no other is (a test compares them); a code never changes its meaning.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
ATTRIBUTE = "problem_codes"


class Code(NamedTuple):
    """`status` is what it is over REST; None for what only sockets say."""

    status: int | None
    meaning: str


CODES: Mapping[str, Code] = {
    "bad_request": Code(400, "The request cannot be read."),
    "body_missing": Code(400, "A JSON object is needed as the body."),
    "invalid_json": Code(400, "The body is no JSON."),
    "invalid_credentials": Code(401, "The e-mail address or password is wrong."),
    "refresh_token_invalid": Code(401, "The refresh token is unknown, used or expired."),
    "token_missing": Code(401, "A bearer token is needed."),
    "token_invalid": Code(401, "The token is refused."),
    "token_expired": Code(401, "The token has expired."),
    "metrics_private": Code(403, "The figures are for this machine, or for METRICS_TOKEN."),
    "account_locked": Code(403, "The account is locked; ask the operator of this server."),
    "admin_only": Code(403, "Only an admin may do this."),
    "origin_not_allowed": Code(403, "Pages of this origin may not do this."),
    "password_wrong": Code(403, "The password of the account is needed."),
    "account_not_found": Code(404, "The user has no account here."),
    "coefficient_not_found": Code(404, "There is no coefficient of this pattern."),
    "not_found": Code(404, "There is nothing at this address."),
    "not_started": Code(404, "Nothing is tracked on this connection: `start`, or `view`, first."),
    "run_not_found": Code(404, "No run of the session began at this time."),
    "session_not_found": Code(404, "There is no such session, or it is somebody else's."),
    "visitor_not_found": Code(404, "There is no such visitor, or it is somebody else."),
    "method_not_allowed": Code(405, "This address does not know the method; see Allow."),
    "request_timeout": Code(408, "The body did not arrive in time."),
    "already_tracking": Code(409, "This connection tracks another session: stop that first."),
    "email_taken": Code(409, "There is an account with this e-mail address."),
    "idempotency_in_progress": Code(
        409, "The request with this Idempotency-Key is under way; try again shortly."
    ),
    "not_a_beacon": Code(409, "This view is counted over a socket."),
    "run_not_reassignable": Code(409, "The run is active or paused, or too short."),
    "session_ended": Code(409, "The session has ended, perhaps with another status."),
    "session_not_ended": Code(409, "Only a session that has ended can be corrected."),
    "session_tracked": Code(409, "Counters can't be set while a client tracks the session."),
    "superseded": Code(409, "The session is tracked elsewhere now."),
    "too_many_changes": Code(409, "Goals were changed on too many days."),
    "too_many_edits": Code(409, "A session can be edited so many times only."),
    "too_many_patterns": Code(409, "There are too many patterns already."),
    "changed_meanwhile": Code(412, "It was changed since the version that If-Match names."),
    "body_too_large": Code(413, "The body is too large."),
    "unsupported_media_type": Code(415, "The body is compressed; send it as it is."),
    "counters_inconsistent": Code(422, "elapsedSeconds must be activeSeconds + idleSeconds."),
    "idempotency_key_reused": Code(422, "The Idempotency-Key was used for another request."),
    "invalid_header": Code(422, "A header breaks the rules named in errors."),
    "invalid_body": Code(422, "The body breaks the rules named in errors."),
    "invalid_query": Code(422, "The query string breaks the rules named in errors."),
    "password_too_common": Code(422, "The password is too easy to guess; choose another one."),
    "upgrade_required": Code(426, "This is a WebSocket: connect to it with ws:// or wss://."),
    "too_many_attempts": Code(429, "Too many attempts; see Retry-After."),
    "too_many_views": Code(429, "Too many views begin on one connection or at one address."),
    "too_much_stored": Code(429, "An address, or all together, made the server store too much."),
    "too_many_requests": Code(429, "Too many requests; see Retry-After."),
    "internal_error": Code(500, "Something went wrong on our side; it has been logged."),
    "busy": Code(503, "Too many people are signing in; try again shortly."),
    "contended": Code(503, "It is being changed elsewhere; try again."),
    "database_unavailable": Code(503, "The database does not answer; try again shortly."),
    "leaving": Code(503, "Removing everything takes a while, and goes on by itself."),
    "restarting": Code(503, "The server restarts."),
    "too_busy": Code(503, "There is too much of this kind to do; try again shortly."),
    "invalid_message": Code(None, "The text is no message, or breaks a rule."),
    "unknown_type": Code(None, "There is no message of this type."),
    "wrong_subject": Code(None, "The token is for somebody else; the connection is closed."),
}

OF_EVERY = ("internal_error", "database_unavailable")
OF_WHAT_IS_COUNTED = ("too_many_requests",)
OF_A_BUDGET = ("too_much_stored",)
OF_A_VIEW = ("too_many_views", *OF_A_BUDGET)
OF_A_BODY = (
    *("invalid_json", "request_timeout", "body_too_large", "unsupported_media_type"),
    "invalid_body",
)
OF_A_NEEDED_BODY = ("body_missing",)
OF_WRITING = ("origin_not_allowed",)
OF_A_QUERY = ("invalid_query",)
OF_A_PATH = ("not_found",)
OF_A_TOKEN = ("token_missing", "token_invalid", "token_expired")
OF_THE_MACHINERY = (*("bad_request", "method_not_allowed", "upgrade_required"),)
"""Of requests that reach none of the operations."""


def document_problems(*codes: str) -> Callable[[F], F]:
    """Document the problems that are special to a handler; `routes.docs.openapi` adds those that
    are common to its kind."""

    def decorate(handler: F) -> F:
        setattr(handler, ATTRIBUTE, (*problems_of(handler), *codes))
        return handler

    return decorate


def problems_of(handler: Callable[..., Any]) -> tuple[str, ...]:
    """What was documented of the handler."""
    codes: tuple[str, ...] = getattr(handler, ATTRIBUTE, ())
    return codes
