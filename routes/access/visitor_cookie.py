"""Identify the visitor of a request by the cookie, or by a key that the front end keeps.

Invariants:

- A key that this server did not sign is ignored, so no client can pose as another visitor.
- Scripts of the page cannot read the cookie; one set over https is never sent over http.
"""

from typing import NamedTuple

from quart import Request, Websocket
from werkzeug.http import dump_cookie

from models.pageviews.visitors import VisitorKeys

COOKIE = "focusup_visitor"
HOST_PREFIX = "__Host-"
SECURE_PREFIX = "__Secure-"
MAX_AGE_S = 400 * 86_400
"""The longest lifetime that browsers accept (RFC 6265bis, section 4.1.2.2)."""


class Presented(NamedTuple):
    """The visitor of a request; `by_cookie` tells whether the key came in the cookie."""

    visitor_id: str
    key: str
    by_cookie: bool


def presented_visitor(
    incoming: Request | Websocket, keys: VisitorKeys, from_client: str | None = None
) -> Presented | None:
    """Return the visitor of the cookie, else of the key `from_client`; None if neither is valid."""
    cookie = incoming.cookies.get(_name(incoming, secure=_is_secure(incoming)))
    for key, by_cookie in ((cookie, True), (from_client, False)):
        visitor_id = keys.read(key)
        if key is not None and visitor_id is not None:
            return Presented(visitor_id, key, by_cookie)
    return None


def visitor_cookie(incoming: Request | Websocket, key: str, *, max_age_s: int = MAX_AGE_S) -> str:
    """Return the value of `Set-Cookie` that stores this key."""
    secure = _is_secure(incoming)
    return dump_cookie(
        _name(incoming, secure=secure),
        key,
        max_age=max_age_s,
        path=incoming.root_path or "/",
        secure=secure,
        httponly=True,
        samesite="Lax",
    )


def _is_secure(incoming: Request | Websocket) -> bool:
    forwarded = incoming.headers.get(
        "X-Forwarded-Proto", ""
    )  # any client may set it: it can only make the cookie stricter
    return incoming.scheme in ("https", "wss") or forwarded in ("https", "wss")


def _name(incoming: Request | Websocket, *, secure: bool) -> str:
    """Return the name; with its prefix, no other host can set the cookie over https.

    `__Host-` requires the path `/`, so below a base path the name has the weaker `__Secure-`.
    """
    if not secure:
        return COOKIE
    return (SECURE_PREFIX if incoming.root_path else HOST_PREFIX) + COOKIE


def visitor_cookie_removal(incoming: Request) -> dict[str, str]:
    """Return the headers that delete the visitor cookie.

    After signing out, the next user of a shared browser is a new visitor.
    """
    return {"Set-Cookie": visitor_cookie(incoming, "", max_age_s=0)}
