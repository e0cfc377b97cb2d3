"""Serve `/api/auth`: sign up, sign in, refresh tokens, sign out."""

from quart import Blueprint, request
from quart_schema import security_scheme, tag_blueprint

from models.accounts.service import Logout, Refresh, SignedIn
from models.accounts.users import Credentials, Signup, UserView
from models.base.schema_types import WireModel
from models.tokens.access_tokens import Identity
from routes.access.authentication import (
    SCHEME,
    authenticated,
    identity,
    identity_if_any,
    verified_identity,
)
from routes.access.rate_limits import count_signup, network, password_guess
from routes.access.visitor_cookie import visitor_cookie_removal
from routes.http.error_codes import BUDGET_CODES, TOKEN_CODES, document_problems
from routes.http.operations import Headers, accepts, returns, returns_nothing
from routes.http.services import services

blueprint = Blueprint("auth", __name__, url_prefix="/api/auth")
tag_blueprint(blueprint, ["Accounts"])


class Me(WireModel):
    """Your account."""

    user: UserView


@blueprint.post("/signup")
@accepts(Signup)
@returns(SignedIn, 201)
@document_problems(*BUDGET_CODES, "email_taken", "password_too_common", "too_many_attempts", "busy")
async def signup(body: Signup) -> SignedIn:
    """Create an account.

    You are signed in to it.
    """
    await count_signup()
    return await services().access.accounts.signup(body, services().now(), network())


@blueprint.post("/login")
@accepts(Credentials)
@returns(SignedIn)
@document_problems("invalid_credentials", "account_locked", "too_many_attempts", "busy")
async def login(body: Credentials) -> SignedIn:
    """Sign in.

    A user can have 50 logins. Another one ends the login that was unused for the longest time.
    """
    async with password_guess(body.email):
        return await services().access.accounts.login(body, services().now(), network())


@blueprint.post("/refresh")
@accepts(Refresh)
@returns(SignedIn)
@document_problems("refresh_token_invalid")
async def refresh(body: Refresh) -> SignedIn:
    """Refresh your tokens.

    Returns a new access token and a new refresh token. Until the new refresh token is first used,
    the old one stays valid and returns the same new one, so a lost response does no harm. After
    that, using the old one again means that it was copied: it ends the login and all of its
    tokens.
    """
    return await services().access.accounts.refresh(body.refresh_token, services().now())


@blueprint.post("/logout")
@accepts(Logout)
@security_scheme([{}, {SCHEME: []}])
@returns_nothing
@document_problems(*TOKEN_CODES)
async def logout(body: Logout) -> Headers:
    """Sign out.

    Identify the login by its refresh token, by a bearer token, or by both. Its access tokens stop
    working and its sockets are closed with 4401: at once on this server, within about a second on
    others. Signing out again changes nothing. The visitor cookie is removed, so the next user of
    this browser is a new visitor.
    """
    if body.refresh_token is None:
        user: Identity | None = await verified_identity(may_be_revoked=True)
    else:
        user = await identity_if_any()  # optional, so an expired bearer token does no harm
    await services().access.accounts.logout(body.refresh_token, user, services().now())
    await services().access.revocations.hear()
    return visitor_cookie_removal(request)


@blueprint.post("/logout-everywhere")
@authenticated
@returns_nothing
async def logout_everywhere() -> Headers:
    """Sign out on all devices.

    Ends all of your logins, tokens and sockets. Tokens of another issuer end too if they were
    issued (`iat`) before now.
    """
    await services().access.accounts.logout_everywhere(identity(), services().now())
    await services().access.revocations.hear()
    return visitor_cookie_removal(request)


@blueprint.get("/me")
@authenticated
@returns(Me)
async def me() -> Me:
    """Get your account.

    For users of another issuer only the id is known.
    """
    return Me(user=await services().access.accounts.me(identity()))
