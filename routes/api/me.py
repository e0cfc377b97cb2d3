"""`/api/me`: the password, taking everything along, and leaving."""

from typing import ClassVar

from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_request, document_response, tag_blueprint

from models.accounts.users import Leave, PasswordChange
from models.privacy.export_rows import ExportBody, ExportQuery
from routes.access.authentication import authenticated, identity, leaving
from routes.access.rate_limits import network, one_guess
from routes.access.visitor_cookie import without_visitor
from routes.http.bodies import NoContent, no_content, read_body, read_query
from routes.http.error_codes import document_problems
from routes.http.services import services

blueprint = Blueprint("me", __name__, url_prefix="/api/me")
tag_blueprint(blueprint, ["Learners"])

OWN = "own {}"
"""Guesses at the password of one's own account; a bare id could look like another's address."""


class Export(ExportBody):
    __doc__ = ExportBody.__doc__

    also_as: ClassVar[str] = "text/csv"


@blueprint.get("/export")
@authenticated
@document_querystring(ExportQuery)
@document_response(Export)
@document_problems("too_busy")
async def export_me() -> Response:
    """Take along all that is known of oneself

    Written as it is read, so its length is not known beforehand. Should it break off, the
    connection ends without the last chunk. One at a time.
    """
    kind, exports = read_query(ExportQuery).format, services().exports
    reservation = exports.reserve(identity())
    now = services().now()
    try:
        head = await exports.head(identity(), now)
    except BaseException:
        reservation.release()  # its traceback may be kept, and the reservation with it
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
    response.timeout = None  # it ends when the client takes nothing of it any more
    return response


@blueprint.put("/password")
@authenticated
@document_request(PasswordChange)
@document_response(NoContent, 204)
@document_problems(
    *("password_wrong", "account_not_found", "password_too_common", "too_many_attempts", "busy")
)
async def change_password() -> Response:
    """Change the password

    The present one is needed. All other logins of the user end, with their access tokens and
    sockets, on all servers within 2 s; the login of the bearer token stays. Users of another
    issuer have no password here.
    """
    body, who = await read_body(PasswordChange), identity()
    async with one_guess(OWN.format(who.user_id)):
        await services().access.accounts.change_password(who, body, services().now(), network())
    await services().access.revocations.hear()
    return no_content()


@blueprint.delete("")
@leaving
@document_request(Leave)
@document_response(NoContent, 204)
@document_problems("password_wrong", "too_many_attempts", "busy", "leaving")
async def leave() -> Response:
    """Leave, and be forgotten

    Everything that is known of the user is removed, or made nameless where statistics are
    made of it. All tokens that are out end with it. Who has an account here names its
    password; the token is proof enough for users of another issuer. Asking again changes
    nothing.
    """
    body, who = await read_body(Leave), identity()
    accounts = services().access.accounts

    async def prove() -> bool:
        async with one_guess(OWN.format(who.user_id)):
            return await accounts.prove(who, body.password, network())

    await services().access.deletions.leave(who, prove)
    return no_content(without_visitor(request))
