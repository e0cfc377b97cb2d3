"""Find the address of a request's client, behind proxies too.

Invariants:

- Only entries of `X-Forwarded-For` that trusted proxies wrote count. The header is read from the
  right: the address that the outermost trusted proxy saw is the client's, whatever stands left
  of it.
- Without a trusted proxy the header is ignored.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from quart import Request, Websocket

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
IPV6_PREFIX = 64
PORT_AT_END = re.compile(r":\d*\Z")


class TrustedProxies:
    """The proxies whose `X-Forwarded-…` headers are believed.

    Args:
        networks: Addresses and networks, such as `10.0.0.0/8`.

    Raises:
        ValueError: An entry is neither.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ip_network(network) for network in networks)

    def client_of(self, incoming: Request | Websocket) -> str:
        """Return the address of the client of this request; empty when it is unknown."""
        forwarded = ",".join(incoming.headers.getlist("X-Forwarded-For"))
        return self.client(incoming.remote_addr, forwarded)

    def client(self, peer: str | None, forwarded: str) -> str:
        """Return the client's address in canonical spelling.

        Args:
            peer: The other end of the connection.
            forwarded: The `X-Forwarded-For` header that came with the request.
        """
        hop = parse_address(peer or "")
        if hop is None:
            return ""
        for written in reversed(forwarded.split(",") if forwarded else []):
            if not self._trusts(hop):
                break
            before = parse_address(written)
            if before is None:  # a trusted proxy that hides its client, such as "unknown"
                break
            hop = before
        return str(hop)

    def is_https(self, incoming: Request) -> bool:
        """Return whether the client used https, to this server or to a trusted proxy."""
        hop = parse_address(incoming.remote_addr or "")
        if hop is None or not self._trusts(hop):
            return incoming.scheme == "https"
        nearest = incoming.headers.get("X-Forwarded-Proto", incoming.scheme).rpartition(",")[2]
        return nearest.strip() == "https"

    def base_url(self, incoming: Request | Websocket) -> str:
        """Return scheme and host as the browser knows them, such as `https://study.example`."""
        hop = parse_address(incoming.remote_addr or "")
        scheme, host = incoming.scheme, incoming.headers.get("Host", "")
        if hop is not None and self._trusts(hop):
            scheme = _nearest(incoming.headers.get("X-Forwarded-Proto")) or scheme
            host = _nearest(incoming.headers.get("X-Forwarded-Host")) or host
            port = _nearest(incoming.headers.get("X-Forwarded-Port"))
            # An origin omits 80 and 443; with the other scheme they belong to an inner hop.
            if port.isdecimal() and port not in ("80", "443") and not PORT_AT_END.search(host):
                host = f"{host}:{port}"
        return f"{'https' if scheme in ('https', 'wss') else 'http'}://{host}"

    def is_proxy(self, peer: str) -> bool:
        """Return whether the peer with this address is a trusted proxy."""
        hop = parse_address(peer)
        return hop is not None and self._trusts(hop)

    def _trusts(self, hop: Address) -> bool:
        return any(hop in network for network in self._networks)


def _nearest(header: str | None) -> str:
    """Return the value that the nearest proxy has written, the last of the header."""
    return (header or "").rpartition(",")[2].strip()


def network_of(address: str) -> str:
    """Return the IPv4 address, or the /64 network of an IPv6 address.

    Providers assign a customer a whole /64, so one customer has all of its addresses.
    """
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, IPV6_PREFIX), strict=False))
    return address


def parse_address(text: str) -> Address | None:
    """Parse an address with or without a port; return None if it is malformed.

    An IPv4-mapped IPv6 address becomes the IPv4 address.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
