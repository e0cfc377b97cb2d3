"""An application in this process, served over a real socket, and the browser that looks at it."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart

from tests.support.requirements import missing


@asynccontextmanager
async def served(app: Quart) -> AsyncIterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.errorlog = None
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        await serving


def chromium() -> str:
    names = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
    paths = [path for name in names if (path := shutil.which(name))]
    return paths[0] if paths else missing("no Chromium is installed: it looks at /docs")
