"""Serve `/api/me`: export data, change the password, delete the account."""

from typing import ClassVar

from quart import Blueprint, Response, request
from quart_schema import document_response, tag_blueprint

from models.accounts.users import Leave, PasswordChange
from models.privacy.export_rows import ExportBody, ExportQuery
from routes.access.authentication import (
    authenticated,
    authenticated_or_deleted,
    identity,
)
from routes.access.rate_limits import network, password_guess
from routes.access.visitor_cookie import visitor_cookie_removal
from routes.http.error_codes import document_problems
from routes.http.operations import Headers, accepts, accepts_query, returns_nothing
from routes.http.services import services

blueprint = Blueprint("me", __name__, url_prefix="/api/me")
tag_blueprint(blueprint, ["Learners"])

OWN_ACCOUNT = "own {}"
"""Key of the guesses at the password of the signed-in user's account.

The prefix keeps a user id of another issuer from passing as the e-mail address of an account.
"""


class Export(ExportBody):
    """All of your data. As `text/csv`: the sessions only, one per row."""

    also_as: ClassVar[str] = "text/csv"
    """Another content type of the answer, for the OpenAPI document."""


@blueprint.get("/export")
@authenticated
@accepts_query(ExportQuery)
@document_response(Export)
@document_problems("too_busy")
async def export_me(query: ExportQuery) -> Response:
    """Export your data.

    The export is streamed, so its length is not known in advance. If it fails midway, the
    connection closes without the last chunk. Only one export runs at a time.
    """
    kind, exports = query.format, services().exports
    reservation = exports.reserve(identity())
    now = services().now()
    try:
        head = await exports.head(identity(), now)
    except BaseException:
        reservation.release()  # a kept traceback would keep the reservation
        raise
    if request.method == "HEAD":
        reservation.release()
        response = Response(b"")
    elif kind == "json":
        response = Response(exports.json(reservation, head, now))
    else:
        response = Response(exports.csv(reservation, head.account.id, now))
    response.content_type = "application/json" if kind == "json" else "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = (
        f'attachment; filename="focusup-{now:%Y-%m-%d}.{kind}"'
    )
    response.timeout = None  # a client that stops reading ends it instead
    return response


@blueprint.put("/password")
@authenticated
@accepts(PasswordChange)
@returns_nothing
@document_problems(
    *("password_wrong", "account_not_found", "password_too_common", "too_many_attempts", "busy")
)
async def change_password(body: PasswordChange) -> None:
    """Change your password.

    Requires the current password. All of your other logins end within 2 s, with their access
    tokens and sockets; the login of this token stays. Users of another issuer have no password
    on this server.
    """
    user = identity()
    async with password_guess(OWN_ACCOUNT.format(user.user_id)):
        await services().access.accounts.change_password(user, body, services().now(), network())
    await services().access.revocations.hear()


@blueprint.delete("")
@authenticated_or_deleted
@accepts(Leave)
@returns_nothing
@document_problems("password_wrong", "too_many_attempts", "busy", "leaving")
async def leave(body: Leave) -> Headers:
    """Delete your account.

    All of your data is deleted; anonymous statistics remain. All of your tokens end. Requires your
    password, except for users of another issuer. Repeating the request changes nothing.
    """
    user = identity()
    accounts = services().access.accounts

    async def prove() -> bool:
        async with password_guess(OWN_ACCOUNT.format(user.user_id)):
            return await accounts.prove(user, body.password, network())

    await services().access.deletions.leave(user, prove)
    return visitor_cookie_removal(request)
