"""Support `ETag` and `If-Match`: apply a change only to the version that the client has seen.

Invariants:

- Without `If-Match` every version matches.
- A tag that a compressing proxy weakened or gave a suffix still matches.
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
        "The `ETag` of the version you loaded. If it was changed since, the request fails with "
        "412 `changed_meanwhile`. Time counted while a session is tracked does not change the tag."
    ),
    "schema": {"type": "string"},
    "example": '"5d41402abc4b2a76b9719d91"',
}
CONDITIONAL = "focusup_conditional"
COMPRESSED = re.compile(r"[-;](gzip|br|zstd)\Z")
"""The suffix that proxies such as Apache append to the tag of an answer that they compress."""

P = ParamSpec("P")
Handler = Callable[P, Awaitable[Response]]


def conditional(handler: Handler[P]) -> Handler[P]:
    """Document that the handler checks `If-Match` (`expected`)."""
    setattr(handler, CONDITIONAL, True)
    return document_problems("changed_meanwhile")(handler)


def expected() -> Expected:
    """Return the versions that `If-Match` names; any version without the header."""
    if "If-Match" not in request.headers:
        return ANY
    tags = parse_etags(", ".join(request.headers.getlist("If-Match")))
    if tags.star_tag:
        return ANY
    return Expected(frozenset(COMPRESSED.sub("", tag) for tag in tags.as_set(include_weak=True)))


def etag(value: WireModel) -> dict[str, str]:
    """Return the `ETag` header of a session, settings or goals."""
    tag = session_tag(value) if isinstance(value, SessionView) else tag_of(value)
    return {"ETag": f'"{tag}"'}
