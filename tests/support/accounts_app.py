"""A small app around the accounts, with a clock that tests move and hashes that cost nothing."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from argon2 import PasswordHasher
from motor.motor_asyncio import AsyncIOMotorDatabase
from quart import Quart

from models.accounts import Accounts
from models.attempts import Attempts
from models.budgets import StorageBudget
from models.passwords import PasswordHashes
from models.revocations import Revocations
from models.tokens import TokenAuthority
from realtime.sign_outs import SignOuts
from routes import auth
from routes.addresses import TrustedProxies
from routes.answer_examples import EXAMPLES
from routes.bodies import install_limits
from routes.openapi import install_openapi
from routes.problems import install_problems
from routes.security_headers import install_security_headers
from routes.services import Services, install_services
from routes.socket_page import install_socket_page

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


def accounts_of(db: AsyncIOMotorDatabase[dict[str, Any]]) -> Accounts:
    tokens = TokenAuthority(SECRET, ACCESS_TTL_S)
    return Accounts(db, tokens, REFRESH_TTL_S, PasswordHashes(cheap_hasher()))


def accounts_app(db: AsyncIOMotorDatabase[dict[str, Any]], clock: FakeClock) -> Quart:
    app = Quart("focusup", static_folder=None)
    revocations = Revocations(db)
    tokens = TokenAuthority(SECRET, ACCESS_TTL_S, is_revoked=revocations.is_revoked)
    given: dict[str, Any] = {
        "accounts": accounts_of(db),
        "attempts": Attempts(db, SECRET, per_address=PER_ADDRESS),
        "reporting": SimpleNamespace(proxies=TrustedProxies()),
        "tokens": tokens,
        "budget": StorageBudget(
            bytes_of_address=1e9, bytes_in_all=1e9, views_per_minute=60, clock_s=lambda: 0.0
        ),
        "sign_outs": SignOuts(revocations, (), clock),
        "now": clock,
    }
    # The accounts ask for nothing else of the house.
    absent = {field.name: None for field in fields(Services) if field.name not in given}
    install_services(app, Services(**(given | absent)))
    install_problems(app)
    install_limits(app)
    install_security_headers(app, TrustedProxies())
    app.register_blueprint(auth.blueprint)
    install_openapi(app, "1.2.3", EXAMPLES)
    install_socket_page(app, "1.2.3")
    return app
