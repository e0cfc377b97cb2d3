"""Web sites of others: files on an origin of their own."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTML = "text/html; charset=utf-8"


@contextmanager
def site(files: Mapping[str, tuple[str, bytes]]) -> Iterator[str]:
    """The origin. `files` are content type and body by path; any other path is a 404."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, body = files.get(self.path, (HTML, b""))
            self.send_response(200 if self.path in files else 404)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
