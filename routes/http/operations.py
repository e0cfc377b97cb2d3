"""Declare the body, query and answer of a route once: in the OpenAPI document and in the code.

Place these decorators below `authenticated` and `repeatable`: authentication and idempotency keys
are checked before the body is parsed.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from quart import Response
from quart_schema import document_querystring, document_request, document_response

from models.base.schema_types import WireModel
from routes.http.bodies import NoContent, answer, no_content, read_body, read_query

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=WireModel)
Headers = Mapping[str, str]


def accepts(
    model: type[M],
) -> Callable[[Callable[Concatenate[M, P], Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Read the JSON body into `model` and pass it to the handler as its first argument."""

    def decorate(handler: Callable[Concatenate[M, P], Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        @document_request(model)
        @wraps(handler)
        async def reading(*args: P.args, **kwargs: P.kwargs) -> R:
            return await handler(await read_body(model), *args, **kwargs)

        return reading

    return decorate


def accepts_query(
    model: type[M],
) -> Callable[[Callable[Concatenate[M, P], Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Read the query string into `model` and pass it to the handler as its first argument."""

    def decorate(handler: Callable[Concatenate[M, P], Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        @document_querystring(model)
        @wraps(handler)
        async def reading(*args: P.args, **kwargs: P.kwargs) -> R:
            return await handler(read_query(model), *args, **kwargs)

        return reading

    return decorate


def returns(
    model: type[M], status: int = 200
) -> Callable[[Callable[P, Awaitable[M | tuple[M, Headers]]]], Callable[P, Awaitable[Response]]]:
    """Send the model that the handler returns, or the model and headers, with `status`."""

    def decorate(
        handler: Callable[P, Awaitable[M | tuple[M, Headers]]],
    ) -> Callable[P, Awaitable[Response]]:
        @document_response(model, status)
        @wraps(handler)
        async def answering(*args: P.args, **kwargs: P.kwargs) -> Response:
            result = await handler(*args, **kwargs)
            body, headers = result if isinstance(result, tuple) else (result, None)
            return answer(body, status, headers)

        return answering

    return decorate


def returns_nothing(
    handler: Callable[P, Awaitable[Headers | None]],
) -> Callable[P, Awaitable[Response]]:
    """Answer 204 with the headers that the handler returns, if any."""

    @document_response(NoContent, 204)
    @wraps(handler)
    async def answering(*args: P.args, **kwargs: P.kwargs) -> Response:
        return no_content(await handler(*args, **kwargs))

    return answering
