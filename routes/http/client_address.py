"""Which address a request comes from, behind proxies too.

What must always hold: `X-Forwarded-For` is believed only as far as hops that are trusted
have written it. It is read from the right: what the last trusted hop saw is the client,
whatever stands left of it; and without a trusted hop nothing of it counts.
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
    def __init__(self, networks: Iterable[str] = ()) -> None:
        """Addresses and networks, such as `10.0.0.0/8`; raises ValueError."""
        self._networks = tuple(ip_network(network) for network in networks)

    def client_of(self, asked: Request | Websocket) -> str:
        """The address of whoever sent this request; empty where there is none."""
        forwarded = ",".join(asked.headers.getlist("X-Forwarded-For"))
        return self.client(asked.remote_addr, forwarded)

    def client(self, peer: str | None, forwarded: str) -> str:
        """The address, in one spelling, behind `peer` that sent this header."""
        hop = parse_address(peer or "")
        if hop is None:
            return ""
        for written in reversed(forwarded.split(",") if forwarded else []):
            if not self._trusts(hop):
                break
            before = parse_address(written)
            if before is None:  # a trusted hop that hides who was before it
                break
            hop = before
        return str(hop)

    def is_https(self, asked: Request) -> bool:
        """Whether it came over https, to us or to the trusted proxy before us."""
        hop = parse_address(asked.remote_addr or "")
        if hop is None or not self._trusts(hop):
            return asked.scheme == "https"
        nearest = asked.headers.get("X-Forwarded-Proto", asked.scheme).rpartition(",")[2]
        return nearest.strip() == "https"

    def address_asked(self, asked: Request | Websocket) -> str:
        """Scheme and host as the browser knows them: as it asked us, or the trusted proxy
        before us."""
        hop = parse_address(asked.remote_addr or "")
        scheme, host = asked.scheme, asked.headers.get("Host", "")
        if hop is not None and self._trusts(hop):
            scheme = _nearest(asked.headers.get("X-Forwarded-Proto")) or scheme
            host = _nearest(asked.headers.get("X-Forwarded-Host")) or host
            port = _nearest(asked.headers.get("X-Forwarded-Port"))
            # 80 and 443 are left out of an origin, or tell of a hop that is not the browser's.
            if port.isdecimal() and port not in ("80", "443") and not PORT_AT_END.search(host):
                host = f"{host}:{port}"
        return f"{'https' if scheme in ('https', 'wss') else 'http'}://{host}"

    def is_proxy(self, peer: str) -> bool:
        """Whether this address of a connection is a trusted proxy's."""
        hop = parse_address(peer)
        return hop is not None and self._trusts(hop)

    def _trusts(self, hop: Address) -> bool:
        return any(hop in network for network in self._networks)


def _nearest(header: str | None) -> str:
    """Return what the proxy before us has written."""
    return (header or "").rpartition(",")[2].strip()


def network_of(address: str) -> str:
    """What is one customer of a provider: an IPv4 address, or an IPv6 network of 64 bits,
    since whoever has one address of that has all of them."""
    found = parse_address(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, IPV6_PREFIX), strict=False))
    return address


def parse_address(text: str) -> Address | None:
    """An address, perhaps with a port; IPv4 within IPv6 is IPv4."""
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
