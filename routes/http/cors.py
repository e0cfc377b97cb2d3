"""Which web pages may talk to this server: one rule for CORS, for sockets, and for writing.

Invariants:
- An origin is compared whole, so a lookalike that only begins or ends like an allowed one is
  refused, and so is `null`.
- A page that this server itself served may always connect, under whatever name it was reached.
- Every request that writes is judged before anything else is done with it: a browser sends some
  of them without asking first (`text/plain`).
- A client that sends neither `Origin` nor `Sec-Fetch-Site` is no browser, and is judged by its
  token alone.
"""

import re
from collections.abc import Iterable

from quart import Quart, Request, Websocket, request
from quart_cors import cors

from models.base.errors import Forbidden
from routes.http.client_address import TrustedProxies
from routes.http.origin_names import normalised_origin

LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?\Z")
"""What is allowed when nothing is set: pages of this machine, on any port."""
METHODS = ("GET", "POST", "PUT", "DELETE")
READING = frozenset({"GET", "HEAD", "OPTIONS"})
REQUEST_HEADERS = ("*",)
"""Any, named as the page asks for them (`*` itself would not cover `Authorization`).

Tracing libraries add headers of many makers to every request of a page. None of them makes a
request worth more here: the origin and the token decide.
"""
EXPOSED_HEADERS = (
    *("ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID", "Idempotent-Replayed"),
    *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
)
PREFLIGHT_MAX_AGE_S = 600
ANY_SUFFIX = "://*"


class Origins:
    """The origins of `ALLOWED_ORIGINS`; raises ValueError where one is none."""

    def __init__(self, allowed: Iterable[str] = (), proxies: TrustedProxies | None = None) -> None:
        names = frozenset(map(normalised_origin, allowed))
        self._exact = frozenset(name for name in names if not name.endswith(ANY_SUFFIX))
        self._patterns = [
            re.compile(re.escape(name.removesuffix("*")) + r"[A-Za-z0-9-]+\Z")
            for name in sorted(names - self._exact)
        ] or ([] if names else [LOCAL])
        self._proxies = proxies or TrustedProxies()

    def allows(self, origin: str | None) -> bool:
        """Whether pages of this origin may connect, wherever this server is reached."""
        if origin is None or origin in self._exact:
            return True
        return any(pattern.match(origin) for pattern in self._patterns)

    def admits(self, asked: Request | Websocket) -> bool:
        """Whether the page that sent this request, if one did, may write and connect."""
        # Scripts cannot set either header. Firefox sends the second with handshakes too.
        origin, site = asked.headers.get("Origin"), asked.headers.get("Sec-Fetch-Site")
        if origin is None:
            return site != "cross-site"
        return self.allows(origin) or site == "same-origin" or origin == self._own(asked)

    def install(self, app: Quart) -> None:
        """Refuse what pages of others write, answer preflight requests, and mark answers for
        the origins that are allowed."""

        @app.before_request
        async def refuse_foreign() -> None:
            if request.method not in READING and not self.admits(request):
                raise Forbidden("origin_not_allowed", "Pages of this origin may not do this.")

        cors(
            app,
            allow_origin=[*self._exact, *self._patterns],
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_MAX_AGE_S,
        )

    def _own(self, asked: Request | Websocket) -> str | None:
        """The origin of the pages that this server serves at the address that was asked."""
        try:
            return normalised_origin(self._proxies.address_asked(asked))
        except ValueError:
            return None
