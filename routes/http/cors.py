"""Decide which web pages may use this server: one rule for CORS, sockets and writing requests.

Invariants:

- An origin is compared whole, so a lookalike that only begins or ends like an allowed one is
  refused, and so is `null`.
- A page that this server itself served may always connect, under any name of the server.
- The origin of a writing request is checked before anything else, since browsers send some of
  them without a preflight (`text/plain`).
- A client that sends neither `Origin` nor `Sec-Fetch-Site` is no browser; its token alone decides.
"""

import re
from collections.abc import Iterable

from quart import Quart, Request, Websocket, request
from quart_cors import cors

from models.base.errors import Forbidden
from routes.http.client_address import TrustedProxies
from routes.http.origin_names import normalised_origin

LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?\Z")
"""The default when `ALLOWED_ORIGINS` is empty: pages of this machine, on any port."""
METHODS = ("GET", "POST", "PUT", "DELETE")
READING = frozenset({"GET", "HEAD", "OPTIONS"})
REQUEST_HEADERS = ("*",)
"""All headers are allowed, each by the name that the preflight asks for.

A literal `*` would not cover `Authorization`. Tracing libraries add vendor headers to every request
of a page, and none of them grants any right: the origin and the token decide.
"""
EXPOSED_HEADERS = (
    *("ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID", "Idempotent-Replayed"),
    *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
)
PREFLIGHT_MAX_AGE_S = 600
ANY_SUFFIX = "://*"


class Origins:
    """The origins of `ALLOWED_ORIGINS`.

    Raises:
        ValueError: An entry is not an origin.
    """

    def __init__(self, allowed: Iterable[str] = (), proxies: TrustedProxies | None = None) -> None:
        names = frozenset(map(normalised_origin, allowed))
        self._exact = frozenset(name for name in names if not name.endswith(ANY_SUFFIX))
        self._patterns = [
            re.compile(re.escape(name.removesuffix("*")) + r"[A-Za-z0-9-]+\Z")
            for name in sorted(names - self._exact)
        ] or ([] if names else [LOCAL])
        self._proxies = proxies or TrustedProxies()

    def allows(self, origin: str | None) -> bool:
        """Return whether the setting allows pages of this origin; True without an origin."""
        if origin is None or origin in self._exact:
            return True
        return any(pattern.match(origin) for pattern in self._patterns)

    def admits(self, incoming: Request | Websocket) -> bool:
        """Return whether this request may write or open a socket, judged by its page's origin."""
        # Scripts cannot set either header. Firefox sends the second with handshakes too.
        origin, site = incoming.headers.get("Origin"), incoming.headers.get("Sec-Fetch-Site")
        if origin is None:
            return site != "cross-site"
        return self.allows(origin) or site == "same-origin" or origin == self._own(incoming)

    def install(self, app: Quart) -> None:
        """Refuse writing requests of other origins, answer preflights, add the CORS headers."""

        @app.before_request
        async def refuse_foreign() -> None:
            if request.method not in READING and not self.admits(request):
                raise Forbidden("origin_not_allowed", "Requests from this origin are not allowed.")

        cors(
            app,
            allow_origin=[*self._exact, *self._patterns],
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_MAX_AGE_S,
        )

    def _own(self, incoming: Request | Websocket) -> str | None:
        """Return the origin of this server's own pages at the requested address."""
        try:
            return normalised_origin(self._proxies.base_url(incoming))
        except ValueError:
            return None
