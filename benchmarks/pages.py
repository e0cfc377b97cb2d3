"""What tracking adds to the request of a page: `python -m benchmarks pages`.

The site of `examples/three_pages` is asked for Page A `--requests` times, in turn without
and with the tracker: while nobody views anything, then while `--viewers` sockets view pages
and say `activity` every second. Both sites, FocusUp, its database, the viewers and the one
who asks are processes that share the machine, which is what the viewers cost a page there.
"""

import argparse
import asyncio
import json
import multiprocessing
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from multiprocessing.synchronize import Event
from statistics import quantiles

from benchmarks.load import Client, connect_all, stay_active
from benchmarks.servers import running

ADDRESS = re.compile(r"Open: +http://([^/]+)/")
WARM_UP = 200
VIEW = {"type": "view", "page": "/page_a", "title": "Page A", "updates": "tick"}


@contextmanager
def site(*options: str) -> Iterator[HTTPConnection]:
    """The example's site as a process, and a connection to it."""
    command = [sys.executable, "-m", "examples.three_pages", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = next(filter(None, map(ADDRESS.match, process.stdout)))
        connection = HTTPConnection(found[1])
        try:
            yield connection
        finally:
            connection.close()
            process.terminate()


@contextmanager
def viewers(port: int, count: int) -> Iterator[None]:
    """So many sockets view pages meanwhile."""
    spawn = multiprocessing.get_context("spawn")
    ready, over = spawn.Event(), spawn.Event()
    process = spawn.Process(target=view_until, args=(port, count, ready, over))
    process.start()
    try:
        if not ready.wait(60):
            raise RuntimeError("the viewers did not connect")
        yield
    finally:
        over.set()
        process.join()


def view_until(port: int, count: int, ready: Event, over: Event) -> None:
    async def view() -> None:
        start = json.dumps(VIEW).encode()
        clients = [Client("/ws/pageviews", start, b'"viewing"') for _ in range(count)]
        await connect_all(port, clients, over_s=2)
        ready.set()
        while not over.is_set():
            await stay_active(clients, every_s=1, for_s=1)
        assert all(client.lost_s is None for client in clients)

    asyncio.run(view())


def ask(connections: list[HTTPConnection], requests: int) -> list[list[float]]:
    """Milliseconds of each answer, asked of these in turn."""
    took_ms: list[list[float]] = [[] for _ in connections]
    for number in range(WARM_UP + requests):
        for connection, times in zip(connections, took_ms, strict=True):
            began_s = time.perf_counter()
            connection.request("GET", "/page_a")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            if number >= WARM_UP:
                times.append((time.perf_counter() - began_s) * 1000)
    return took_ms


def main(options: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks pages", description=__doc__)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--requests", type=int, default=5000)
    given = parser.parse_args(options)
    with (
        running("ours") as server,
        site("--untracked") as without,
        site("--focusup", f"http://127.0.0.1:{server.port}") as tracked,
    ):
        took = {"nobody views": ask([without, tracked], given.requests)}
        with viewers(server.port, given.viewers):
            took[f"{given.viewers} view"] = ask([without, tracked], given.requests)
    for meanwhile, both in took.items():
        cuts = [quantiles(times, n=100) for times in both]
        for name, cut in zip(("without", "with"), cuts, strict=True):
            print(f"{meanwhile}, {name} the tracker: p50 {cut[49]:.2f} ms, p99 {cut[98]:.2f} ms")
        print(f"{meanwhile}: the tracker adds to p99 {cuts[1][98] - cuts[0][98]:+.2f} ms")
