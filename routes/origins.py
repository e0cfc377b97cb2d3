"""Which web pages may talk to this server: one rule for CORS and for sockets.

What must always hold: an origin is compared whole, so a lookalike that only begins or
ends like an allowed one is refused, and so is `null`. Whoever sends no Origin is not a
browser, and is judged by the token alone.
"""

import re
from collections.abc import Iterable

from quart import Quart
from quart_cors import cors

LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?\Z")
"""What is allowed when nothing is set: pages of this machine, on any port."""
METHODS = ("GET", "POST", "PUT", "DELETE")
REQUEST_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key")
EXPOSED_HEADERS = (
    *("Location", "Retry-After", "WWW-Authenticate", "X-Request-ID", "Idempotent-Replayed"),
    *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
)
PREFLIGHT_MAX_AGE_S = 600


class Origins:
    def __init__(self, allowed: Iterable[str] = ()) -> None:
        exact = frozenset(allowed)
        self._exact = exact
        self._any_local = not exact

    def allows(self, origin: str | None) -> bool:
        if origin is None:
            return True
        if self._any_local:
            return LOCAL.match(origin) is not None
        return origin in self._exact

    def install(self, app: Quart) -> None:
        """Answer preflight requests, and mark answers for the origins that are allowed."""
        cors(
            app,
            allow_origin=[LOCAL] if self._any_local else list(self._exact),
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_MAX_AGE_S,
        )
