"""The page at `/docs`: Swagger UI from the installed package, shown without the internet.

What must always hold: only the files named here are served; the page may load nothing
from elsewhere and run nothing inline, and no other site may frame it.
"""

from importlib.util import find_spec
from pathlib import Path

from quart import Quart, Response, abort, send_from_directory
from quart_rate_limiter import rate_exempt
from quart_schema import hide

PACKAGE = "flask_swagger_ui"  # only its files are used; it is never imported
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
  <p class="wrapper">The sockets: <a href="docs/socket">docs/socket</a></p>
  <div id="swagger-ui"></div>
  <noscript>This page needs JavaScript; the description itself is at openapi.json.</noscript>
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
    """Serve `/docs` and its files, showing the document at `openapi_path`."""
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
        raise RuntimeError(f"the package {PACKAGE} is missing: install FocusUp's dependencies")
    return Path(spec.submodule_search_locations[0]) / "dist"
