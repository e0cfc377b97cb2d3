"""What being watched costs: `python -m benchmarks metrics_scrape`.

`--sessions` tracked things in an engine with its ledger, whose book stores nothing, so that
only our own code is measured; as many open descriptors; and figures of requests as a server
has them that was asked for every route. Then `/metrics` is made `--times` times, with none
tracked and with all (aim: 20 ms of CPU, p95), and one second of all things is counted and
booked with the figures kept and with them left out, in turn.
"""

import argparse
import asyncio
import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from benchmarks.metrics import percentile
from benchmarks.servers import raise_descriptor_limit
from models.base.compare_and_set import Stamps
from realtime.engine.clock import ManualClock
from realtime.engine.meter import SECOND_US, Meter
from realtime.engine.metrics import Figures, Histogram
from realtime.engine.tracked import Tracked
from realtime.sockets.pipeline import Pipeline
from realtime.sockets.registry import Registry
from routes.http.request_metrics import RequestMetrics
from routes.monitoring.endpoint import Metrics
from routes.monitoring.health import DatabaseWatch
from routes.monitoring.prometheus import MetricsCollector
from scoring.timeline import Counts

AIM_MS = 20
ROUTES, STATUSES = 50, (200, 401, 404)
ROUNDS = 15


class NoBook:
    """Acknowledges everything at once, and keeps nothing."""

    async def write(self, ids: list[Any], _pipeline: list[dict[str, Any]]) -> int:
        return len(ids)

    def absolute(self, tracked: Tracked) -> dict[str, Any]:
        return {"activeSeconds": tracked.active, "idleSeconds": tracked.idle}

    def increments(self, increase: Counts) -> dict[str, int]:
        return increase._asdict()

    def counted(self, _increase: Counts, _at_us: int) -> dict[str, Any]:
        return {}


async def counting_of(count: int, clock: ManualClock) -> Pipeline[Tracked]:
    """So many things being tracked, each in a phase of its own, a second booked of each."""
    stamps = Stamps()
    counting: Pipeline[Tracked] = Pipeline(
        cast(Any, NoBook()),
        clock,
        stamps,
        Registry(max_per_user=count + 1, max_in_all=count + 1),
        announce=lambda _: None,
        on_lost=lambda *_: None,
    )
    viewer = cast(Any, object())
    for number in range(count):
        tracked = Tracked(
            tracked_id=number,
            status="active",
            totals=Counts(0, 0, 0),
            meter=Meter(idle_after_us=15 * SECOND_US),
            stamp=stamps.fresh(),
        )
        counting.engine.add(tracked)
        counting.engine.attach(tracked, viewer, clock.now_us() + number * SECOND_US // count)
        counting.engine.changed(tracked)
    clock.advance_s(1)
    await second(counting, clock)
    return counting


async def second(counting: Pipeline[Tracked], clock: ManualClock) -> None:
    """One second of all things, counted and booked as the ticker and the ledger do it."""
    for turn in range(1, 21):
        counting.engine.advance(clock.advance_s(0.05))
        counting.engine.take_booked()
        if turn % 5 == 0:
            await counting.ledger.flush()


def asked_for_everything() -> RequestMetrics:
    figures = RequestMetrics()
    for number in range(ROUTES):
        for status in STATUSES:
            figures.record("GET", f"/api/resource{number}/<thing_id>", status, 1000 * number)
    return figures


@contextmanager
def open_descriptors(count: int) -> Iterator[None]:
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
    try:
        yield
    finally:
        for descriptor in opened:
            os.close(descriptor)


async def scrapes_ms(count: int, times: int) -> tuple[list[float], list[float], int]:
    """How long each took, the CPU time of each, and the bytes of one."""
    clock = ManualClock(1_000 * SECOND_US)
    kinds = {"session": await counting_of(count, clock), "view": await counting_of(0, clock)}
    database = DatabaseWatch(cast(Any, SimpleNamespace(kind="secantusdb")))
    metrics = Metrics([MetricsCollector("0", kinds, asked_for_everything(), database)], token=None)
    took_ms, cpu_ms = [], []
    gc.collect()
    gc.freeze()  # as the server does, see focusup/serving.py
    with open_descriptors(count):
        for _ in range(times):
            began_s, cpu_s = time.perf_counter(), time.process_time()
            text = metrics.text()
            cpu_ms.append((time.process_time() - cpu_s) * 1000)
            took_ms.append((time.perf_counter() - began_s) * 1000)
    return took_ms, cpu_ms, len(text)


async def second_us(count: int) -> dict[str, float]:
    """Microseconds of CPU for each session-second, with figures and without (medians)."""
    clock = ManualClock(1_000 * SECOND_US)
    counting = await counting_of(count, clock)
    taken: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(ROUNDS):
        for way, times in taken.items():
            with ExitStack() as left_out:
                if way == "without":
                    for owner, name in ((Figures, "stored"), (Histogram, "observe")):
                        left_out.enter_context(patch.object(owner, name, lambda *_: None))
                began_s = time.process_time()
                await second(counting, clock)
                times.append((time.process_time() - began_s) / count * 1e6)
    return {way: median(times) for way, times in taken.items()}


def noting_us(times: int = 100_000) -> dict[str, float]:
    """Microseconds of what is noted for each turn, session-second and request."""
    histogram, figures, requests = Histogram((1, 2, 5, 10)), Figures(), RequestMetrics()
    before, now = Counts(1, 2, 3), Counts(2, 2, 3)
    ways: dict[str, Callable[[], object]] = {
        "a turn of the wheel, a flush": lambda: histogram.observe(3),
        "a session-second": lambda: figures.stored(before, now),
        "a request": lambda: requests.record("GET", "/api/sessions", 200, 3000),
    }
    taken = {}
    for name, way in ways.items():
        began_s = time.process_time()
        for _ in range(times):
            way()
        taken[name] = (time.process_time() - began_s) / times * 1e6
    return taken


def main(options: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks metrics_scrape",
                                     description=__doc__)  # fmt: skip
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=100)
    given = parser.parse_args(options)
    raise_descriptor_limit()
    for count in (0, given.sessions):
        taken, cpu, size = asyncio.run(scrapes_ms(count, given.times))
        shown = " and ".join(
            f"{name} {percentile(ms, 0.5):.1f} / {percentile(ms, 0.95):.1f} ms"
            for name, ms in (("takes", taken), ("CPU time", cpu))
        )
        over = "  over the aim" if percentile(cpu, 0.95) > AIM_MS else ""
        print(f"{count:>6,} sessions: a scrape of {size / 1024:.0f} KB {shown} (p50 / p95){over}")
    for name, cost_us in noting_us().items():
        print(f"{name}: {cost_us:.2f} µs")
    costs = asyncio.run(second_us(given.sessions))
    print(f"a session-second of engine and ledger: {costs['with']:.2f} µs with figures, "
          f"{costs['without']:.2f} µs without")  # fmt: skip
