"""The headers `ETag` and `If-Match`: a change that is made to what its client has seen.

Invariants: without `If-Match` nothing is different; a tag that is weak, or has an end of its
own, because a proxy has compressed the answer is the tag.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec

from quart import Response, request
from werkzeug.http import parse_etags

from models.base.schema_types import WireModel
from models.sessions.entity_tags import ANY, Expected, session_tag, tag_of
from models.sessions.session import SessionView
from routes.http.error_codes import document_problems

PARAMETER: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": (
        "The `ETag` of what was seen: the change is made only if nobody has changed it since "
        "(412 `changed_meanwhile`). What is counted while a session is tracked is no change."
    ),
    "schema": {"type": "string"},
    "example": '"5d41402abc4b2a76b9719d91"',
}
CONDITIONAL = "focusup_conditional"
COMPRESSED = re.compile(r"[-;](gzip|br|zstd)\Z")
"""What proxies such as Apache's append to the tag of an answer that they compress."""

P = ParamSpec("P")
Handler = Callable[P, Awaitable[Response]]


def conditional(handler: Handler[P]) -> Handler[P]:
    """Document that the handler heeds `If-Match` (`expected`)."""
    setattr(handler, CONDITIONAL, True)
    return document_problems("changed_meanwhile")(handler)


def expected() -> Expected:
    """Return the versions that the request names; any without the header."""
    if "If-Match" not in request.headers:
        return ANY
    found = parse_etags(", ".join(request.headers.getlist("If-Match")))
    if found.star_tag:
        return ANY
    return Expected(frozenset(COMPRESSED.sub("", tag) for tag in found.as_set(include_weak=True)))


def etag(value: WireModel) -> dict[str, str]:
    """Return the header with the tag of a session, settings or goals."""
    tag = session_tag(value) if isinstance(value, SessionView) else tag_of(value)
    return {"ETag": f'"{tag}"'}
