"""What every answer tells a browser about itself, in one place.

What must always hold: whatever route, error or file it is, an answer is taken for what its
Content-Type says, is kept by nobody unless it says so, and is a page for nobody: only what
brings a policy of its own may load or run anything. HSTS is said where the client came over
https, as we or a trusted proxy saw it, since over http it would mean nothing.
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
"""Of this host alone: others of its domain are not ours to speak for."""


def install_security_headers(app: Quart, proxies: TrustedProxies) -> None:
    """Give them to each answer of `app` that does not bring its own."""

    @app.after_request
    async def protect(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if proxies.is_https(request):
            response.headers["Strict-Transport-Security"] = HSTS
        return response
