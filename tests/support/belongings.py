"""Somebody with a bit of everything, and what every door of the server looks like."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx

from tests.support.documents import Json, operations
from tests.support.page_client import viewing
from tests.support.server import Server

PASSWORD = "correct horse"


class Door(NamedTuple):
    """An operation: its template, a valid body where it takes one, and its query."""

    method: str
    path: str
    body: Json | None
    query: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def doors(document: Json) -> Iterator[Door]:
    """All operations of an OpenAPI document."""
    for method, path, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        body = content["application/json"]["example"] if content else None
        query = [each["name"] for each in operation["parameters"] if each["in"] == "query"]
        yield Door(method, path, body, tuple(query))


@dataclass
class Person:
    """`mark` is in everything that is theirs and can be named."""

    server: Server
    mark: str
    user_id: str
    token: str
    refresh_token: str
    session: str
    visitor: str
    """The key."""
    view: str
    """The id of a page view."""

    @property
    def visitor_id(self) -> str:
        return self.visitor.partition(".")[0]

    @property
    def email(self) -> str:
        return f"{self.mark}@example.com"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What tells others of them."""
        return self.mark, self.user_id, self.session, self.view, self.visitor_id

    def rest(self) -> httpx.Client:
        client = self.server.rest(None)
        client.headers["Authorization"] = f"Bearer {self.token}"
        return client

    def path(self, template: str) -> str:
        """The address of theirs at a door."""
        named = {"session_id": self.session, "visitor": self.visitor_id, "user": self.user_id}
        return template.format(**named)

    def everything(self) -> Any:
        """All that is known of them, but for what changes by itself."""
        with self.rest() as rest:
            export = rest.get("/api/me/export").json()
        for login in export["account"].get("logins", ()):
            login.pop("rotatedAt", None)
        return {name: told for name, told in export.items() if name != "exportedAt"}

    def still(self, before: Any) -> Any:
        """What is left of all that was known, beside what others viewed in the same browser."""
        found = {**self.everything(), "visitors": before["visitors"]}
        for name in ("pageViews", "browserSessions"):
            ids = {each["_id"] for each in before[name]}
            found[name] = [each for each in found[name] if each["_id"] in ids]
        return found


async def somebody(server: Server, *, visitor: str | None = None) -> Person:
    """An account with a session, goals, an event and a page view (in this visitor's browser)."""
    mark = f"mark{uuid.uuid4().hex}"
    with server.rest(None) as anyone:
        account = {"email": f"{mark}@example.com", "password": PASSWORD, "name": mark}
        made = await asyncio.to_thread(anyone.post, "/api/auth/signup", json=account)
        assert made.status_code == 201, made.text
        signed_in = made.json()
        anyone.headers["Authorization"] = f"Bearer {signed_in['token']}"
        session = anyone.post("/api/sessions", json={"title": mark, "notes": mark}).json()
        anyone.put("/api/goals", json={"dailyMinutes": 17}).raise_for_status()
        anyone.post("/api/heartbeat").raise_for_status()
        anyone.post("/api/track-event", json={"type": "login"}).raise_for_status()
    async with viewing(server, visitor=visitor, token=signed_in["token"]) as client:
        viewed = await client.view(f"/{mark}", title=mark)
        await client.ask("leave", "left")
    return Person(
        server=server,
        mark=mark,
        user_id=signed_in["user"]["id"],
        token=signed_in["token"],
        refresh_token=signed_in["refreshToken"],
        session=session["session"]["_id"],
        visitor=visitor or viewed["visitor"],
        view=viewed["viewId"],
    )
