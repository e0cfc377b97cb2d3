"""Authenticate requests by their bearer token.

Invariant: a handler behind `authenticated` runs only with a verified token, and the OpenAPI
document says that it needs one.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from quart import g, request
from quart_schema import security_scheme

from models.base.errors import Forbidden, Unauthorized
from models.tokens.access_tokens import Identity
from routes.http.error_codes import document_problems
from routes.http.services import services

SCHEME = "bearer"
ADMIN = "admin"
P = ParamSpec("P")
R = TypeVar("R")


def authenticated(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Verify the bearer token before the handler runs; `identity()` returns its owner."""

    @wraps(handler)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        g.identity = await verified_identity()
        return await handler(*args, **kwargs)

    return security_scheme([{SCHEME: []}])(checked)


def admin_only(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Require a token with the claim `role: admin`."""

    @wraps(handler)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if identity().role != ADMIN:
            raise Forbidden("admin_only", "Admin access is required.")
        return await handler(*args, **kwargs)

    return document_problems("admin_only")(authenticated(checked))


def authenticated_or_deleted(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Verify the bearer token; the token of a deleted account passes too."""

    @wraps(handler)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        g.identity = await verified_identity(may_be_gone=True)
        return await handler(*args, **kwargs)

    return security_scheme([{SCHEME: []}])(checked)


def identity() -> Identity:
    """Return the owner of the request's token, behind `authenticated`."""
    return cast(Identity, g.identity)


async def verified_identity(*, may_be_gone: bool = False, may_be_revoked: bool = False) -> Identity:
    """Verify the bearer token, after fetching its issuer's key if that is unknown.

    Args:
        may_be_gone: Whether the token of a deleted account passes.
        may_be_revoked: Whether a token that was signed out passes.

    Raises:
        Unauthorized: The token is missing, invalid, expired or revoked.
    """
    await services().access.tokens.learn_key(bearer_token())
    return known_identity(may_be_gone=may_be_gone, may_be_revoked=may_be_revoked)


def known_identity(*, may_be_gone: bool = False, may_be_revoked: bool = False) -> Identity:
    """Verify the bearer token with the keys known so far; see `verified_identity`.

    The signature is verified once per request, which takes 30 µs: the rate limits need the owner
    before the handler does.
    """
    tokens = services().access.tokens
    if "signed" not in g:
        g.signed = tokens.read(bearer_token(), services().now())
    signed = cast(Identity, g.signed)
    return tokens.standing(signed, may_be_gone=may_be_gone, may_be_revoked=may_be_revoked)


async def identity_if_any() -> Identity | None:
    """Return the owner of the token; None if it is missing or invalid."""
    try:
        return await verified_identity()
    except Unauthorized:
        return None


def bearer_token() -> str | None:
    """Return the unverified token of `Authorization: Bearer`, if any."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
