"""Serve the pages `/`, `/me` and `/admin`, their files, and the client library.

Invariants:

- A page is the same for all users and holds no personal data. Its script fetches the user's data
  with the user's token.
- A page runs no inline script, loads nothing from other hosts, and cannot be framed by other sites.
"""

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from quart import Quart, Request, Response, abort, request
from quart_rate_limiter import rate_exempt
from quart_schema import hide
from werkzeug.exceptions import HTTPException, NotFound

from focusup.web.assets import ASK_EACH_TIME, FOR_GOOD, Asset, Assets, send
from focusup.web.texts import Texts, language_of, load_texts, of_page
from routes.http.problems import MEDIA_TYPE, handle

HERE = Path(__file__).parent
PAGES: Mapping[str, str] = {"/": "study", "/me": "progress", "/admin": "admin"}
WITHOUT_A_SLASH = (*(path for path in PAGES if path != "/"), "/docs", "/docs/socket")
"""What people may type with a `/` at its end."""
OF_PROGRAMS = ("/api", "/ws")
MISSING = "missing"
LIBRARY = ("focusup.js", "focusup.d.ts")
LIBRARY_MODULES = "client/"
"""The folder of what `focusup.js` imports, beside it wherever it is served."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
}


def install_pages(app: Quart, base_path: str = "") -> None:
    """Serve the pages, their files below `/assets`, and the client library.

    `base_path` is where the browser sees them, such as `/focus`.
    """
    assets, languages = Assets(HERE / "static"), load_texts()
    rendered = {
        (page, language): _render(page, language, texts, assets, base_path)
        for page in (*PAGES.values(), MISSING)
        for language, texts in languages.items()
    }

    @hide
    @rate_exempt
    async def page() -> Response:
        language = language_of(request, languages)
        asset = rendered[PAGES[request.path], language]
        headers = {"Cache-Control": ASK_EACH_TIME, "Content-Language": language}
        response = send(request, asset, SECURITY_HEADERS | headers)
        response.vary.add("Accept-Language")
        return response

    @hide
    @rate_exempt
    async def asset_file(version: str, name: str) -> Response:
        asset = assets.files.get(name) if version == assets.version else None
        if asset is None:
            abort(404)
        return send(request, asset, {"Cache-Control": FOR_GOOD})

    @hide
    @rate_exempt
    async def library(name: str, folder: str = "") -> Response:
        asset = assets.files.get(folder + name)
        if asset is None:
            abort(404)
        return send(request, asset, {"Cache-Control": ASK_EACH_TIME})

    @hide
    @rate_exempt
    async def without_a_slash() -> Response:
        # Relative, since a proxy may have taken a prefix away.
        place = f"../{request.path.rstrip('/').rpartition('/')[2]}"
        query = request.query_string.decode("ascii", "replace")
        return Response(b"", 308, {"Location": f"{place}?{query}" if query else place})

    async def missing(error: NotFound) -> Response | HTTPException:
        if request.path.startswith(OF_PROGRAMS) or not _for_a_person(request):
            return await handle(error)
        language = language_of(request, languages)
        asset = rendered[MISSING, language]
        headers = {"Content-Language": language, "Vary": "Accept, Accept-Language"}
        return Response(
            asset.body, 404, SECURITY_HEADERS | headers, content_type=asset.content_type
        )

    app.register_error_handler(NotFound, missing)
    for path, name in PAGES.items():
        app.add_url_rule(path, f"page_{name}", page)
    for path in WITHOUT_A_SLASH:
        app.add_url_rule(f"{path}/", f"slash_{path}", without_a_slash)
    app.add_url_rule("/assets/<version>/<path:name>", "asset", asset_file)
    for name in LIBRARY:
        app.add_url_rule(f"/{name}", name.replace(".", "_"), library, defaults={"name": name})
    folder = {"folder": LIBRARY_MODULES}
    app.add_url_rule(f"/{LIBRARY_MODULES}<name>", "library_module", library, defaults=folder)


def _for_a_person(asked: Request) -> bool:
    """Whether a page is liked better than a problem; programs like both the same."""
    likes = asked.accept_mimetypes
    return likes["text/html"] > max(likes[MEDIA_TYPE], likes["application/json"])


def _render(page: str, language: str, texts: Texts, assets: Assets, base_path: str) -> Asset:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template(f"{page}.html").render(
        page=page,
        pages={name: base_path + path for path, name in PAGES.items()},
        base=base_path,
        lang=language,
        t=texts.__getitem__,
        texts=of_page(texts, page),
        asset=lambda name: f"{base_path}/assets/{assets.version}/{name}",
        modules=[name for name in assets.files if name.startswith(LIBRARY_MODULES)],
    )
    return Asset(html.encode(), "text/html; charset=utf-8")
