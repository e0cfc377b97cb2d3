"""The page at `/docs/socket`: all that the document says, and no scripts."""

import re
from html.parser import HTMLParser

import pytest
from mongomock_motor import AsyncMongoMockClient
from quart import Quart

from realtime.protocol.client_messages import ClientMessage
from realtime.protocol.close_codes import CloseCode
from realtime.protocol.server_messages import ServerMessage
from routes.docs.asyncapi import CHANNELS, asyncapi_document, type_of
from routes.docs.asyncapi_html import socket_page
from tests.support.accounts_app import FakeClock, accounts_app
from tests.support.documents import Json


class Parsed(HTMLParser):
    """Tags with their attributes, and the text between."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(name))]


@pytest.fixture(scope="module")
def document() -> Json:
    return asyncapi_document("1.2.3")


@pytest.fixture(scope="module")
def page(document: Json) -> Parsed:
    return Parsed(socket_page(document))


@pytest.fixture
def app() -> Quart:
    return accounts_app(AsyncMongoMockClient(tz_aware=True)["focusup"], FakeClock())


def test_every_message_field_and_code_is_on_the_page(document: Json, page: Parsed) -> None:
    for channel in CHANNELS:
        kinds: list[type[ClientMessage | ServerMessage]] = [*channel.received, *channel.sent]
        for kind in kinds:
            assert f"{channel.name}-{kind.__name__}" in page.all("id")
            assert f'"type": "{type_of(kind)}"' in page.text
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}):
            assert field in page.text
    for code in (*document["x-error-codes"], *(str(int(code)) for code in CloseCode)):
        assert code in page.text


def test_every_link_on_the_page_leads_somewhere(page: Parsed) -> None:
    anchors = [address[1:] for address in page.all("href") if address.startswith("#")]
    assert len(anchors) > 50
    assert set(anchors) <= set(page.all("id"))
    assert len(set(page.all("id"))) == len(page.all("id"))


def test_the_page_has_no_scripts_and_no_styles_of_its_own(page: Parsed) -> None:
    assert not {tag for tag, _ in page.tags} & {"script", "style", "iframe", "img"}
    assert not page.all("style")
    assert not [address for address in page.all("href") if "//" in address]


def test_what_stands_in_the_document_is_escaped(document: Json) -> None:
    hostile = "<script>alert(1)</script> `<b>`"
    info = {**document["info"], "description": hostile, "title": hostile}
    parsed = Parsed(socket_page({**document, "info": info}))
    assert not {tag for tag, _ in parsed.tags} & {"script", "b"}
    assert parsed.text.count("<script>") == 3


async def test_it_is_served_with_the_policy_of_the_other_page(app: Quart) -> None:
    client = app.test_client()
    answered = await client.get("/asyncapi.json")
    assert (await answered.get_json())["asyncapi"] == "3.0.0"
    for path, media_type in (("/docs/socket", "text/html"), ("/docs/socket.css", "text/css")):
        response = await client.get(path)
        assert response.status_code == 200
        assert response.content_type == f"{media_type}; charset=utf-8"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    other = await (await client.get("/docs")).get_data(as_text=True)
    assert re.search(r'href="docs/socket"', other)
    page = await (await client.get("/docs/socket")).get_data(as_text=True)
    assert 'href="../docs"' in page
    for path in ("/docs/favicon-32x32.png", "/docs"):
        assert (await client.get(path)).status_code == 200
