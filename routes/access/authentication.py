"""Who asks: the bearer token of a request.

What must always hold: a handler behind `authenticated` runs only for a verified token,
and says in the OpenAPI document that it needs one.
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
    """Verify the bearer token first; the handler finds its owner in `identity()`."""

    @wraps(handler)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        g.identity = await verified_identity()
        return await handler(*args, **kwargs)

    return security_scheme([{SCHEME: []}])(checked)


def admin_only(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Let admins alone in: those whose token says `role: admin`."""

    @wraps(handler)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if identity().role != ADMIN:
            raise Forbidden("admin_only", "Only an admin may do this.")
        return await handler(*args, **kwargs)

    return document_problems("admin_only")(authenticated(checked))


def leaving(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """`authenticated`, and those who have left are let in as well."""

    @wraps(handler)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        g.identity = await verified_identity(may_be_gone=True)
        return await handler(*args, **kwargs)

    return security_scheme([{SCHEME: []}])(checked)


def identity() -> Identity:
    """Whose token the request carries; only behind `authenticated`."""
    return cast(Identity, g.identity)


async def verified_identity(*, may_be_gone: bool = False, may_be_revoked: bool = False) -> Identity:
    """Verify the bearer token of the request; raises Unauthorized."""
    await services().access.tokens.learn_key(bearer_token())
    return known_identity(may_be_gone=may_be_gone, may_be_revoked=may_be_revoked)


def known_identity(*, may_be_gone: bool = False, may_be_revoked: bool = False) -> Identity:
    """The same, without a look for a key that is not known yet. The signature is verified once
    in a request: ours takes 30 µs, and who asks is needed for the limits too."""
    tokens = services().access.tokens
    if "signed" not in g:
        g.signed = tokens.read(bearer_token(), services().now())
    found = cast(Identity, g.signed)
    return tokens.standing(found, may_be_gone=may_be_gone, may_be_revoked=may_be_revoked)


async def identity_if_any() -> Identity | None:
    """The same where a token is optional; a bad one counts as none."""
    try:
        return await verified_identity()
    except Unauthorized:
        return None


def bearer_token() -> str | None:
    """The token in `Authorization: Bearer`, unverified."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
