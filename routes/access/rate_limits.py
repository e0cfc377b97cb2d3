"""Limit the requests of each user, of each anonymous address, and of all users of an address.

Invariants:

- Memory is bounded, however many callers there are.
- A caller has one allowance for all routes. Static pages, probes and metrics are exempt
  (`rate_exempt`).

Each process counts for itself, since a database statement would cost more than most requests do:
with three servers a caller may send three times as many requests. Attempts at passwords are counted
in the database, for all servers together: `password_guess` and `count_signup`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from quart import Quart, g, request
from quart_rate_limiter import RateLimit, RateLimiter
from quart_rate_limiter.store import RateLimiterStoreABC

from models.base.driver_errors import translated
from models.base.errors import Unauthorized, Unavailable
from models.pageviews.storage_budgets import ACCOUNT_BYTES, Kind
from routes.access.authentication import known_identity
from routes.http.client_address import network_of
from routes.http.services import services

PERIOD = timedelta(minutes=1)
MAX_CALLERS = 50_000
_SEPARATOR = "\0"
CALLER = "caller"
ADDRESS = "caller_address"


class RateLimitStore(RateLimiterStoreABC):
    """The instant at which each caller's allowance is full again.

    At most `most` callers are kept; the caller whose last request is the oldest goes first.
    """

    def __init__(self, most: int = MAX_CALLERS) -> None:
        self._full_at: dict[str, datetime] = {}
        self._most = most

    async def get(self, key: str, default: datetime) -> datetime:
        """Return the instant for the caller in `key`, or `default`, which is now.

        A value more than a period ahead was set before the clock was set back. It is ignored, or
        callers would be refused until then.
        """
        full_at = self._full_at.get(_caller_in(key), default)
        return default if full_at > default + PERIOD else full_at

    async def set(self, key: str, tat: datetime) -> None:
        """Store the instant for the caller in `key`."""
        caller = _caller_in(key)
        self._full_at.pop(caller, None)  # reinserted below as the newest
        self._full_at[caller] = tat
        if len(self._full_at) > self._most:
            del self._full_at[next(iter(self._full_at))]

    async def before_serving(self) -> None:
        """Do nothing: the allowances are not kept over a restart."""

    async def after_serving(self) -> None:
        """Do nothing: the allowances are not kept over a restart."""


def install_rate_limits(
    app: Quart, *, per_minute: int, of_address_per_minute: int, enabled: bool
) -> None:
    """Refuse further requests of a caller, or of an address, with 429 and Retry-After.

    Anyone can create accounts, so a limit per user alone would bound nothing.
    """
    RateLimiter(
        app,
        key_function=_caller_key,
        store=RateLimitStore(),
        default_limits=[
            RateLimit(per_minute, PERIOD),  # the headers `RateLimit-…` report the first limit
            RateLimit(of_address_per_minute, PERIOD, key_function=_address_key),
        ],
        enabled=enabled,
        skip_function=_is_preflight,
    )


async def _is_preflight() -> bool:
    """Return whether to skip the limits: a preflight has no token, and browsers depend on it."""
    return request.method == "OPTIONS"


@asynccontextmanager
async def password_guess(account: str) -> AsyncIterator[None]:
    """Count one guess at the password of an account.

    The guess counts as wrong unless the block ends without an exception, and does not count when
    the database is unavailable.

    Raises:
        TooMany: Too many guesses at this account or from this network were wrong.
    """
    attempts, now = services().access.login_throttle, services().now()
    guess = await attempts.guess(network(), account, now)
    try:
        with translated():
            yield
    except Unavailable:
        await attempts.was_not_judged(guess, now)
        raise
    await attempts.was_right(guess)


async def count_signup() -> None:
    """Count one signup of this network.

    Raises:
        TooMany: The limit is reached.
    """
    await services().access.login_throttle.sign_up(network(), services().now())
    charge("accounts", ACCOUNT_BYTES)


def charge(kind: Kind, cost: int, user_id: str | None = None) -> None:
    """Charge what a request stores, in bytes, to the budgets of its address and user.

    Raises:
        TooMany: A budget is used up.
    """
    budget = services().page_views.budget
    budget.charge(kind, cost, address=network(), user_id=user_id, now_s=budget.clock_s())


def network() -> str:
    """Return the client's IPv4 address, or the /64 network of its IPv6 address."""
    return network_of(services().reporting.proxies.client_of(request))


async def _caller_key() -> str:
    """Return the user of a valid token, else the address, so made-up tokens gain no allowance."""
    if CALLER not in g:  # the library calls this three times per request
        setattr(g, CALLER, _SEPARATOR + _user_or_address())
    return str(getattr(g, CALLER))


async def _address_key() -> str:
    if ADDRESS not in g:
        setattr(g, ADDRESS, f"{_SEPARATOR}all of {network()}")
    return str(getattr(g, ADDRESS))


def _user_or_address() -> str:
    try:
        user = known_identity(may_be_gone=True)
    except Unauthorized:
        return f"address {network()}"
    return f"user {user.user_id}"


def _caller_in(key: str) -> str:
    """Strip the endpoint that the library puts in front."""
    return key.partition(_SEPARATOR)[2]
