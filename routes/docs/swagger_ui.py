"""Serve Swagger UI at `/docs` from the installed package, without access to the internet.

Invariants:

- Only the files in `FILES` are served.
- The page may not load from other hosts or run inline scripts, and no other site may frame it.
"""

from importlib.util import find_spec
from pathlib import Path

from quart import Quart, Response, abort, send_from_directory
from quart_rate_limiter import rate_exempt
from quart_schema import hide

PACKAGE = "flask_swagger_ui"  # only its files are used; it is not imported
FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-16x16.png", "favicon-32x32.png")
MAX_AGE_S = 3600

SECURITY_HEADERS = {
    # Swagger UI carries its icons as data URLs.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}

# Relative addresses, so that the page works below any prefix of a proxy.
PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>FocusUp API</title>
  <link rel="stylesheet" href="docs/swagger-ui.css">
  <link rel="icon" type="image/png" href="docs/favicon-32x32.png" sizes="32x32">
</head>
<body>
  <p class="wrapper"><a href="docs/socket">WebSocket API →</a></p>
  <div id="swagger-ui"></div>
  <noscript>This page needs JavaScript. The API description is at
    <a href="openapi.json">openapi.json</a>.</noscript>
  <script src="docs/swagger-ui-bundle.js"></script>
  <script src="docs/init.js"></script>
</body>
</html>
"""

# `validatorUrl: null`: the default sends the document's address to a public service.
INIT = """SwaggerUIBundle({
  url: "%s",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""


def install_docs_page(app: Quart, openapi_path: str) -> None:
    """Serve `/docs`, which shows the document at `openapi_path`, and its files."""
    directory = _directory()

    @hide
    @rate_exempt
    async def docs() -> Response:
        return Response(PAGE, headers=SECURITY_HEADERS, content_type="text/html; charset=utf-8")

    @hide
    @rate_exempt
    async def docs_file(name: str) -> Response:
        if name == "init.js":
            script = INIT % openapi_path.removeprefix("/")
            return Response(script, content_type="text/javascript; charset=utf-8")
        if name not in FILES:
            abort(404)
        return await send_from_directory(directory, name, cache_timeout=MAX_AGE_S)

    app.add_url_rule("/docs", "docs", docs)
    app.add_url_rule("/docs/<name>", "docs_file", docs_file)


def _directory() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"{PACKAGE} is not installed: install FocusUp's dependencies")
    return Path(spec.submodule_search_locations[0]) / "dist"
