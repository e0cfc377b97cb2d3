"""The OpenAPI document, and the page that shows it."""

import json
import re
from typing import Annotated, Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from pydantic import Field
from quart import Quart, Response
from quart_schema import document_querystring, document_request, document_response

from models.base.schema_types import UtcDatetime, WireModel
from routes.access.authentication import authenticated
from routes.docs.openapi import Document, install_openapi
from routes.docs.swagger_ui import FILES
from routes.http.bodies import answer, read_body, read_query
from routes.http.error_codes import CODES, document_problems
from tests.support.accounts_app import FakeClock, accounts_app


class Choice(WireModel):
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    from_: Annotated[UtcDatetime | None, Field(alias="from")] = None
    tag: str | None = None


class Given(WireModel):
    """A given number."""

    given: int = 1


def other_routes(app: Quart) -> None:
    @app.get("/things/<thing_id>/<int:number>")
    @authenticated
    @document_querystring(Choice)
    @document_response(Given)
    async def things(thing_id: str, number: int) -> Response:
        return answer(read_query(Given))

    @app.post("/things")
    @document_request(Given)
    @document_response(Given, 201)
    @document_problems("session_ended", "too_many_requests")
    async def make_thing() -> Response:
        return answer(await read_body(Given), 201)


@pytest.fixture
def app() -> Quart:
    return accounts_app(AsyncMongoMockClient(tz_aware=True)["focusup"], FakeClock())


@pytest.fixture
async def document(app: Quart) -> dict[str, Any]:
    other_routes(app)
    response = await app.test_client().get("/openapi.json")
    assert response.status_code == 200
    assert response.content_type == "application/json"
    body: dict[str, Any] = await response.get_json()
    return body


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for item in document["paths"].values() for operation in item.values()]


def statuses(document: dict[str, Any], path: str, method: str) -> set[str]:
    return set(document["paths"][path][method]["responses"])


def test_every_account_route_is_described(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == "1.2.3"
    described = {
        (path.removeprefix("/api/auth/"), *item)
        for path, item in document["paths"].items()
        if path.startswith("/api/auth/")
    }
    assert described == {
        ("signup", "post"),
        ("login", "post"),
        ("refresh", "post"),
        ("logout", "post"),
        ("logout-everywhere", "post"),
        ("me", "get"),
    }


def test_the_page_itself_is_not_part_of_it(document: dict[str, Any]) -> None:
    assert not [path for path in document["paths"] if path.startswith(("/docs", "/openapi"))]


def test_every_operation_has_a_name_of_its_own_a_tag_and_a_summary(app: Quart) -> None:
    # Without `other_routes`, whose handlers have neither.
    document = app.extensions["QUART_SCHEMA"].openapi_provider.schema()
    names = [operation["operationId"] for operation in operations(document)]
    assert sorted(names) == ["login", "logout", "logout_everywhere", "me", "refresh", "signup"]
    assert all(operation["tags"] == ["Accounts"] for operation in operations(document))
    assert all(operation["summary"] for operation in operations(document))


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    assert len(references) > 20
    for reference in references:
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        (
            "/api/auth/signup",
            "post",
            {"201", "400", "403", "408", "409", "413", "415", "422", "429", "500", "503"},
        ),
        (
            "/api/auth/login",
            "post",
            {"200", "400", "401", "403", "408", "413", "415", "422", "429", "500", "503"},
        ),
        (
            "/api/auth/logout",
            "post",
            {"204", "400", "401", "403", "408", "413", "415", "422", "429", "500", "503"},
        ),
        ("/api/auth/me", "get", {"200", "401", "429", "500", "503"}),
        ("/things/{thing_id}/{number}", "get", {"200", "401", "404", "422", "429", "500", "503"}),
        (
            "/things",
            "post",
            {"201", "400", "403", "408", "409", "413", "415", "422", "429", "500", "503"},
        ),
    ],
)
def test_what_an_operation_can_answer(
    document: dict[str, Any], path: str, method: str, expected: set[str]
) -> None:
    assert statuses(document, path, method) == expected


def test_problems_are_problem_json_with_their_headers(document: dict[str, Any]) -> None:
    responses = document["components"]["responses"]
    for name, response in responses.items():
        status, *codes = name.removeprefix("Problem").split(".")
        (media_type,) = response["content"]
        assert media_type == "application/problem+json"
        problem, narrowed = response["content"][media_type]["schema"]["allOf"]
        assert problem == {"$ref": "#/components/schemas/Problem"}
        assert narrowed["properties"]["code"] == {"enum": codes}
        assert {str(CODES[code].status) for code in codes} == {status}
        assert all(f"`{code}`" in response["description"] for code in codes)
        headers = {
            "401": ["WWW-Authenticate"],
            "429": ["Retry-After"],
            "503": ["Retry-After"],
        }
        assert list(response.get("headers", ())) == headers.get(status, [])
    assert set(document["components"]["schemas"]["Problem"]["properties"]) == {
        *("type", "title", "status", "detail", "code", "errors")
    }


