"""Traffic held against the documents of the server that it goes to, as it happens."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import jsonschema_rs

from tests.support.documents import Json, operations, resolved, rules
from tests.support.server import Server
from tests.support.socket_client import SocketClient


class Requests:
    """Every request over the clients of `client` is checked against the OpenAPI document;
    `seen` tells the statuses and codes of each operation."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.document: Json = server.rest(None).get("/openapi.json").json()
        self.seen: defaultdict[str, set[int | str]] = defaultdict(set)
        self._known = [
            (method, re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), f"{method} {path}", operation)
            for method, path, operation in operations(self.document)
        ]

    @contextmanager
    def client(self, user: str | None, **options: Any) -> Iterator[httpx.Client]:
        hooks = {"response": [self._check]}
        with self.server.rest(user, event_hooks=hooks, **options) as client:
            yield client

    def _check(self, response: httpx.Response) -> None:
        response.read()
        name, operation = self._operation(response.request)
        answer = resolved(self.document, operation["responses"][str(response.status_code)])
        self.seen[name].add(response.status_code)
        for header, described in answer.get("headers", {}).items():
            assert not described["required"] or header in response.headers, (name, header)
        if "content" not in answer:
            assert response.content == b"", name
        else:
            self._check_body(name, answer["content"], response)
        if response.is_success and response.request.content:
            sent = operation["requestBody"]["content"]["application/json"]["schema"]
            rules(self.document, sent).validate(json.loads(response.request.content))

    def _check_body(self, name: str, content: Json, response: httpx.Response) -> None:
        media_type = response.headers["Content-Type"].partition(";")[0]
        described = content[media_type]
        if media_type.endswith("json"):
            rules(self.document, described["schema"]).validate(response.json())
        if media_type == "application/problem+json":
            self.seen[name].add(response.json()["code"])

    def _operation(self, request: httpx.Request) -> tuple[str, Json]:
        """Of two paths that fit, such as `/a/{x}` and `/a/b`, the one that says more."""
        path = request.url.raw_path.decode().partition("?")[0]
        fitting = [
            (name, operation)
            for method, pattern, name, operation in self._known
            if method == request.method and pattern.fullmatch(path)
        ]
        assert fitting, f"{request.method} {path} is not documented"
        return min(fitting, key=lambda found: found[0].count("{"))


class Frames:
    """Every frame of the connections of `watch` is checked against a channel of the AsyncAPI
    document; `seen` tells the messages that went either way, and the codes of errors."""

    def __init__(self, server: Server, channel: str) -> None:
        self.document: Json = server.rest(None).get("/asyncapi.json").json()
        here = f"#/channels/{channel}"
        self._close_codes = {
            each["code"] for each in self.document["channels"][channel]["x-close-codes"]
        }
        self._heard: dict[str, tuple[Json, Json]] = {}
        self._unasked: dict[str, Json] = {}
        for operation in self.document["operations"].values():
            if operation["channel"]["$ref"] != here:
                continue
            named = self._named(operation["messages"])
            if operation["action"] == "receive":
                ((name, message),) = named.items()
                self._heard[name] = (message, operation)
            else:
                self._unasked = named
        self._asked: dict[str | int, str] = {}
        self.seen: set[str] = set()
        self.codes: set[str] = set()

    @property
    def heard(self) -> set[str]:
        """The messages that the socket understands."""
        return set(self._heard)

    @property
    def said(self) -> set[str]:
        """The messages that the document lets the server say."""
        answers = [
            name
            for _, operation in self._heard.values()
            for name in self._named(operation["reply"]["messages"])
        ]
        return {*answers, *self._unasked}

    def watch(self, client: SocketClient) -> SocketClient:
        send, receive = client.connection.send, client.connection.recv

        async def checked_send(text: Any, *given: Any) -> None:
            self._sent(text)
            await send(text, *given)

        async def checked_receive(*given: Any) -> Any:
            text = await receive(*given)
            self._received(json.loads(text))
            return text

        client.connection.send = checked_send  # type: ignore[method-assign, assignment]
        client.connection.recv = checked_receive  # type: ignore[method-assign, assignment]
        return client

    def closed(self, code: int | None) -> None:
        """The server has closed a connection."""
        assert code in self._close_codes

    def _named(self, references: list[Json]) -> dict[str, Json]:
        messages = [resolved(self.document, reference) for reference in references]
        return {message["name"]: message for message in messages}

    def _sent(self, text: str) -> None:
        """What breaks the rules may be sent, to see the error; it has no part in `seen`."""
        try:
            message = json.loads(text)
            described, _ = self._heard[message["type"]]
            rules(self.document, described["payload"]).validate(message)
        except (ValueError, TypeError, KeyError, jsonschema_rs.ValidationError):
            return
        self.seen.add(message["type"])
        if "id" in message:
            self._asked[message["id"]] = message["type"]

    def _received(self, message: Json) -> None:
        asked = self._asked.pop(message["id"], None) if "id" in message else None
        if asked is None:
            described = self._unasked[message["type"]]
        else:
            _, operation = self._heard[asked]
            described = self._named(operation["reply"]["messages"])[message["type"]]
            if message["type"] == "error":
                assert message["code"] in operation["x-error-codes"], (asked, message)
        rules(self.document, described["payload"]).validate(message)
        self.seen.add(message["type"])
        if message["type"] == "error":
            self.codes.add(message["code"])
