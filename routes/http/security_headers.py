"""Set the security headers of every response.

Invariants, for each route, error and file:

- Browsers do not guess another content type.
- No cache stores the response unless its own headers allow it.
- Nothing is loaded, run or framed unless the response has its own Content-Security-Policy.
- HSTS is sent to clients that used https, to this server or to a trusted proxy; browsers ignore it
  over http.
"""

from collections.abc import Mapping

from quart import Quart, Response, request

from routes.http.client_address import TrustedProxies

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
HSTS = "max-age=31536000"
"""For this host alone; its subdomains may belong to other services."""


def install_security_headers(app: Quart, proxies: TrustedProxies) -> None:
    """Add the headers to each response of `app` that does not set its own."""

    @app.after_request
    async def protect(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if proxies.is_https(request):
            response.headers["Strict-Transport-Security"] = HSTS
        return response
