"""The pages at `/`, `/me` and `/admin`, their files, and the client library.

What must always hold: a page is the same for everybody, so it holds nothing of anybody; it
runs no inline script, loads nothing from elsewhere, and no other site may frame it. What a
person sees is fetched by the page's script with that person's token.
"""

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from quart import Quart, Response, abort, request
from quart_rate_limiter import rate_exempt
from quart_schema import hide

from focusup.web.assets import ASK_EACH_TIME, FOR_GOOD, Asset, Assets, send
from focusup.web.texts import Texts, language_of, load_texts, of_page

HERE = Path(__file__).parent
PAGES: Mapping[str, str] = {"/": "study", "/me": "progress", "/admin": "admin"}
LIBRARY = ("focusup.js", "focusup.d.ts")

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


def install_pages(app: Quart) -> None:
    """Serve the pages, their files below `/assets`, and the client library."""
    assets, languages = Assets(HERE / "static"), load_texts()
    rendered = {
        (page, language): _render(page, language, texts, assets.version)
        for page in PAGES.values()
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
    async def library() -> Response:
        return send(request, assets.files[request.path[1:]], {"Cache-Control": ASK_EACH_TIME})

    for path, name in PAGES.items():
        app.add_url_rule(path, f"page_{name}", page)
    app.add_url_rule("/assets/<version>/<name>", "asset", asset_file)
    for name in LIBRARY:
        app.add_url_rule(f"/{name}", name.replace(".", "_"), library)


def _render(page: str, language: str, texts: Texts, version: str) -> Asset:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template(f"{page}.html").render(
        page=page,
        pages={name: path for path, name in PAGES.items()},
        lang=language,
        t=texts.__getitem__,
        texts=of_page(texts, page),
        asset=lambda name: f"/assets/{version}/{name}",
    )
    return Asset(html.encode(), "text/html; charset=utf-8")
