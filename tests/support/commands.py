"""Commands of ours, run as programs beside a server."""

import os
import subprocess
import sys

from tests.support.live_server import LiveServer
from tests.support.server import SECRET


def focusup(server: LiveServer, *arguments: str, check: bool = True) -> str:
    """What the command says on stdout."""
    settings = {
        "DATA_DIR": str(server.data_dir),
        "MONGODB_DATABASE": server.database,
        "MONGODB_URI": server.mongodb_uri,
        "JWT_SECRET": SECRET,
    }
    environment = {n: value for n, value in os.environ.items() if n != "MONGODB_TEST_URI"}
    done = subprocess.run(
        [sys.executable, "-m", "focusup", *arguments],
        env=environment | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=check,
    )
    return done.stdout
