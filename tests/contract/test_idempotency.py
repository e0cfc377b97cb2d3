"""`Idempotency-Key`: what is sent again, since its answer was lost, is made once."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest

from models.accounts.idempotency_keys import MAX_BODY_CHARS, Claimed, Request, fingerprint
from routes.access import idempotency
from tests.support.app_server import AppServer, running_app
from tests.support.embedded import shared_uri

HEADER = "Idempotency-Key"
SESSIONS, EVENTS, VISITS = "/api/sessions", "/api/track-event", "/api/track-visit"
LONGEST = "\x01"  # six characters of JSON


@pytest.fixture
def user() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def rest(live_server: AppServer, user: str) -> Iterator[httpx.Client]:
    with live_server.rest(user) as rest:
        yield rest


@pytest.fixture
def key() -> dict[str, str]:
    return {HEADER: str(uuid.uuid4())}


def count(server: AppServer, collection: str, **wanted: Any) -> int:
    with pymongo.MongoClient[dict[str, Any]](server.mongodb_uri) as client:
        return client[server.database][collection].count_documents(wanted)


def code(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["code"])


def same(first: httpx.Response, again: httpx.Response) -> bool:
    named = ("content-type", "location")
    return (
        (first.status_code, first.content) == (again.status_code, again.content)
        and [first.headers.get(name) for name in named]
        == [again.headers.get(name) for name in named]
        and again.headers["Idempotent-Replayed"] == "true"
    )


def test_a_session_that_is_sent_again_is_one(
    live_server: AppServer, rest: httpx.Client, user: str, key: dict[str, str]
) -> None:
    body = {"title": "é", "tags": ["a"]}
    first = rest.post(SESSIONS, json=body, headers=key)
    assert first.status_code == 201
    rest.put(f"{SESSIONS}/{first.json()['session']['_id']}", json={"title": "another"})
    again = rest.post(SESSIONS, json=body, headers=key)
    assert same(first, again)
    assert "Idempotent-Replayed" not in first.headers
    assert count(live_server, "sessions", userId=user) == 1


def test_the_longest_answer_is_remembered(rest: httpx.Client, key: dict[str, str]) -> None:
    tags = [f"{number:02}" + LONGEST * 48 for number in range(20)]
    texts = {"notes": LONGEST * 5000, "title": LONGEST * 200, "contentId": LONGEST * 200}
    first, again = (rest.post(SESSIONS, json={**texts, "tags": tags}, headers=key) for _ in "12")
    assert same(first, again)
    assert len(first.text) < MAX_BODY_CHARS


@pytest.mark.parametrize(
    ("path", "body"),
    [(SESSIONS, {"title": "x"}), (EVENTS, {"type": "app_open"}), (VISITS, {"sessionId": "1"})],
)
def test_another_request_with_the_key_is_refused(
    live_server: AppServer, rest: httpx.Client, user: str, key: dict[str, str], path: str, body: Any
) -> None:
    rest.post(SESSIONS, json={}, headers=key).raise_for_status()
    assert code(rest.post(path, json=body, headers=key), 422) == "idempotency_key_reused"
    assert count(live_server, "sessions", userId=user) == 1


def test_a_body_that_says_the_same_is_the_same(
    live_server: AppServer, rest: httpx.Client, user: str, key: dict[str, str]
) -> None:
    bodies = (b'{"title":"\xc3\xa9","tags":["a"]}', b'{ "tags": ["a"], "title": "\\u00e9" }')
    first, again = (
        rest.post(SESSIONS, content=body, headers={**key, "Content-Type": "application/json"})
        for body in bodies
    )
    assert same(first, again)
    assert count(live_server, "sessions", userId=user) == 1


@pytest.mark.parametrize("with_a_token", [True, False])
def test_an_event_that_is_sent_again_is_one(
    live_server: AppServer, user: str, key: dict[str, str], *, with_a_token: bool
) -> None:
    name = uuid.uuid4().hex
    with live_server.rest(user if with_a_token else None) as rest:
        body = {"type": "action", "actionName": name}
        first, again = (rest.post(EVENTS, json=body, headers=key) for _ in "12")
    assert first.status_code == 204
    assert same(first, again)
    assert count(live_server, "activity_events", action_name=name) == 1


def test_a_visit_is_answered_the_same(live_server: AppServer, key: dict[str, str]) -> None:
    with live_server.rest(None) as rest:
        body = {"sessionId": uuid.uuid4().hex}
        assert same(*(rest.post(VISITS, json=body, headers=key) for _ in "12"))


def test_keys_of_two_users_are_two(
    live_server: AppServer, rest: httpx.Client, key: dict[str, str]
) -> None:
    rest.post(SESSIONS, json={}, headers=key).raise_for_status()
    with live_server.rest(uuid.uuid4().hex) as other:
        answer = other.post(SESSIONS, json={"title": "x"}, headers=key)
    assert answer.status_code == 201


@pytest.mark.parametrize("value", ["", "a b", "é", "x" * 256, "a\tb"])
def test_a_key_is_of_visible_ascii(rest: httpx.Client, value: str) -> None:
    answer = rest.post(SESSIONS, json={}, headers={HEADER.encode(): value.encode()})
    assert code(answer, 422) == "invalid_header"
    assert [error["field"] for error in answer.json()["errors"]] == [HEADER]


def test_a_key_is_given_once(rest: httpx.Client) -> None:
    answer = rest.post(SESSIONS, json={}, headers=[(HEADER, "a"), (HEADER, "a")])
    assert code(answer, 422) == "invalid_header"


@pytest.mark.parametrize("value", ["!", "x" * 255, '"quoted"'])
def test_odd_keys_are_keys(rest: httpx.Client, value: str) -> None:
    assert same(*(rest.post(SESSIONS, json={}, headers={HEADER: value}) for _ in "12"))


def test_a_refusal_is_not_remembered(rest: httpx.Client, key: dict[str, str]) -> None:
    assert rest.post(SESSIONS, json={"title": 1}, headers=key).status_code == 422
    assert rest.post(SESSIONS, content=b"{", headers=key).status_code == 400
    assert rest.post(SESSIONS, json={"title": "x"}, headers=key).status_code == 201


def test_a_failure_is_not_remembered_and_what_it_made_is_found(
    live_server: AppServer,
    rest: httpx.Client,
    user: str,
    key: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lost(*_args: Any) -> None:
        raise TimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(live_server.services.sessions.tracking, "view", lost, raising=True)
        assert rest.post(SESSIONS, json={}, headers=key).status_code == 503
    made = rest.post(SESSIONS, json={}, headers=key)
    assert made.status_code == 201
    assert same(made, rest.post(SESSIONS, json={}, headers=key))
    assert count(live_server, "sessions", userId=user) == 1


def test_a_request_that_is_under_way_is_waited_for_and_then_named(
    live_server: AppServer,
    rest: httpx.Client,
    user: str,
    key: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency, "PAUSES_S", (0.01,))
    asked = Request(f"user {user}", user, key[HEADER], fingerprint("POST", f"{SESSIONS}?", b"{}"))
    claimed = live_server.call(
        lambda services: services.access.idempotency_keys.claim(asked, services.now())
    )
    assert isinstance(claimed, Claimed)
    assert code(rest.post(SESSIONS, json={}, headers=key), 409) == "idempotency_in_progress"
    live_server.call(
        lambda services: services.access.idempotency_keys.release(
            claimed, services.now(), refused=False
        )
    )
    assert rest.post(SESSIONS, json={}, headers=key).status_code == 201


def test_two_servers_at_once_make_one(tmp_path: Path, user: str) -> None:
    uri = shared_uri()
    with (
        running_app(tmp_path / "a", uri) as a,
        running_app(tmp_path / "b", uri, database=a.database) as b,
        a.rest(user) as to_a,
        b.rest(user) as to_b,
        ThreadPoolExecutor(8) as pool,
    ):
        for number in range(3):
            body, key = {"title": f"{number}"}, {HEADER: f"key-{number}"}
            sent = [
                pool.submit(rest.post, SESSIONS, json=body, headers=key)
                for rest in [to_a, to_b] * 4
            ]
            answers = [each.result() for each in sent]
            assert {(each.status_code, each.text) for each in answers} == {(201, answers[0].text)}
            assert sum("Idempotent-Replayed" not in each.headers for each in answers) == 1
        assert count(a, "sessions", userId=user) == 3


def test_without_a_key_each_is_another(
    live_server: AppServer, rest: httpx.Client, user: str
) -> None:
    for _ in "12":
        rest.post(SESSIONS, json={}).raise_for_status()
    assert count(live_server, "sessions", userId=user) == 2
    assert count(live_server, "idempotency_keys", userId=user) == 0
