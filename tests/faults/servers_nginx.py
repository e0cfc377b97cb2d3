"""An nginx of our own in front of the servers under test, which takes them in turns."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.faults.database import free_port
from tests.live_server import LiveServer
from tests.requirements import require

START_WITHIN_S = 5.0
CONNECTIONS = 16_000
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
CONFIGURATION = """
{user}
daemon off;
pid nginx.pid;
error_log error.log;
worker_processes 1;
worker_rlimit_nofile {connections};
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    {temporary}
    upstream focusup {{ {upstreams} }}
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location / {{
            proxy_pass http://focusup;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_read_timeout 3600s;
        }}
    }}
}}
"""


class Front(LiveServer):
    """What clients take for one server. It is not started: the ones behind it are."""

    def __init__(self, directory: Path, url: str) -> None:
        super().__init__(directory)
        self.url = url


@contextmanager
def nginx(directory: Path, *servers: LiveServer) -> Iterator[Front]:
    """Round robin over these servers, and no session sticks to any."""
    program = require("nginx", "it stands before two servers, as in production")
    home, port = directory / "nginx", free_port()
    home.mkdir()
    (home / "nginx.conf").write_text(_configuration(port, servers))
    command = [program, "-p", str(home), "-c", "nginx.conf", "-e", "error.log"]
    process = subprocess.Popen(command, start_new_session=True)
    front = Front(directory, f"http://127.0.0.1:{port}")
    try:
        _wait(process, front.url)
        yield front
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _configuration(port: int, servers: tuple[LiveServer, ...]) -> str:
    return CONFIGURATION.format(
        # Its workers would be of another user, who may not enter our directory.
        user="user root;" if os.geteuid() == 0 else "",
        connections=CONNECTIONS,
        temporary=" ".join(f"{name}_temp_path {name};" for name in TEMPORARY),
        upstreams=" ".join(f"server {server.url.removeprefix('http://')};" for server in servers),
        port=port,
    )


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline_s = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline_s:
        assert process.poll() is None, "nginx has ended"
        try:
            if httpx.get(f"{url}/api/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.02)
    raise AssertionError("nginx does not answer")
