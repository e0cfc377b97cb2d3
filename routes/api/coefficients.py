"""`/api/admin/page-coefficients`: how long a silence each page earns."""

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag_blueprint

from models.base.schema_types import WireModel
from models.pageviews.coefficients import PageCoefficient, PageCoefficientView, PatternQuery
from routes.access.authentication import admin_only
from routes.http.bodies import NoContent, answer, no_content, read_body, read_query
from routes.http.error_codes import document_problems
from routes.http.services import services

blueprint = Blueprint("coefficients", __name__, url_prefix="/api/admin/page-coefficients")
tag_blueprint(blueprint, ["Admin"])


class PageCoefficientBody(WireModel):
    """One coefficient."""

    page_coefficient: PageCoefficientView


class PageCoefficientList(WireModel):
    """All coefficients, by pattern. Pages that no pattern matches have 1."""

    page_coefficients: list[PageCoefficientView]


@blueprint.get("")
@admin_only
@document_response(PageCoefficientList)
async def list_page_coefficients() -> Response:
    """List the attention coefficients of pages"""
    return answer(
        PageCoefficientList(page_coefficients=await services().page_views.coefficients.all())
    )


@blueprint.put("")
@admin_only
@document_request(PageCoefficient)
@document_response(PageCoefficientBody)
@document_problems("too_many_patterns")
async def put_page_coefficient() -> Response:
    """Set the attention coefficient of all pages that match a pattern

    A visitor of such a page counts as engaged for that much longer a silence. The longest
    pattern that matches a page decides. Views that are open keep what they began with.
    """
    body = await read_body(PageCoefficient)
    stored = await services().page_views.coefficients.put(body, services().now())
    return answer(PageCoefficientBody(page_coefficient=stored))


@blueprint.delete("")
@admin_only
@document_querystring(PatternQuery)
@document_response(NoContent, 204)
@document_problems("coefficient_not_found")
async def delete_page_coefficient() -> Response:
    """Delete the attention coefficient of a pattern"""
    await services().page_views.coefficients.delete(read_query(PatternQuery).pattern)
    return no_content()
