"""A small app around the accounts, with a clock that tests move and hashes that cost nothing."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

from argon2 import PasswordHasher
from motor.motor_asyncio import AsyncIOMotorDatabase
from quart import Quart

from models.accounts.login_throttle import LoginThrottle
from models.accounts.passwords import PasswordHashes
from models.accounts.service import AccountService
from models.pageviews.storage_budgets import StorageBudget
from models.tokens.access_tokens import TokenAuthority
from models.tokens.revocations import Revocations
from realtime.cluster.revocation_listener import RevocationListener
from routes.api import auth
from routes.docs.answer_examples import EXAMPLES
from routes.docs.asyncapi_html import install_socket_page
from routes.docs.openapi import install_openapi
from routes.http.bodies import install_limits
from routes.http.client_address import TrustedProxies
from routes.http.problems import install_problems
from routes.http.security_headers import install_security_headers
from routes.http.services import AccessServices, PageViewServices, Services, install_services

T = TypeVar("T")

SECRET = "a secret that is long enough for HS256"
ACCESS_TTL_S = 3600.0
REFRESH_TTL_S = 30 * 86_400.0
PER_ADDRESS = 100


class FakeClock:
    """A wall clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def cheap_hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def accounts_of(db: AsyncIOMotorDatabase[dict[str, Any]]) -> AccountService:
    tokens = TokenAuthority(SECRET, ACCESS_TTL_S)
    return AccountService(db, tokens, REFRESH_TTL_S, PasswordHashes(cheap_hasher()))


def _partly(kind: type[T], **given: Any) -> T:
    """Build services of which the routes of accounts use only these."""
    absent = {field.name: None for field in fields(kind) if field.name not in given}  # type: ignore[arg-type]
    return kind(**(given | absent))


def accounts_app(db: AsyncIOMotorDatabase[dict[str, Any]], clock: FakeClock) -> Quart:
    app = Quart("focusup", static_folder=None)
    revocations = Revocations(db)
    tokens = TokenAuthority(SECRET, ACCESS_TTL_S, is_revoked=revocations.is_revoked)
    access = _partly(
        AccessServices,
        tokens=tokens,
        accounts=accounts_of(db),
        login_throttle=LoginThrottle(db, SECRET, per_address=PER_ADDRESS),
        revocations=RevocationListener(revocations, (), clock),
    )
    budget = StorageBudget(
        bytes_of_address=1e9, bytes_in_all=1e9, views_per_minute=60, clock_s=lambda: 0.0
    )
    services = _partly(
        Services,
        access=access,
        page_views=_partly(PageViewServices, budget=budget),
        reporting=SimpleNamespace(proxies=TrustedProxies()),
        now=clock,
    )
    install_services(app, services)
    install_problems(app)
    install_limits(app)
    install_security_headers(app, TrustedProxies())
    app.register_blueprint(auth.blueprint)
    install_openapi(app, "1.2.3", EXAMPLES)
    install_socket_page(app, "1.2.3")
    return app
