"""Collect the server's metrics for Prometheus. docs/operations.md lists names and meanings.

Invariants:

- A scrape awaits nothing and visits no single session, so it takes as long with ten thousand
  sessions as with none.
- Labels have few values, and no client chooses them.
- Units are seconds and bytes.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple, get_args

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from models.pageviews.storage_budgets import Kind, StorageBudget
from realtime.engine.metrics import OTHER, ClosedBy, Histogram, SocketState
from realtime.pageviews.page_limit import PageLimit
from realtime.protocol.close_codes import CloseCode
from realtime.sockets.pipeline import Pipeline
from routes.http.request_metrics import RequestMetrics
from routes.monitoring.health import DatabaseWatch, DiskWatch

Pipelines = Mapping[str, Pipeline[Any]]
"""The counting pipelines by their label `kind`."""


class StorageLimits(NamedTuple):
    """The limits of what anonymous clients can make the server store."""

    budget: StorageBudget
    names: PageLimit
    disk: DiskWatch


class MetricsCollector(Collector):
    """The metrics of counting, sockets, requests, database and storage limits."""

    def __init__(
        self,
        version: str,
        pipelines: Pipelines,
        requests: RequestMetrics,
        database: DatabaseWatch,
        limits: StorageLimits | None = None,
    ) -> None:
        self._limits = limits
        self._version = version
        self._pipelines = pipelines
        self._requests = requests
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """Return all metrics as of now."""
        yield _gauge("build_info", "Always 1; the running version.", version=self._version)
        yield _gauge("tasks", "Tasks of the event loop; sessions and sockets need none.",
                     len(asyncio.all_tasks()))  # fmt: skip
        yield from self._tracked()
        yield from self._booking()
        yield from self._sockets()
        yield from self._http()
        yield from self._database_metrics()
        if self._limits is not None:
            yield from self._storage(self._limits)

    def _tracked(self) -> Iterator[Metric]:
        tracked = GaugeMetricFamily(
            "focusup_tracked",
            "Sessions and page views in memory: counting, or held (paused, hidden, leaving).",
            labels=("kind", "state"),
        )
        lag = _histogram("tick_lag_seconds", "How late each tick ran.", "kind")
        for kind, pipeline in self._pipelines.items():
            counting = pipeline.engine.counting_count
            tracked.add_metric((kind, "counting"), counting)
            tracked.add_metric((kind, "held"), len(pipeline.engine.all_tracked) - counting)
            _add(lag, (kind,), pipeline.ticker.lags)
        return iter((tracked, lag))

    def _booking(self) -> Iterator[Metric]:
        booked = _counter("booked_seconds", "Seconds stored, active (page views: engaged) "
                          "or idle (visible only).", "kind", "state")  # fmt: skip
        flush = _histogram(
            "flush_seconds", "Duration of flushes that had something to write.", "kind"
        )
        statements = _counter("flush_statements", "Statements sent by flushes.", "kind")
        doubts = _counter("doubts", "Writes whose outcome was unknown.", "kind")
        quarantines = _counter("quarantines", "Writes that the database refused.", "kind")
        pending = GaugeMetricFamily(
            "focusup_pending",
            "Sessions and page views with unwritten seconds: waiting, or in the current flush.",
            labels=("kind", "state"),
        )
        behind = GaugeMetricFamily(
            "focusup_booking_behind_seconds",
            "Upper bound for the age of the oldest second that is not stored.",
            labels=("kind",),
        )
        degraded = GaugeMetricFamily(
            "focusup_booking_degraded",
            "1 after two seconds without a successful write.",
            labels=("kind",),
        )
        for kind, pipeline in self._pipelines.items():
            ledger = pipeline.ledger
            figures = ledger.figures
            booked.add_metric((kind, "active"), figures.active_seconds)
            booked.add_metric((kind, "idle"), figures.idle_seconds)
            _add(flush, (kind,), figures.flushes)
            statements.add_metric((kind,), figures.statements)
            doubts.add_metric((kind,), figures.doubts)
            quarantines.add_metric((kind,), figures.quarantines)
            pending.add_metric((kind, "waiting"), pipeline.engine.dirty_count)
            pending.add_metric((kind, "writing"), ledger.in_flight)
            behind.add_metric((kind,), ledger.behind_us(pipeline.clock.now_us()) / 1e6)
            degraded.add_metric((kind,), ledger.in_trouble)
        return iter((booked, flush, statements, doubts, quarantines, pending, behind, degraded))

    def _sockets(self) -> Iterator[Metric]:
        sockets = GaugeMetricFamily(
            "focusup_sockets",
            "Open sockets: not started, tracking, or closing.",
            labels=("kind", "state"),
        )
        closes = _counter("socket_closes", "Closed sockets by the sender and code of the close "
                          "frame; 1006 means no frame.", "kind", "by", "code")  # fmt: skip
        # A rate needs a zero before the first increment.
        zeros: dict[tuple[ClosedBy, int], int] = {("server", int(code)): 0 for code in CloseCode}
        for kind, pipeline in self._pipelines.items():
            figures = pipeline.registry.figures
            for state in get_args(SocketState):
                sockets.add_metric((kind, state), figures.by_state[state])
            for (by, code), count in (zeros | dict(figures.closes)).items():
                closes.add_metric((kind, by, "other" if code == OTHER else str(code)), count)
        return iter((sockets, closes))

    def _http(self) -> Iterator[Metric]:
        requests = _counter("http_requests", "Answered requests.", "method", "route", "status")
        times = _histogram(
            "http_request_seconds", "Time until the response started.", "method", "route"
        )
        for (method, route, status), count in self._requests.outcomes.items():
            requests.add_metric((method, route, str(status)), count)
        for labels, histogram in self._requests.times.items():
            _add(times, labels, histogram)
        return iter((requests, times))

    def _storage(self, limits: StorageLimits) -> Iterator[Metric]:
        budget, names = limits.budget, limits.names
        stored = _counter("storage_charged_bytes", "Estimated bytes that requests and views "
                          "stored.", "kind")  # fmt: skip
        refused = _counter(
            "storage_refused", "Requests and views refused by a storage budget.", "kind"
        )
        for kind in get_args(Kind):
            stored.add_metric((kind,), budget.stored[kind])
            refused.add_metric((kind,), budget.refused[kind])
        overflowed = _counter(
            "page_names_overflowed", "Views counted under the shared name of further pages."
        )
        overflowed.add_metric((), names.overflowed)
        yield from (stored, refused, overflowed)
        yield _gauge("storage_budget_used_ratio", "Used share of the common budget, 0 to 1.",
                     budget.used(budget.clock_s()))  # fmt: skip
        yield _gauge("page_names", "Known page names.", len(names))
        if limits.disk.free_bytes is not None:
            yield _gauge("disk_free_bytes", "Free bytes on the disk of the data directory.",
                         limits.disk.free_bytes)  # fmt: skip

    def _database_metrics(self) -> Iterator[Metric]:
        latency_ms, engine = self._database.latency_ms, self._database.database.kind
        yield _gauge("database_up", "Whether the database answered the latest ping (every 5 s).",
                     latency_ms is not None, engine=engine)  # fmt: skip
        if latency_ms is not None:
            yield _gauge("database_ping_seconds", "Latency of the latest ping.",
                         latency_ms / 1000, engine=engine)  # fmt: skip


def _gauge(name: str, documentation: str, value: float = 1, **labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"focusup_{name}", documentation, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), value)
    return family


def _counter(name: str, documentation: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"focusup_{name}", documentation, labels=labels)


def _histogram(name: str, documentation: str, *labels: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"focusup_{name}", documentation, labels=labels)


def _add(family: HistogramMetricFamily, labels: Iterable[str], histogram: Histogram) -> None:
    within = accumulate(histogram.counts)
    bounds = (*(str(bound_us / 1e6) for bound_us in histogram.bounds_us), "+Inf")
    buckets = list(zip(bounds, within, strict=True))
    family.add_metric(tuple(labels), buckets, histogram.sum_us / 1e6)
