"""Which visitor asks: by our cookie, or by the key that a front end keeps itself.

What must always hold: a key that is not ours counts as none, so nobody views as somebody
else; scripts of the page can't read the cookie, and over https it never leaves it.
"""

from typing import NamedTuple

from quart import Request, Websocket
from werkzeug.http import dump_cookie

from models.pageviews.visitors import VisitorKeys

COOKIE = "focusup_visitor"
HOST_PREFIX = "__Host-"
SECURE_PREFIX = "__Secure-"
MAX_AGE_S = 400 * 86_400
"""As long as browsers keep a cookie at most (RFC 6265bis, section 4.1.2.2)."""


class Presented(NamedTuple):
    """The visitor of a request: its key, and whether its browser keeps that for it."""

    visitor_id: str
    key: str
    by_cookie: bool


def presented_visitor(
    asked: Request | Websocket, keys: VisitorKeys, given: str | None = None
) -> Presented | None:
    """Who asks, by the cookie, else by the key `given` beside it; None for nobody known."""
    cookie = asked.cookies.get(_name(asked, secure=_is_secure(asked)))
    for key, by_cookie in ((cookie, True), (given, False)):
        visitor_id = keys.read(key)
        if key is not None and visitor_id is not None:
            return Presented(visitor_id, key, by_cookie)
    return None


def visitor_cookie(asked: Request | Websocket, key: str, *, max_age_s: int = MAX_AGE_S) -> str:
    """The value of `Set-Cookie` that makes the browser keep this key."""
    secure = _is_secure(asked)
    return dump_cookie(
        _name(asked, secure=secure),
        key,
        max_age=max_age_s,
        path=asked.root_path or "/",
        secure=secure,
        httponly=True,
        samesite="Lax",
    )


def _is_secure(asked: Request | Websocket) -> bool:
    forwarded = asked.headers.get("X-Forwarded-Proto", "")  # believed: it only makes it stricter
    return asked.scheme in ("https", "wss") or forwarded in ("https", "wss")


def _name(asked: Request | Websocket, *, secure: bool) -> str:
    """Over https no other host, not even a subdomain, can set a cookie of this name.

    Below a base path it is a cookie of that path, for which browsers have the weaker prefix.
    """
    if not secure:
        return COOKIE
    return (SECURE_PREFIX if asked.root_path else HOST_PREFIX) + COOKIE


def without_visitor(asked: Request) -> dict[str, str]:
    """Return the headers that make the browser forget its visitor.

    Who signs out leaves the browser to somebody else: in a school to the next pupil, whose
    page views are those of a new visitor.
    """
    return {"Set-Cookie": visitor_cookie(asked, "", max_age_s=0)}
