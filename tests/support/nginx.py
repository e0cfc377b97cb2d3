"""The nginx of `deploy/nginx` in front of two servers under test.

What must hold: it runs as it is shipped but for its ports, its paths and its user, and each
thing that is put in another's place was there.
"""

import os
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from focusup.database.ports import free_port
from tests.support.live_server import LiveServer
from tests.support.paths import ROOT
from tests.support.requirements import require

SHIPPED = ROOT / "deploy" / "nginx"
START_WITHIN_S = 10.0
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Front(LiveServer):
    """What clients take for one server. It is not started: the ones behind it are."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.home = home
        self.plain_port, port = free_port(), free_port()
        self.url = f"https://127.0.0.1:{port}"

    def logged(self) -> str:
        """All that it has written into any log."""
        return "".join(path.read_text() for path in self.home.glob("*.log"))


@contextmanager
def nginx(directory: Path, *servers: LiveServer) -> Iterator[Front]:
    """Before these two servers; no session sticks to either."""
    front = configured(directory, *servers)
    process = subprocess.Popen(command(front), start_new_session=True)
    try:
        _wait(process, front.url)
        yield front
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def configured(directory: Path, *servers: LiveServer) -> Front:
    """What is shipped, in a directory of its own, with a certificate that nobody signed."""
    home = directory / "nginx"
    shutil.copytree(SHIPPED, home)
    front = Front(home)
    _make_certificate(home / "tls")
    ports = {
        "listen 80": f"listen 127.0.0.1:{front.plain_port}",
        "listen 443 ": f"listen 127.0.0.1:{front.url.rpartition(':')[2]} ",
        # The machine of the tests may have no IPv6.
        "listen [::]:80 default_server backlog=2048;": "",
        "listen [::]:443 ssl default_server backlog=2048;": "",
        "listen [::]:80;": "",
        "listen [::]:443 ssl;": "",
        "server_name focusup.example.com;": "server_name 127.0.0.1 localhost focus.example.com;",
    }
    paths = {
        # Its workers would be of another user, who may not enter our directory.
        "pid /run/nginx.pid;": "pid nginx.pid;" + (" user root;" if os.geteuid() == 0 else ""),
        "http {\n": "http {" + " ".join(f"{name}_temp_path {name};" for name in TEMPORARY) + "\n",
        "/var/log/nginx/": "",
    }
    _rewrite(home / "nginx.conf", {**ports, **paths})
    shipped = ("127.0.0.1:5000", "127.0.0.1:5001")
    ours = (server.url.removeprefix("http://") for server in servers)
    _rewrite(home / "upstream.conf", dict(zip(shipped, ours, strict=True)))
    return front


def command(front: Front, *options: str) -> list[str]:
    program = require("nginx", "it stands before two servers, as in production")
    given = ("-p", str(front.home), "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;")
    return [program, *given, *options]


def any_certificate() -> ssl.SSLContext:
    """For clients who trust whoever answers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _rewrite(path: Path, changes: Mapping[str, str]) -> None:
    text = path.read_text()
    for shipped, ours in changes.items():
        assert shipped in text, f"{path.name} has no {shipped!r}"
        text = text.replace(shipped, ours)
    path.write_text(text)


def _make_certificate(directory: Path) -> None:
    program = require("openssl", "nginx needs a certificate")
    directory.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    files = ("-keyout", "privkey.pem", "-out", "fullchain.pem")
    subprocess.run(
        [program, "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost", *key, *files],
        cwd=directory,
        check=True,
        capture_output=True,
    )


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline_s = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline_s:
        assert process.poll() is None, "nginx has ended"
        try:
            if httpx.get(f"{url}/api/health", timeout=2, verify=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.02)
    raise AssertionError("nginx does not answer")
