"""The pages as files: what they weigh, what may be kept, what is refused."""

import re

import httpx
import pytest
from playwright.async_api import Page

from focusup.web.pages import PAGES
from tests.support.live_server import LiveServer
from tests.support.paths import ROOT
from tests.support.web.browser import at, sign_up

STATIC = ROOT / "focusup" / "web" / "static"
LIBRARY_MODULES = sorted((STATIC / "client").glob("*.js"))
MOST_BYTES = 150 * 1024
ASSET = re.compile(r'(?:href|src)="(/assets/[^"]+)"')


@pytest.fixture
def plain(live_server: LiveServer) -> httpx.Client:
    return live_server.rest(None)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_and_loads_nothing_from_elsewhere(plain: httpx.Client, path: str) -> None:
    answer = plain.get(path)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.findall(r"<script(?![^>]* src=| type=\"application/json\")", answer.text)
    assert not re.findall(r"\son\w+=|\sstyle=|https?://", answer.text)


def test_files_are_kept_for_good_and_pages_are_asked_for(plain: httpx.Client) -> None:
    page = plain.get("/")
    assert page.headers["Cache-Control"] == "no-cache"
    again = plain.get("/", headers={"If-None-Match": page.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    found = ASSET.findall(page.text)
    assert {name.rpartition("/")[2] for name in found} >= {"study.js", "style.css", "icon.svg"}
    for path in found:
        answer = plain.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.content == (STATIC / path.split("/", 3)[3]).read_bytes()


def test_what_is_sent_compressed_is_the_same(plain: httpx.Client) -> None:
    file = (STATIC / "focusup.js").read_bytes()
    for accepted, sent in (("gzip", "gzip"), ("identity", None), ("gzip;q=0", None)):
        answer = plain.get("/focusup.js", headers={"Accept-Encoding": accepted})
        assert answer.headers.get("Content-Encoding") == sent
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert answer.content == file


@pytest.mark.parametrize(
    "path",
    ["/assets/none/style.css", "/assets/{v}/pages.py", "/assets/{v}/..%2fpages.py", "/static/x"],
)
def test_other_files_are_not_there(plain: httpx.Client, path: str) -> None:
    version = ASSET.findall(plain.get("/").text)[0].split("/")[2]
    answer = plain.get(path.format(v=version))
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_pages_are_no_part_of_the_rest_interface(plain: httpx.Client) -> None:
    paths = plain.get("/openapi.json").json()["paths"]
    assert not {*PAGES, "/focusup.js"} & set(paths)


def test_the_library_finds_its_modules_beside_it(plain: httpx.Client) -> None:
    """At its own address, which is asked for each time, as among the files of the pages."""
    files = ASSET.findall(plain.get("/").text)[0].rpartition("/")[0]
    for path in LIBRARY_MODULES:
        name = path.relative_to(STATIC).as_posix()
        answer = plain.get(f"/{name}")
        assert answer.content == plain.get(f"{files}/{name}").content == path.read_bytes()
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert answer.headers["Cache-Control"] == "no-cache"
        known = {"If-None-Match": answer.headers["ETag"]}
        assert plain.get(f"/{name}", headers=known).status_code == 304
    assert plain.get("/client/none.js").status_code == 404


def test_the_types_lie_beside_the_library(plain: httpx.Client) -> None:
    assert plain.get("/focusup.d.ts").content == (STATIC / "focusup.d.ts").read_bytes()


async def weight(page: Page, url: str) -> int:
    """Bytes that are sent for a page and all it loads, when nothing is kept from before."""
    sent: list[int] = []
    session = await page.context.new_cdp_session(page)
    session.on("Network.loadingFinished", lambda done: sent.append(done["encodedDataLength"]))
    await session.send("Network.enable")
    await session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    await page.goto(url)
    await page.wait_for_load_state("networkidle")
    return sum(sent)


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_weighs_little_and_keeps_to_its_server(
    live_server: LiveServer, email: str, path: str
) -> None:
    async with at(live_server.url) as context:
        page = await context.new_page()
        await sign_up(page, live_server.url, email)
        assert 10_000 < await weight(page, live_server.url + path) <= MOST_BYTES


BREACHES = {
    "foreign request: http://focusup.invalid": "location.assign('http://focusup.invalid/')",
    "Content Security Policy": "document.body.setAttribute('style', 'color: red')",
    "error: ours": "setTimeout(() => { throw new Error('ours'); })",
}


@pytest.mark.parametrize("noticed", BREACHES)
async def test_a_page_that_breaks_the_rules_is_noticed(
    live_server: LiveServer, noticed: str
) -> None:
    """What the other tests lean on: nothing wrong goes by unseen."""

    async def visit() -> None:
        async with at(live_server.url) as context:
            page = await context.new_page()
            await page.goto(live_server.url)
            await page.evaluate(BREACHES[noticed])
            await page.wait_for_timeout(300)

    with pytest.raises(AssertionError, match=re.escape(noticed)):
        await visit()
