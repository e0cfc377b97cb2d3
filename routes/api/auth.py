"""`/api/auth`: signing up, in and out, and who one is."""

from quart import Blueprint, Response, request
from quart_schema import document_request, document_response, security_scheme, tag_blueprint

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
from routes.access.rate_limits import network, one_guess, one_signup
from routes.access.visitor_cookie import without_visitor
from routes.http.bodies import NoContent, answer, no_content, read_body
from routes.http.error_codes import OF_A_BUDGET, OF_A_TOKEN, document_problems
from routes.http.services import services

blueprint = Blueprint("auth", __name__, url_prefix="/api/auth")
tag_blueprint(blueprint, ["Accounts"])


class Me(WireModel):
    """The user whose token was sent."""

    user: UserView


@blueprint.post("/signup")
@document_request(Signup)
@document_response(SignedIn, 201)
@document_problems(*OF_A_BUDGET, "email_taken", "password_too_common", "too_many_attempts", "busy")
async def signup() -> Response:
    """Make an account, and sign in"""
    body = await read_body(Signup)
    await one_signup()
    return answer(await services().access.accounts.signup(body, services().now(), network()), 201)


@blueprint.post("/login")
@document_request(Credentials)
@document_response(SignedIn)
@document_problems("invalid_credentials", "account_locked", "too_many_attempts", "busy")
async def login() -> Response:
    """Sign in

    A user has at most 50 logins; a further one ends the one that was not used for longest.
    """
    body = await read_body(Credentials)
    async with one_guess(body.email):
        return answer(await services().access.accounts.login(body, services().now(), network()))


@blueprint.post("/refresh")
@document_request(Refresh)
@document_response(SignedIn)
@document_problems("refresh_token_invalid")
async def refresh() -> Response:
    """Trade the refresh token for a new pair of tokens

    The traded one stays good, and gives the same refresh token again, until that one is first
    used: an answer that is lost does no harm, however long the outage. Used after that, it
    proves that there is a copy, and ends the login with all of its tokens.
    """
    body = await read_body(Refresh)
    return answer(await services().access.accounts.refresh(body.refresh_token, services().now()))


@blueprint.post("/logout")
@document_request(Logout)
@security_scheme([{}, {SCHEME: []}])
@document_response(NoContent, 204)
@document_problems(*OF_A_TOKEN)
async def logout() -> Response:
    """Sign out

    Name the login by its refresh token, by a bearer token, or by both. Its access tokens are
    refused from then on, and its sockets closed with 4401: here at once, on other servers
    within a second or so. Signing out again changes nothing. The browser forgets its visitor, so
    that who uses it next is another one.
    """
    body = await read_body(Logout)
    if body.refresh_token is None:
        who: Identity | None = await verified_identity(may_be_revoked=True)
    else:
        who = await identity_if_any()  # it is enough: an expired bearer beside it does no harm
    await services().access.accounts.logout(body.refresh_token, who, services().now())
    await services().access.revocations.hear()
    return no_content(without_visitor(request))


@blueprint.post("/logout-everywhere")
@authenticated
@document_response(NoContent, 204)
async def logout_everywhere() -> Response:
    """Sign out everywhere

    Ends every login of the user and every token that is out, with their sockets, as signing
    out does it for one. A token of another issuer counts as out if it was issued (`iat`) by
    now.
    """
    await services().access.accounts.logout_everywhere(identity(), services().now())
    await services().access.revocations.hear()
    return no_content(without_visitor(request))


@blueprint.get("/me")
@authenticated
@document_response(Me)
async def me() -> Response:
    """Tell who the bearer token belongs to

    A token of another issuer works too: then only its id is known.
    """
    return answer(Me(user=await services().access.accounts.me(identity())))
