"""Searching one's sessions over REST: as text, with the other filters, page by page."""

import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.support.server import Server

SESSIONS = "/api/sessions"


@pytest.fixture
def rest(live_server: Server) -> Iterator[httpx.Client]:
    with live_server.rest(uuid.uuid4().hex) as client:
        for number in range(30):
            fields = {
                "title": f"Chapter {number}",
                "notes": "Zellen & .* (100%)" if number % 2 else None,
                "tags": ["even"] if number % 3 == 0 else [],
            }
            assert client.post(SESSIONS, json=fields).status_code == 201
        yield client


def titles(rest: httpx.Client, **query: str | int) -> list[str]:
    found: list[str] = []
    while True:
        answer = rest.get(SESSIONS, params=query)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found += [session["title"].removeprefix("Chapter ") for session in body["sessions"]]
        if body["nextCursor"] is None:
            return found
        assert len(body["sessions"]) == query["limit"]
        query["cursor"] = body["nextCursor"]


def test_text_is_found_in_title_and_notes_on_every_page(rest: httpx.Client) -> None:
    newest_first = [str(number) for number in reversed(range(30))]
    assert titles(rest, limit=7) == newest_first
    odd = [title for title in newest_first if int(title) % 2]
    assert titles(rest, q="zellen", limit=4) == odd
    assert titles(rest, q="chapter 1", limit=4) == [t for t in newest_first if t.startswith("1")]
    both = [title for title in odd if int(title) % 3 == 0]
    assert titles(rest, q="ZELLEN", tag="even", status="active", limit=2) == both


@pytest.mark.parametrize("text", [".*", "100%", "(100%)", "& ."])
def test_signs_stand_for_themselves(rest: httpx.Client, text: str) -> None:
    assert len(titles(rest, q=text, limit=100)) == 15


@pytest.mark.parametrize("text", ["^Chapter", "Chapter.*", "$", "[a-z]", '{"$ne": null}'])
def test_no_pattern_finds_anything(rest: httpx.Client, text: str) -> None:
    assert titles(rest, q=text, limit=100) == []


@pytest.mark.parametrize("query", ["q=", f"q={'x' * 201}", "q[$regex]=.", "q[$ne]=x", "q=a&q=b"])
def test_everything_else_is_refused(rest: httpx.Client, query: str) -> None:
    answer = rest.get(f"{SESSIONS}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_query")
