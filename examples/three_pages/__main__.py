"""`python -m examples.three_pages`: the site, and a FocusUp of its own beside it.

What must always hold: Ctrl-C and SIGTERM stop both, FocusUp with everything counted
written; should FocusUp end by itself, the site ends with it.
"""

import asyncio
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import click
from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework

from examples.three_pages.pages import create_site

HOST = "127.0.0.1"
STOP_WITHIN_S = 15.0
STOPPED = (0, -signal.SIGTERM)
"""It has ended as it was asked to; the second when Ctrl-C had reached it before we asked."""
ADDRESS = re.compile(r"on (http://\S+)")
FOREIGN = ("MONGODB_URI", "MONGODB_DATABASE", "ALLOWED_ORIGINS", "JWT_SECRET")
"""Settings of another FocusUp on this machine, whose data are none of ours."""


class FocusUpError(Exception):
    """It does not run; it has said why itself."""


@click.command()
@click.option("--port", default=8000, show_default=True, help="Port of the site; 0 picks one.")
@click.option("--focusup-port", default=5050, show_default=True, help="Port of its FocusUp.")
@click.option("--focusup", help="Address of a FocusUp that runs already, to start none.")
@click.option("--untracked", is_flag=True, help="The same pages without the tracker.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(__file__).with_name(".focusup"),
    help="Where its FocusUp keeps its data.  [default: .focusup beside this file]",
)
def main(
    port: int, focusup_port: int, focusup: str | None, untracked: bool, data_dir: Path
) -> None:
    """Serve three pages until Ctrl-C, and count how long they are looked at."""
    try:
        if focusup is None and not untracked:
            data_dir.mkdir(parents=True, exist_ok=True)
        asyncio.run(_serve(port, focusup_port, focusup, untracked, data_dir.resolve()))
    except (FocusUpError, OSError) as error:
        raise click.ClickException(str(error)) from error


async def _serve(
    port: int, focusup_port: int, focusup: str | None, untracked: bool, data_dir: Path
) -> None:
    stopping = _stop_signal()
    listener = socket.create_server((HOST, port))
    if untracked or focusup is not None:
        await _serve_pages(listener, None if untracked else focusup, stopping)
        return
    async with _started(focusup_port, data_dir, stopping) as address:
        await _serve_pages(listener, address, stopping)


async def _serve_pages(
    listener: socket.socket, focusup: str | None, stopping: asyncio.Event
) -> None:
    own_port = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = None
    config.graceful_timeout = 0.5
    click.echo(f"FocusUp: {focusup or 'none'}")
    click.echo(f"Open:    http://{HOST}:{own_port}/page_a   (Ctrl-C stops it)")
    sys.stdout.flush()
    app: ASGIFramework = create_site(focusup)
    await serve(app, config, shutdown_trigger=stopping.wait)


@asynccontextmanager
async def _started(port: int, data_dir: Path, stopping: asyncio.Event) -> AsyncIterator[str]:
    """A FocusUp that runs meanwhile, by its address."""
    ours = {"HOST": HOST, "PORT": str(port), "DATA_DIR": str(data_dir)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "focusup", "serve"),
        cwd=data_dir,  # so that no .env of another FocusUp is read
        env={name: value for name, value in os.environ.items() if name not in FOREIGN} | ours,
        stdout=PIPE,
    )
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    watching = asyncio.create_task(_watch(process, told, stopping))
    try:
        yield await told
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(watching, STOP_WITHIN_S)
    if process.returncode not in STOPPED:
        raise FocusUpError(f"FocusUp ended with status {process.returncode}")


async def _watch(process: Process, told: "asyncio.Future[str]", stopping: asyncio.Event) -> None:
    """Read what FocusUp says, in which its address is, until it has ended."""
    if process.stdout is None:
        raise AssertionError("it is a pipe")
    async for line in process.stdout:
        found = ADDRESS.search(line.decode(errors="replace"))
        if found and not told.done():
            told.set_result(found[1])
    await process.wait()
    if not told.done():
        told.set_exception(FocusUpError("FocusUp did not start"))
    stopping.set()


def _stop_signal() -> asyncio.Event:
    """Set by Ctrl-C and SIGTERM."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))
    return stopping


if __name__ == "__main__":
    main()
