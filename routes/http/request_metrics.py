"""What is known of each request: its id, its route, its outcome and how long it took.

What must always hold: a request is named by its route's template, never by the path that was
asked for, and neither figures nor logs hold a query string or an address; an id that a
client brings is taken only if it is well formed, so it can put nothing else into the logs.
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
"""No dots: a token put there by mistake is none."""
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER = "other"
NO_ROUTE = "none"
REQUEST_BOUNDS_US = (5_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000)
"""Few, since each route has them all."""

Answer = TypeVar("Answer", bound=Response | WerkzeugResponse)
log = structlog.get_logger(__name__)


class RequestMetrics:
    """Requests since the start, by method and route."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str, int]] = Counter()
        self.times: dict[tuple[str, str], Histogram] = {}

    def note(self, method: str, route: str, status: int, took_us: int) -> None:
        self.outcomes[method, route, status] += 1
        times = self.times.get((method, route))
        if times is None:
            times = self.times[method, route] = Histogram(REQUEST_BOUNDS_US)
        times.observe(took_us)


def route_of(asked: Request | Websocket) -> str:
    """The template of its route; `none` where there is no such route."""
    return NO_ROUTE if asked.url_rule is None else asked.url_rule.rule


def id_for(headers: Headers) -> str:
    """The id that came along, if it is well formed, else a new one."""
    given = headers.get(REQUEST_ID_HEADER, "")
    return given if WELL_FORMED.fullmatch(given) else secrets.token_hex(8)


async def observed(
    figures: RequestMetrics, asked: Request, handle: Callable[[Request], Awaitable[Answer]]
) -> Answer:
    """The answer of `handle`, noted; what is logged in this task meanwhile carries the id.

    The time is until the answer begins; one that is streamed goes on after it.
    """
    began_ns = time.perf_counter_ns()
    request_id = id_for(asked.headers)
    bind_contextvars(request=request_id)
    response = await handle(asked)
    took_us = (time.perf_counter_ns() - began_ns) // 1000
    method = asked.method if asked.method in METHODS else OTHER
    route = route_of(asked)
    figures.note(method, route, response.status_code, took_us)
    response.headers[REQUEST_ID_HEADER] = request_id
    log.debug(
        "answered", method=method, route=route, status=response.status_code, ms=took_us / 1000
    )
    return response
