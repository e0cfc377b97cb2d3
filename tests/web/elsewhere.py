"""Our pages on another host: a copy of the files, which names the server it belongs to."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.live_server import LiveServer


@contextmanager
def copied(server: LiveServer) -> Iterator[str]:
    """The address of the copy: another origin, which serves no API."""
    with server.rest(None) as client:
        page = client.get("/").text
        paths = set(re.findall(r'"(/assets/[^"]+\.)(\w+)"', page))
        names = {"account", "dom", "focusup", "running", "score", "study", "welcome"}
        version = next(iter(paths))[0].split("/")[2]
        wanted = {f"/assets/{version}/{name}.js" for name in names}
        wanted |= {stem + suffix for stem, suffix in paths}
        files: dict[str, httpx.Response] = {path: client.get(path) for path in wanted}
    page = page.replace("<head>", f'<head><meta name="focusup-server" content="{server.url}">')

    class Copy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = files.get(self.path)
            body = page.encode() if self.path == "/" else file and file.content
            self.send_response(200 if body else 404)
            kind = file.headers["Content-Type"] if file else "text/html; charset=utf-8"
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Copy) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://localhost:{site.server_port}"
        site.shutdown()
