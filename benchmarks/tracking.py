"""Visits and heartbeats a second: `python -m benchmarks tracking`.

`--callers` connections each make a call, wait for its answer and make the next, for
`--seconds`: visits of `--rows` different sessions, then heartbeats of as many users. Each
call is answered when it is stored. Beside ours runs the naive design, one `update_one` with
`upsert` for each call, with the same framework, event loop, driver, database and durability
(`benchmarks/naive_server.py`). Each server is one process, so its Python has one core; the
database and the load have the other.
"""

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from benchmarks.metrics import percentile
from benchmarks.servers import SECRET, Server, Which, raise_descriptor_limit, running
from models.tokens.access_tokens import TokenAuthority

WARM_UP_S = 2.0


class Caller(asyncio.Protocol):
    """One connection with one call under way."""

    def __init__(self, calls: Iterator[bytes], load: "Load") -> None:
        self._calls = calls
        self._load = load
        self._sent_s = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._call()

    def data_received(self, data: bytes) -> None:
        if b'"nextInSeconds"' not in data:  # an answer comes in one or two parts
            if not data.startswith(b"HTTP/1.1 200"):
                self._load.refused += 1
            return
        self._load.answered += 1
        self._load.taken_ms.append((time.perf_counter() - self._sent_s) * 1000)
        self._call()

    def _call(self) -> None:
        if self._load.over or self._transport is None:
            return
        self._sent_s = time.perf_counter()
        self._transport.write(next(self._calls))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@dataclass
class Load:
    answered: int = 0
    refused: int = 0
    over: bool = False
    taken_ms: list[float] = field(default_factory=list)


@dataclass
class Result:
    per_second: float
    p50_ms: float
    p99_ms: float
    server_us: float
    database_us: float
    statements: float
    """For each call."""
    refused: int


def visits(rows: int) -> Iterator[bytes]:
    for number in itertools.cycle(range(rows)):
        body = json.dumps({"sessionId": f"visit-{number:08}-of-the-benchmark"}).encode()
        head = f"POST /api/track-visit HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        yield head.encode() + body


def heartbeats(rows: int) -> Iterator[bytes]:
    authority, now = TokenAuthority(SECRET, 86_000), datetime.now(UTC)
    calls = [
        (
            "POST /api/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
            f"Authorization: Bearer {authority.issue(f'user-{number}', now=now)[0]}\r\n\r\n"
        ).encode()
        for number in range(rows)
    ]
    return itertools.cycle(calls)


async def measure(server: Server, calls: Iterator[bytes], callers: int, seconds: float) -> Result:
    load = Load()
    loop = asyncio.get_running_loop()
    connections = [Caller(calls, load) for _ in range(callers)]
    for caller in connections:
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", server.port)  # type: ignore[misc]
    await asyncio.sleep(WARM_UP_S)
    load.answered, load.taken_ms = 0, []
    before = server.measure()
    await asyncio.sleep(seconds)
    after, answered, taken_ms = server.measure(), load.answered, load.taken_ms
    load.over = True
    for caller in connections:
        caller.close()
    return Result(
        per_second=answered / (after.at_s - before.at_s),
        p50_ms=percentile(taken_ms, 0.5),
        p99_ms=percentile(taken_ms, 0.99),
        server_us=(after.server_cpu_s - before.server_cpu_s) / answered * 1e6,
        database_us=(after.database_cpu_s - before.database_cpu_s) / answered * 1e6,
        statements=(after.statements - before.statements) / answered,
        refused=load.refused,
    )


def show(which: Which, kind: str, result: Result) -> None:
    print(
        f"{which:<6} {kind:<10} {result.per_second:>6.0f}/s; answered after p50 "
        f"{result.p50_ms:.0f} p99 {result.p99_ms:.0f} ms; {result.server_us:.0f} µs server, "
        f"{result.database_us:.0f} µs database CPU and {result.statements:.3f} statements a call; "
        f"{result.refused} refused",
        flush=True,
    )


def main(options: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks tracking", description=__doc__)
    parser.add_argument("--callers", type=int, default=400)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args(options)
    raise_descriptor_limit()
    kinds = {"visits": visits, "heartbeats": heartbeats}
    results: dict[tuple[Which, str], Result] = {}
    servers: tuple[Which, ...] = ("naive", "ours")
    for which in servers:
        with running(which) as server:
            for kind, calls in kinds.items():
                run = measure(server, calls(given.rows), given.callers, given.seconds)
                results[which, kind] = asyncio.run(run)
                show(which, kind, results[which, kind])
    for kind in kinds:
        ours, naive = results["ours", kind], results["naive", kind]
        print(
            f"{kind}: ours / naive {ours.per_second / naive.per_second:.1f} a second; naive / ours "
            f"{naive.server_us / ours.server_us:.1f} in server CPU, "
            f"{naive.database_us / ours.database_us:.1f} in database CPU, "
            f"{naive.statements / ours.statements:.0f} in statements"
        )
