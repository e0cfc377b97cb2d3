"""How often somebody may ask: each user, each address without a good token, and each address
with all its users together.

What must always hold: memory stays bounded however many ask; an allowance is of one who
asks, whatever is asked for; what cheap pages, probes and scrapers get is not counted
(`rate_exempt`). This is kept by each process for itself: a statement of the database would
cost more than most requests do, so with three servers one may ask three times as often.
Attempts at passwords are another matter, and shared: `one_guess` and `one_signup`.
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
    """When each caller's allowance is whole again; those unheard of for longest are forgotten."""

    def __init__(self, most: int = MAX_CALLERS) -> None:
        self._whole_at: dict[str, datetime] = {}
        self._most = most

    async def get(self, key: str, default: datetime) -> datetime:
        """`default` is now. What no clock of today can have set is forgotten: a clock that
        is set back would keep everybody out for as long."""
        whole_at = self._whole_at.get(_caller_in(key), default)
        return default if whole_at > default + PERIOD else whole_at

    async def set(self, key: str, tat: datetime) -> None:
        caller = _caller_in(key)
        self._whole_at.pop(caller, None)  # so that it becomes the last
        self._whole_at[caller] = tat
        if len(self._whole_at) > self._most:
            del self._whole_at[next(iter(self._whole_at))]

    async def before_serving(self) -> None:
        """Nothing is kept over a restart."""

    async def after_serving(self) -> None:
        """Nothing is kept over a restart."""


def install_rate_limits(
    app: Quart, *, per_minute: int, of_address_per_minute: int, enabled: bool
) -> None:
    """Let each caller of `app` ask so often, and all callers of one address together; 429 with
    Retry-After beyond that. Accounts are free, so a limit by user alone bounds nobody."""
    RateLimiter(
        app,
        key_function=_caller,
        store=RateLimitStore(),
        default_limits=[
            RateLimit(per_minute, PERIOD),  # the first of a period is told in `RateLimit-…`
            RateLimit(of_address_per_minute, PERIOD, key_function=_all_of_address),
        ],
        enabled=enabled,
        skip_function=_is_preflight,
    )


async def _is_preflight() -> bool:
    """It carries no token, and without its answer a browser never sends the request itself."""
    return request.method == "OPTIONS"


@asynccontextmanager
async def one_guess(account: str) -> AsyncIterator[None]:
    """Compare a password of this account within it; raises TooMany. A guess is wrong unless
    the end is reached, and none where the database did not answer."""
    attempts, now = services().access.login_throttle, services().now()
    guess = await attempts.guess(network(), account, now)
    try:
        with translated():
            yield
    except Unavailable:
        await attempts.was_not_judged(guess, now)
        raise
    await attempts.was_right(guess)


async def one_signup() -> None:
    """Make an account after it; raises TooMany."""
    await services().access.login_throttle.sign_up(network(), services().now())
    charge("accounts", ACCOUNT_BYTES)


def charge(kind: Kind, cost: int, user_id: str | None = None) -> None:
    """Spend what a request stores from the budgets of its address and user; raises TooMany."""
    budget = services().page_views.budget
    budget.charge(kind, cost, address=network(), user_id=user_id, now_s=budget.clock_s())


def network() -> str:
    """The address that asks, or the network of one customer."""
    return network_of(services().reporting.proxies.client_of(request))


async def _caller() -> str:
    """The user of a good token, else the address: a made-up token gains nobody anything."""
    if CALLER not in g:  # asked for three times by the library
        setattr(g, CALLER, _SEPARATOR + _user_or_address())
    return str(getattr(g, CALLER))


async def _all_of_address() -> str:
    if ADDRESS not in g:
        setattr(g, ADDRESS, f"{_SEPARATOR}all of {network()}")
    return str(getattr(g, ADDRESS))


def _user_or_address() -> str:
    try:
        who = known_identity(may_be_gone=True)
    except Unauthorized:
        return f"address {network()}"
    return f"user {who.user_id}"


def _caller_in(key: str) -> str:
    """The library names the endpoint in front."""
    return key.partition(_SEPARATOR)[2]
