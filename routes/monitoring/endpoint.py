"""`/metrics`: the figures of the server for Prometheus.

What must always hold: who has not been given the token reads nothing; where none is set,
only programs of this machine do, and never through a proxy, behind which anybody can be, nor
by a name of the web's: what a page reads there is its own server's to the browser, wherever
the name leads.
"""

import hmac
import re
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.registry import Collector
from quart import Blueprint, Request, Response, request
from quart_cors import cors_exempt
from quart_rate_limiter import rate_exempt
from quart_schema import hide

from models.base.errors import Forbidden, Unauthorized
from routes.access.authentication import bearer_token
from routes.http.client_address import parse_address
from routes.http.services import services
from routes.monitoring.process_metrics import ProcessMetrics

AT_PORT = re.compile(r":(\d{1,5})\Z")
LOCALHOST = re.compile(r"localhost(:\d+)?", re.IGNORECASE)
FORWARDING = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")

blueprint = Blueprint("metrics", __name__)


class Metrics:
    def __init__(
        self, collectors: Iterable[Collector], *, token: str | None, is_proxied: bool = False
    ) -> None:
        """`token` is what readers must present; None lets in this machine alone, and nobody
        where the operator says that there is a proxy (`is_proxied`)."""
        self._token = token
        self._is_proxied = is_proxied
        # One for each app: the library's own would be shared by all of a process.
        self._registry = CollectorRegistry()
        for collector in collectors:
            self._registry.register(collector)
        self._registry.register(ProcessMetrics())
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def admit(self, asked: Request, presented: str | None) -> None:
        """Raises Unauthorized or Forbidden for those who may not read."""
        if self._token is None:
            if self._is_proxied or not _from_this_machine(asked):
                raise Forbidden("metrics_private", "Set METRICS_TOKEN to read from elsewhere.")
        elif presented is None:
            raise Unauthorized("token_missing", "The token of the metrics is needed.")
        elif not hmac.compare_digest(presented.encode(), self._token.encode()):
            raise Unauthorized("token_invalid", "This is not the token of the metrics.")

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)


def _was_passed_on(asked: Request) -> bool:
    """Return whether a proxy has passed this request on, as far as that can be seen."""
    # A proxy may add no header, and name this machine as the host: nginx does both unless it
    # is told otherwise, and speaks HTTP/1.0 then.
    if asked.http_version == "1.0" or any(name in asked.headers for name in FORWARDING):
        return True
    return not (_is_loopback(asked.host) or LOCALHOST.fullmatch(asked.host))


def _from_this_machine(asked: Request) -> bool:
    if not _is_loopback(asked.remote_addr or "") or _was_passed_on(asked):
        return False
    # A proxy that keeps the host names its own port.
    port, ours = AT_PORT.search(asked.host), (asked.scope.get("server") or ("", None))[1]
    return ours is None or port is None or int(port[1]) == ours


def _is_loopback(text: str) -> bool:
    address = parse_address(text)
    return address is not None and address.is_loopback


@blueprint.get("/metrics")
@rate_exempt
@cors_exempt
@hide
async def read_metrics() -> Response:
    """For programs that watch, not for the interface's users: the OpenAPI leaves it out."""
    metrics = services().metrics
    metrics.admit(request, bearer_token())
    return Response(metrics.text(), content_type=CONTENT_TYPE_PLAIN_0_0_4)
