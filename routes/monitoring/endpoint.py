"""Serve the server's metrics at `/metrics` for Prometheus.

Invariants:

- With a token set, a request without that token is refused.
- Without one, only programs of this machine may read. A request that came through a proxy is
  refused, since its client may be anywhere.
- A request to another host name than localhost is refused: after DNS rebinding, a foreign page
  could read the answer as that of its own server.
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
    """The registry of all metrics, and who may read them.

    Args:
        collectors: The collectors of the server's own metrics.
        token: What readers must present; None admits programs of this machine only.
        is_proxied: Whether the operator set up a proxy. If so, readers without a token are refused.
    """

    def __init__(
        self, collectors: Iterable[Collector], *, token: str | None, is_proxied: bool = False
    ) -> None:
        self._token = token
        self._is_proxied = is_proxied
        # The library's own registry would be shared by all apps of the process.
        self._registry = CollectorRegistry()
        for collector in collectors:
            self._registry.register(collector)
        self._registry.register(ProcessMetrics())
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def admit(self, incoming: Request, presented: str | None) -> None:
        """Return if the request may read the metrics.

        Args:
            incoming: The request.
            presented: Its bearer token, if any.

        Raises:
            Unauthorized: The token is missing or wrong.
            Forbidden: No token is set, and the request may come from another machine.
        """
        if self._token is None:
            if self._is_proxied or not _from_this_machine(incoming):
                message = (
                    "Metrics are private. Set METRICS_TOKEN to read them from another machine."
                )
                raise Forbidden("metrics_private", message)
        elif presented is None:
            raise Unauthorized("token_missing", "METRICS_TOKEN is required as a bearer token.")
        elif not hmac.compare_digest(presented.encode(), self._token.encode()):
            raise Unauthorized("token_invalid", "The token does not match METRICS_TOKEN.")

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


def _was_forwarded(incoming: Request) -> bool:
    """Return whether a proxy seems to have forwarded this request."""
    # By default nginx adds no header and sends a host name of this machine; its HTTP/1.0 shows.
    if incoming.http_version == "1.0" or any(name in incoming.headers for name in FORWARDING):
        return True
    return not (_is_loopback(incoming.host) or LOCALHOST.fullmatch(incoming.host))


def _from_this_machine(incoming: Request) -> bool:
    if not _is_loopback(incoming.remote_addr or "") or _was_forwarded(incoming):
        return False
    # A proxy that passes the Host header on shows by its own port.
    port, own_port = AT_PORT.search(incoming.host), (incoming.scope.get("server") or ("", None))[1]
    return own_port is None or port is None or int(port[1]) == own_port


def _is_loopback(text: str) -> bool:
    address = parse_address(text)
    return address is not None and address.is_loopback


@blueprint.get("/metrics")
@rate_exempt
@cors_exempt
@hide
async def read_metrics() -> Response:
    """Return the metrics. Monitoring reads them, not API clients, so the OpenAPI omits it."""
    metrics = services().metrics
    metrics.admit(request, bearer_token())
    return Response(metrics.text(), content_type=CONTENT_TYPE_PLAIN_0_0_4)
