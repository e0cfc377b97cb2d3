"""The site: Page A, Page B, and Page C with two tabs.

What must always hold: a page is answered without asking FocusUp and without writing
anything; all that is tracked is told by the browser, over its socket.
"""

import secrets

from quart import Quart, abort, redirect, render_template
from quart.typing import ResponseReturnValue

TABS = {"tab_1": "tab_1", "tab_2": "tab_2", "tab_b": "tab_2"}
"""What the last part of the address shows."""


def create_site(focusup: str | None) -> Quart:
    """The site, whose pages are tracked by the FocusUp at this address; None: by nobody."""
    app = Quart(__name__)

    async def page(template: str, **values: str) -> str:
        return await render_template(template, focusup=focusup, **values)

    @app.get("/")
    async def start() -> ResponseReturnValue:
        return redirect("/page_a")

    @app.get("/page_a")
    async def page_a() -> str:
        return await page("page_a.html", title="Page A")

    @app.get("/page_b")
    async def page_b() -> str:
        return await page("page_b.html", title="Page B")

    @app.get("/page_c")
    async def either_tab() -> ResponseReturnValue:
        answer = redirect(f"/page_c/{secrets.choice(('tab_1', 'tab_2'))}")
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.get("/page_c/<asked>")
    async def page_c(asked: str) -> str:
        tab = TABS.get(asked)
        if tab is None:
            abort(404)
        return await page("page_c.html", title=f"Page C, Tab {tab[-1]}", tab=tab)

    return app
