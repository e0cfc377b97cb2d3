"""What tests ask of a server under test, whether it runs in this process or in its own."""

from datetime import UTC, datetime
from typing import Any

import httpx

from models.tokens.access_tokens import TokenAuthority

SECRET = "a secret that is long enough for the tests"


class Server:
    """Addresses, tokens and clients of a running server; subclasses start and stop it."""

    url: str
    database: str
    """The name of its database."""

    def __init__(self) -> None:
        self.url = ""
        self._authority = TokenAuthority(SECRET, 3600)

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/ws/sessions"

    @property
    def mongodb_uri(self) -> str:
        """The address of the database under the server."""
        raise NotImplementedError

    def log(self) -> str:
        """Everything that it has logged."""
        raise NotImplementedError

    def now(self) -> datetime:
        return datetime.now(UTC)

    def token(self, user: str = "ada", *, ttl_s: float = 3600, role: str | None = None) -> str:
        authority = TokenAuthority(SECRET, ttl_s) if ttl_s != 3600 else self._authority
        return authority.issue(user, role=role, now=self.now())[0]

    def rest(
        self, user: str | None = "ada", *, role: str | None = None, **options: Any
    ) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(user, role=role)}"} if user else {}
        # verify=False: loading certificates takes 30 ms, and tests sign their own for TLS.
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, verify=False, **options)
