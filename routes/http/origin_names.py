"""Normalise origins as browsers write them in the `Origin` header. Pure."""

import re
from urllib.parse import urlsplit

import idna

DEFAULT_PORTS = {"http": 80, "https": 443}
WHOLE = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://[^/*?#@\\\s]+")
ANY_EXTENSION = re.compile(r"(?:moz|chrome|safari-web)-extension://\*", re.IGNORECASE)
"""All extensions of a browser; Firefox gives an extension another id in each profile."""


def normalised_origin(text: str) -> str:
    """Return the origin as browsers send it: lower case, punycode, no default port.

    Raises:
        ValueError: The text is not an origin.
    """
    if ANY_EXTENSION.fullmatch(text):
        return text.lower()
    match = WHOLE.fullmatch(text)
    if match is None:
        raise ValueError("not an origin")
    scheme = match[1].lower()
    parts = urlsplit(text)
    host, port = parts.hostname, parts.port  # raises ValueError for an invalid port
    if host is None or parts.netloc.endswith(":"):
        raise ValueError("not an origin")
    if ":" in host:
        host = f"[{host}]"
    elif not host.isascii():
        host = _ascii(host)
    is_default = port is None or port == DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host}" if is_default else f"{scheme}://{host}:{port}"


def _ascii(host: str) -> str:
    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise ValueError("not an origin") from None