def test_a_204_has_no_content(document: dict[str, Any]) -> None:
    response = document["paths"]["/api/auth/logout"]["post"]["responses"]["204"]
    assert set(response) == {"description"}


def test_bodies_are_required_where_a_field_is(document: dict[str, Any]) -> None:
    required = {
        operation["operationId"]: operation["requestBody"]["required"]
        for operation in operations(document)
        if "requestBody" in operation
    }
    assert required == {
        "signup": True,
        "login": True,
        "refresh": True,
        "logout": False,
        "make_thing": False,
    }


def test_who_needs_a_token(document: dict[str, Any]) -> None:
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert document["components"]["securitySchemes"]["bearer"] == scheme
    security = {
        operation["operationId"]: operation.get("security") for operation in operations(document)
    }
    assert security["me"] == security["things"] == [{"bearer": []}]
    assert security["logout"] == [{}, {"bearer": []}]
    assert security["login"] is security["signup"] is security["refresh"] is None


def test_parameters_have_their_shapes(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/things/{thing_id}/{number}"]["get"]["parameters"]
    schemas = {(item["in"], item["name"]): item["schema"] for item in parameters}
    assert schemas["path", "thing_id"]["pattern"] == "^[0-9a-f]{24}$"
    assert schemas["path", "number"]["type"] == "integer"
    limit = schemas["query", "limit"]
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 100, 20)
    # What is not sent is no null.
    assert schemas["query", "from"]["format"] == "date-time"
    assert schemas["query", "tag"]["type"] == "string"
    assert "null" not in json.dumps(parameters)


def test_schemas_say_what_is_checked(document: dict[str, Any]) -> None:
    signup = document["components"]["schemas"]["Signup"]
    assert signup["additionalProperties"] is False
    assert signup["required"] == ["email", "password"]
    fields = signup["properties"]
    assert list(fields) == ["email", "password", "name", "timeZone"]
    assert (fields["email"]["format"], fields["email"]["maxLength"]) == ("email", 254)
    password = fields["password"]
    assert (password["minLength"], password["maxLength"], password["writeOnly"]) == (8, 1024, True)
    assert "Europe/Berlin" in fields["timeZone"]["examples"]
    created = document["components"]["schemas"]["UserView"]["properties"]["createdAt"]
    assert {"type": "string", "format": "date-time"} in created["anyOf"]


def test_one_name_stands_for_one_schema() -> None:
    class Twin(WireModel):
        a: int

    first = Twin

    class Twin(WireModel):  # type: ignore[no-redef]
        b: int

    app = Quart("test", static_folder=None)
    install_openapi(app, "1", {})
    provider = app.extensions["QUART_SCHEMA"].openapi_provider
    assert isinstance(provider, Document)
    for place, model in enumerate((first, Twin)):
        app.add_url_rule(f"/{place}", f"view{place}", document_response(model)(lambda: ""))
    with pytest.raises(ValueError, match="Twin"):
        provider.schema()


def test_a_code_that_only_sockets_say_is_no_problem() -> None:
    app = Quart("test", static_folder=None)
    install_openapi(app, "1", {})
    handler = document_problems("unknown_type")(document_response(Given)(lambda: ""))
    app.add_url_rule("/given", "given", handler)
    with pytest.raises(ValueError, match="unknown_type"):
        app.extensions["QUART_SCHEMA"].openapi_provider.schema()


async def test_the_document_is_made_once(app: Quart) -> None:
    provider = app.extensions["QUART_SCHEMA"].openapi_provider
    assert provider.schema() is provider.schema()


async def test_the_page_and_all_it_asks_for_come_from_here(app: Quart) -> None:
    client = app.test_client()
    response = await client.get("/docs")
    page = await response.get_data(as_text=True)
    assert response.content_type == "text/html; charset=utf-8"
    assert "//" not in page
    assert "<script>" not in page
    assert "style=" not in page
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        found = await client.get(f"/{address}")
        assert found.status_code == 200, address
        assert len(await found.get_data()) > 50
    script = await (await client.get("/docs/init.js")).get_data(as_text=True)
    assert 'url: "openapi.json"' in script
    assert "validatorUrl: null" in script


async def test_the_page_may_load_nothing_from_elsewhere(app: Quart) -> None:
    response = await app.test_client().get("/docs")
    policy = dict(
        rule.split(" ", 1) for rule in response.headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["style-src"] == "'self'"
    assert "unsafe" not in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "name", ["nothing.js", "../__init__.py", "..%2f__init__.py", "LICENSE", "%2e%2e/x", "init.js/x"]
)
async def test_no_other_file_is_served(app: Quart, name: str) -> None:
    response = await app.test_client().get(f"/docs/{name}")
    assert response.status_code == 404
    assert name not in FILES
