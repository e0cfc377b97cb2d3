"""The WebSocket cases of the Autobahn suite, run by kosoku: none may fail.

Most need a server that sends back what it gets, so they run against `peer_echo`, which is
the product's own sockets without the product; those that need none also run against the
product itself. Not run, since they ask for what our sockets refuse on purpose: binary
messages (closed with 1003), messages over 16 KB (closed with 1009), a thousand messages as
fast as they are answered (closed with 4429), and compression.
"""

import asyncio
import importlib.util
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.live_server import LiveServer
from tests.support.paths import ROOT
from tests.support.requirements import missing

BINARY = ("1.2.*", "9.2.*", "9.8.*")
OVER_16_KB = ("1.1.6", "1.1.7", "1.1.8", "9.1.*", "9.3.*", "9.4.*", "9.5.*", "9.6.*", "10.1.1")
COMPRESSION = ("12.*", "13.*")
FLOODS = ("9.7.*",)
EXCLUDED = BINARY + OVER_16_KB + COMPRESSION + FLOODS
WITHOUT_ECHO = (
    *("2.*", "3.1", "4.1.1", "4.1.2", "4.2.1", "4.2.2", "6.3.*", "6.4.*"),
    *("7.3.*", "7.5.*", "7.7.*", "7.9.*"),
)
PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}
AT_ONCE = 16
AT_ONCE_OF_A_USER = 4
"""Fewer than the sockets a user may have, as some linger for a while."""


@pytest.fixture
def echo_url() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.peer_echo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    ) as server:
        try:
            assert server.stdout is not None
            yield f"ws://127.0.0.1:{int(server.stdout.readline())}/"
        finally:
            server.terminate()


async def run_cases(
    url: str,
    directory: Path,
    *,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    at_once: int = AT_ONCE,
) -> dict[str, dict[str, Any]]:
    """The verdict of each case. In a process of its own: kosoku changes the one it is in."""
    if importlib.util.find_spec("kosoku") is None:
        missing("kosoku is not installed: the WebSocket cases of Autobahn")
    chosen = [f"-i{case}" for case in include] + [f"-x{case}" for case in exclude]
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from kosoku._cli import main; main()", url, *chosen),
        *("-p", str(at_once), "-o", str(directory)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await running.communicate()
    assert (directory / "index.json").exists(), said.decode()
    (verdicts,) = json.loads((directory / "index.json").read_text()).values()
    return dict(verdicts)


def check(verdicts: dict[str, dict[str, Any]], at_least: int, figures: Callable[..., None]) -> None:
    assert len(verdicts) >= at_least, "the suite has become smaller"
    failed = {
        case: (found["behavior"], found["behaviorClose"])
        for case, found in verdicts.items()
        if not {found["behavior"], found["behaviorClose"]} <= PASSED
    }
    behaviors = Counter(found["behavior"] for found in verdicts.values())
    figures(run=len(verdicts), failed=len(failed), behaviors=dict(behaviors))
    assert not failed


async def test_an_echo_on_our_sockets(
    echo_url: str, tmp_path: Path, figures: Callable[..., None]
) -> None:
    check(await run_cases(echo_url, tmp_path / "report", exclude=EXCLUDED), 235, figures)


async def test_the_product_where_no_echo_is_needed(
    live_server: LiveServer, tmp_path: Path, figures: Callable[..., None]
) -> None:
    url = f"{live_server.ws_url}?token={live_server.token('conformance')}"
    verdicts = await run_cases(
        url, tmp_path / "report", include=WITHOUT_ECHO, at_once=AT_ONCE_OF_A_USER
    )
    check(verdicts, 50, figures)
    assert "Traceback" not in live_server.log()
