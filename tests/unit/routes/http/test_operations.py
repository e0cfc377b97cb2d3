"""Routes that declare their body, query and answer once."""

from quart import Quart
from quart_schema import QuartSchema

from models.base.schema_types import WireModel
from routes.http.operations import Headers, accepts, accepts_query, returns, returns_nothing
from routes.http.problems import install_problems


class Thing(WireModel):
    name: str


class Filter(WireModel):
    name: str = "any"


def make_app() -> Quart:
    app = Quart("test", static_folder=None)
    install_problems(app)
    QuartSchema(app)

    @app.put("/things/<thing_id>")
    @accepts(Thing)
    @returns(Thing, 201)
    async def put_thing(body: Thing, thing_id: str) -> tuple[Thing, Headers]:
        """Put a thing."""
        return body, {"Location": f"/things/{thing_id}"}

    @app.get("/things")
    @accepts_query(Filter)
    @returns(Thing)
    async def find_thing(query: Filter) -> Thing:
        return Thing(name=query.name)

    @app.delete("/things")
    @returns_nothing
    async def delete_things() -> Headers:
        return {"X-Deleted": "2"}

    @app.delete("/things/<thing_id>")
    @returns_nothing
    async def delete_thing(thing_id: str) -> None:
        """Delete a thing."""

    return app


async def test_the_body_is_the_first_argument_and_headers_are_sent() -> None:
    client = make_app().test_client()
    response = await client.put("/things/7", json={"name": "chair"})
    assert (response.status_code, response.headers["Location"]) == (201, "/things/7")
    assert await response.get_json() == {"name": "chair"}


async def test_an_invalid_body_or_query_is_a_problem() -> None:
    client = make_app().test_client()
    body = await client.put("/things/7", json={"name": 1})
    query = await client.get("/things?colour=red")
    assert [body.status_code, query.status_code] == [422, 422]
    problems = [await response.get_json() for response in (body, query)]
    assert [problem["code"] for problem in problems] == ["invalid_body", "invalid_query"]


async def test_the_query_is_the_first_argument() -> None:
    client = make_app().test_client()
    response = await client.get("/things?name=table")
    assert (response.status_code, await response.get_json()) == (200, {"name": "table"})


async def test_nothing_is_a_204_with_or_without_headers() -> None:
    client = make_app().test_client()
    with_headers, without = await client.delete("/things"), await client.delete("/things/7")
    assert (with_headers.status_code, with_headers.headers["X-Deleted"]) == (204, "2")
    assert (without.status_code, await without.get_data()) == (204, b"")


def test_both_are_in_the_document() -> None:
    app = make_app()
    document = app.extensions["QUART_SCHEMA"].openapi_provider.schema()
    put = document["paths"]["/things/{thing_id}"]["put"]
    assert put["summary"] == "Put a thing."
    assert set(put["responses"]) == {201}
    assert "requestBody" in put
    (parameter,) = document["paths"]["/things"]["get"]["parameters"]
    assert (parameter["in"], parameter["name"]) == ("query", "name")
