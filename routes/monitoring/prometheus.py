"""The server's figures as Prometheus reads them.

What must always hold: a scrape waits for nothing and looks at no single session, so it
takes as long with ten thousand as with none; labels have few values, none of them from a
client; units are seconds and bytes. Names and meanings are published in docs/operations.md.
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

Kinds = Mapping[str, Pipeline[Any]]
"""What is counted, by its label `kind`."""


class Strangers(NamedTuple):
    """What is known of what strangers make the server store."""

    budget: StorageBudget
    names: PageLimit
    disk: DiskWatch


class MetricsCollector(Collector):
    def __init__(
        self,
        version: str,
        kinds: Kinds,
        requests: RequestMetrics,
        database: DatabaseWatch,
        strangers: Strangers | None = None,
    ) -> None:
        self._strangers = strangers
        self._version = version
        self._kinds = kinds
        self._requests = requests
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """All figures as they are now."""
        yield _gauge("build_info", "Always 1; the version that runs.", version=self._version)
        yield _gauge("tasks", "Tasks of the event loop; neither sessions nor sockets need any.",
                     len(asyncio.all_tasks()))  # fmt: skip
        yield from self._tracked()
        yield from self._booking()
        yield from self._sockets()
        yield from self._http()
        yield from self._of_database()
        if self._strangers is not None:
            yield from self._of_strangers(self._strangers)

    def _tracked(self) -> Iterator[Metric]:
        tracked = GaugeMetricFamily(
            "focusup_tracked",
            "Sessions and page views in memory: counting, or held (paused, hidden, leaving).",
            labels=("kind", "state"),
        )
        lag = _histogram("tick_lag_seconds", "How late the wheel of seconds turned.", "kind")
        for kind, counting in self._kinds.items():
            running = counting.engine.counting_count
            tracked.add_metric((kind, "counting"), running)
            tracked.add_metric((kind, "held"), len(counting.engine.all_tracked) - running)
            _add(lag, (kind,), counting.ticker.lags)
        return iter((tracked, lag))

    def _booking(self) -> Iterator[Metric]:
        booked = _counter("booked_seconds", "Seconds stored, active (page views: engaged) "
                          "or idle (visible only).", "kind", "state")  # fmt: skip
        flush = _histogram("flush_seconds", "How long a flush took that had to write.", "kind")
        statements = _counter("flush_statements", "Statements sent by flushes.", "kind")
        doubts = _counter("doubts", "Writes of a session whose outcome was unknown.", "kind")
        quarantines = _counter("quarantines", "Writes of a session refused by itself.", "kind")
        pending = GaugeMetricFamily(
            "focusup_pending",
            "Sessions and page views with something to write: waiting, or in the flush under way.",
            labels=("kind", "state"),
        )
        behind = GaugeMetricFamily(
            "focusup_booking_behind_seconds",
            "How old the oldest second that is not stored is at most.",
            labels=("kind",),
        )
        degraded = GaugeMetricFamily(
            "focusup_booking_degraded",
            "1 while nothing could be written for two seconds and more.",
            labels=("kind",),
        )
        for kind, counting in self._kinds.items():
            ledger = counting.ledger
            figures = ledger.figures
            booked.add_metric((kind, "active"), figures.active_seconds)
            booked.add_metric((kind, "idle"), figures.idle_seconds)
            _add(flush, (kind,), figures.flushes)
            statements.add_metric((kind,), figures.statements)
            doubts.add_metric((kind,), figures.doubts)
            quarantines.add_metric((kind,), figures.quarantines)
            pending.add_metric((kind, "waiting"), counting.engine.dirty_count)
            pending.add_metric((kind, "writing"), ledger.in_flight)
            behind.add_metric((kind,), ledger.behind_us(counting.clock.now_us()) / 1e6)
            degraded.add_metric((kind,), ledger.in_trouble)
        return iter((booked, flush, statements, doubts, quarantines, pending, behind, degraded))

    def _sockets(self) -> Iterator[Metric]:
        sockets = GaugeMetricFamily(
            "focusup_sockets",
            "Open sockets: nothing begun yet, tracking, or closing.",
            labels=("kind", "state"),
        )
        closes = _counter("socket_closes", "Sockets that ended, by whose close frame and its "
                          "code; 1006 is none.", "kind", "by", "code")  # fmt: skip
        # A rate needs the zero before the first one.
        ours: dict[tuple[ClosedBy, int], int] = {("server", int(code)): 0 for code in CloseCode}
        for kind, counting in self._kinds.items():
            figures = counting.registry.figures
            for state in get_args(SocketState):
                sockets.add_metric((kind, state), figures.by_state[state])
            for (by, code), count in (ours | dict(figures.closes)).items():
                closes.add_metric((kind, by, "other" if code == OTHER else str(code)), count)
        return iter((sockets, closes))

    def _http(self) -> Iterator[Metric]:
        requests = _counter("http_requests", "Requests answered.", "method", "route", "status")
        times = _histogram("http_request_seconds", "Until the answer began.", "method", "route")
        for (method, route, status), count in self._requests.outcomes.items():
            requests.add_metric((method, route, str(status)), count)
        for labels, histogram in self._requests.times.items():
            _add(times, labels, histogram)
        return iter((requests, times))

    def _of_strangers(self, strangers: Strangers) -> Iterator[Metric]:
        budget, names = strangers.budget, strangers.names
        stored = _counter("storage_charged_bytes", "Bytes that requests and views made the server "
                          "store, as estimated.", "kind")  # fmt: skip
        refused = _counter("storage_refused", "Requests and views refused by a budget.", "kind")
        for kind in get_args(Kind):
            stored.add_metric((kind,), budget.stored[kind])
            refused.add_metric((kind,), budget.refused[kind])
        overflowed = _counter("page_names_overflowed", "Views counted under the common name.")
        overflowed.add_metric((), names.overflowed)
        yield from (stored, refused, overflowed)
        yield _gauge("storage_budget_used_ratio", "Share of what all together may store, 0 to 1.",
                     budget.used(budget.clock_s()))  # fmt: skip
        yield _gauge("page_names", "Names of pages that are known.", len(names))
        if strangers.disk.free_bytes is not None:
            yield _gauge("disk_free_bytes", "Free bytes of the disk of the data directory.",
                         strangers.disk.free_bytes)  # fmt: skip

    def _of_database(self) -> Iterator[Metric]:
        latency_ms, engine = self._database.latency_ms, self._database.database.kind
        yield _gauge("database_up", "Whether the database answered the latest ping (every 5 s).",
                     latency_ms is not None, engine=engine)  # fmt: skip
        if latency_ms is not None:
            yield _gauge("database_ping_seconds", "How long it took to answer that ping.",
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
