"""Our pages on another host: a copy of the files, which names the server it belongs to."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin

from tests.support.live_server import LiveServer
from tests.support.sites import HTML, site

IMPORTS = re.compile(r'from "(\.[\w./]+\.js)"')


@contextmanager
def copied(server: LiveServer) -> Iterator[str]:
    """The address of a copy of the first page: another origin, which serves no API."""
    files: dict[str, tuple[str, bytes]] = {}
    with server.rest(None) as client:
        page = client.get("/").text
        wanted = set(re.findall(r'"(/assets/[^"]+)"', page))
        while wanted:
            path = wanted.pop()
            answer = client.get(path)
            files[path] = (answer.headers["Content-Type"], answer.content)
            wanted |= {urljoin(path, name) for name in IMPORTS.findall(answer.text)} - set(files)
    page = page.replace("<head>", f'<head><meta name="focusup-server" content="{server.url}">')
    with site({**files, "/": (HTML, page.encode())}) as url:
        yield url
