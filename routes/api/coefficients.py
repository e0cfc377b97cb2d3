"""Serve `/api/admin/page-coefficients`: how much longer visitors of a page may stay still."""

from quart import Blueprint
from quart_schema import tag_blueprint

from models.base.schema_types import WireModel
from models.pageviews.coefficients import PageCoefficient, PageCoefficientView, PatternQuery
from routes.access.authentication import admin_only
from routes.http.error_codes import document_problems
from routes.http.operations import accepts, accepts_query, returns, returns_nothing
from routes.http.services import services

blueprint = Blueprint("coefficients", __name__, url_prefix="/api/admin/page-coefficients")
tag_blueprint(blueprint, ["Admin"])


class PageCoefficientBody(WireModel):
    """An attention coefficient."""

    page_coefficient: PageCoefficientView


class PageCoefficientList(WireModel):
    """All attention coefficients, sorted by pattern. Pages without a matching pattern use 1."""

    page_coefficients: list[PageCoefficientView]


@blueprint.get("")
@admin_only
@returns(PageCoefficientList)
async def list_page_coefficients() -> PageCoefficientList:
    """List the attention coefficients."""
    return PageCoefficientList(page_coefficients=await services().page_views.coefficients.all())


@blueprint.put("")
@admin_only
@accepts(PageCoefficient)
@returns(PageCoefficientBody)
@document_problems("too_many_patterns")
async def put_page_coefficient(body: PageCoefficient) -> PageCoefficientBody:
    """Set the attention coefficient of a pattern.

    Multiplies the idle limit on matching pages. The longest match wins. Open views keep the
    coefficient they started with.
    """
    stored = await services().page_views.coefficients.put(body, services().now())
    return PageCoefficientBody(page_coefficient=stored)


@blueprint.delete("")
@admin_only
@accepts_query(PatternQuery)
@returns_nothing
@document_problems("coefficient_not_found")
async def delete_page_coefficient(query: PatternQuery) -> None:
    """Delete the attention coefficient of a pattern."""
    await services().page_views.coefficients.delete(query.pattern)
