"""Count and time each request by its route, and give it an id.

Invariants:

- Metrics and logs name the template of a route, never the requested path, and hold no query
  string and no client address.
- A request id of the client is used only if it is well formed, so it cannot inject text into
  the logs.
"""

import re
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from quart import Request, Response, Websocket
from structlog.contextvars import bind_contextvars
from werkzeug import Response as WerkzeugResponse
from werkzeug.datastructures import Headers

from realtime.engine.metrics import Histogram

REQUEST_ID_HEADER = "X-Request-ID"
WELL_FORMED = re.compile(r"[A-Za-z0-9_-]{8,64}")
"""Dots are excluded, so that a JWT sent in this header by mistake is not logged."""
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER = "other"
NO_ROUTE = "none"
REQUEST_BOUNDS_US = (5_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000)
"""Upper bounds of the buckets; only a few, since each method and route has its own histogram."""

Answer = TypeVar("Answer", bound=Response | WerkzeugResponse)
log = structlog.get_logger(__name__)


class RequestMetrics:
    """Counters and histograms of the requests since the start, by method and route."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str, int]] = Counter()
        self.times: dict[tuple[str, str], Histogram] = {}

    def record(self, method: str, route: str, status: int, took_us: int) -> None:
        """Count a request that was answered."""
        self.outcomes[method, route, status] += 1
        times = self.times.get((method, route))
        if times is None:
            times = self.times[method, route] = Histogram(REQUEST_BOUNDS_US)
        times.observe(took_us)


def route_of(incoming: Request | Websocket) -> str:
    """Return the template of the request's route; `none` when no route matches."""
    return NO_ROUTE if incoming.url_rule is None else incoming.url_rule.rule


def id_for(headers: Headers) -> str:
    """Return the request id of the client if it is well formed, else a new one."""
    given = headers.get(REQUEST_ID_HEADER, "")
    return given if WELL_FORMED.fullmatch(given) else secrets.token_hex(8)


async def observed(
    metrics: RequestMetrics, incoming: Request, handle: Callable[[Request], Awaitable[Answer]]
) -> Answer:
    """Return the answer of `handle`, with its request id, and record it.

    Log events of this task carry the id. The time ends when the answer starts; a streamed body
    follows later.
    """
    began_ns = time.perf_counter_ns()
    request_id = id_for(incoming.headers)
    bind_contextvars(request=request_id)
    response = await handle(incoming)
    took_us = (time.perf_counter_ns() - began_ns) // 1000
    method = incoming.method if incoming.method in METHODS else OTHER
    route = route_of(incoming)
    metrics.record(method, route, response.status_code, took_us)
    response.headers[REQUEST_ID_HEADER] = request_id
    log.debug(
        "request_answered",
        method=method,
        route=route,
        status=response.status_code,
        ms=took_us / 1000,
    )
    return response
