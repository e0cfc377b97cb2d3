"""How many files the process may have open, and how many connections that allows.

Invariants: the soft limit is raised as far as the settings need and the hard one allows;
what is then left is shared between sockets and idle connections, so that the server never
comes to where the system refuses it another descriptor, and with it everyone.
"""

import sys
from dataclasses import dataclass

SPARE_FILES = 256
"""Not of clients: the database's connections (up to 100), files, the port itself."""
LEAST = 16


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many connections of each kind the process can have."""

    max_sockets: int
    """Of focus sessions, and as many of page views."""
    max_idle: int
    in_all: int | None = None
    """Sockets of both kinds together; None where each may have its number."""


def needed_files(wanted: Capacity) -> int:
    """Return how many descriptors these need."""
    return 2 * wanted.max_sockets + wanted.max_idle + SPARE_FILES


def within(limit: int | None, wanted: Capacity) -> Capacity:
    """Return what fits into so many descriptors (None: without a limit)."""
    if limit is None or needed_files(wanted) <= limit:
        return wanted
    left = max(limit - SPARE_FILES, limit // 2)
    idle = min(wanted.max_idle, max(64, left // 32))
    in_all = max(LEAST, left - idle)
    return Capacity(min(wanted.max_sockets, in_all), idle, in_all)


def soft_limit() -> int | None:
    """Return how many the process may have open now; None is no limit."""
    return raise_limit(0)


def raise_limit(needed: int) -> int | None:
    """Raise the soft limit to `needed` where the hard one allows; return what it is then.

    None is no limit, as on Windows.
    """
    if sys.platform == "win32":
        return None
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None if soft == resource.RLIM_INFINITY else soft
    target = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    except (OSError, ValueError):  # macOS tells infinity and means less
        return soft
    return target
