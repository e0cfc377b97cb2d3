"""How often one may ask, over real sockets: guesses and sign-ups on two servers together,
REST by user, messages and sockets by connection."""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pymongo
import pytest
from click.testing import CliRunner

from focusup.cli import main
from models.accounts.login_throttle import FREE, WAITS_S
from routes.access.rate_limits import PERIOD, RateLimitStore
from tests.support.database_server import Database
from tests.support.live_server import LiveServer, running_server
from tests.support.socket_client import connected, new_session

NAME = "focusup"
PASSWORD, WRONG = "correct horse", "incorrect horse"
PER_MINUTE, PER_ADDRESS = 30, 10
LIMITS = {
    "RATE_LIMITS": "on",
    "REQUESTS_PER_MINUTE": str(PER_MINUTE),
    "ATTEMPTS_PER_ADDRESS": str(PER_ADDRESS),
    "TRUSTED_PROXIES": "127.0.0.1",  # so that tests come from wherever they like
}
SAMPLES = 8


class Place(NamedTuple):
    """An address from which two servers are asked in turn."""

    servers: tuple[LiveServer, ...]
    address: str

    def post(self, path: str, body: dict[str, str], on: int = 0, **more: Any) -> httpx.Response:
        return self.ask("POST", path, on, json=body, **more)

    def ask(self, method: str, path: str, on: int = 0, **more: Any) -> httpx.Response:
        more["headers"] = {"X-Forwarded-For": self.address, **more.get("headers", {})}
        with self.servers[on % len(self.servers)].rest(None) as anyone:
            return anyone.request(method, path, **more)

    def sign_up(self, email: str) -> httpx.Response:
        return self.post("/api/auth/signup", {"email": email, "password": PASSWORD})

    def sign_in(self, email: str, password: str = PASSWORD, on: int = 0) -> httpx.Response:
        return self.post("/api/auth/login", {"email": email, "password": password}, on)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("limits"))
    database.start()
    try:
        yield database
    finally:
        database.remove()


@pytest.fixture(scope="module")
def servers(
    database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LiveServer, ...]]:
    settings = {"MONGODB_URI": database.uri, "MONGODB_DATABASE": NAME, **LIMITS}
    with (
        running_server(tmp_path_factory.mktemp("a"), **settings) as a,
        running_server(tmp_path_factory.mktemp("b"), **settings) as b,
    ):
        yield a, b


_places = iter(range(1, 250))


@pytest.fixture
def here(servers: tuple[LiveServer, ...]) -> Place:
    return Place(servers, f"203.0.113.{next(_places)}")


@pytest.fixture
def there(servers: tuple[LiveServer, ...]) -> Place:
    return Place(servers, f"203.0.113.{next(_places)}")


@pytest.fixture
def email(servers: tuple[LiveServer, ...]) -> str:
    """Of an account that was made somewhere else."""
    address = new_email()
    made = Place(servers, f"203.0.113.{next(_places)}").sign_up(address)
    assert made.status_code == 201, made.text
    return address


def new_email() -> str:
    return f"{uuid.uuid4().hex}@example.com"


def told(answer: httpx.Response) -> tuple[int, str, bool]:
    return answer.status_code, answer.json()["code"], "Retry-After" in answer.headers


REFUSED = (429, "too_many_attempts", True)
WAS_WRONG = (401, "invalid_credentials", False)


# --- guesses ------------------------------------------------------------------------------


def test_guesses_wait_longer_each_time_whichever_server_is_asked(here: Place, email: str) -> None:
    for each in range(FREE):
        assert told(here.sign_in(email, WRONG, on=each)) == WAS_WRONG
    for on in range(2):
        answer = here.sign_in(email, PASSWORD, on)  # nor is the right one tried meanwhile
        assert told(answer) == REFUSED
        assert 1 <= int(answer.headers["Retry-After"]) <= WAITS_S[0]
    time.sleep(int(answer.headers["Retry-After"]))
    assert told(here.sign_in(email, WRONG)) == WAS_WRONG
    answer = here.sign_in(email, WRONG, on=1)
    assert told(answer) == REFUSED
    assert WAITS_S[0] < int(answer.headers["Retry-After"]) <= WAITS_S[1]


def test_an_attacker_keeps_nobody_out_who_is_elsewhere(
    here: Place, there: Place, email: str
) -> None:
    for _ in range(FREE):
        here.sign_in(email, WRONG)
    assert told(here.sign_in(email)) == REFUSED
    assert there.sign_in(email).status_code == 200


def test_after_the_wait_the_right_password_is_right(here: Place, email: str) -> None:
    for _ in range(FREE):
        here.sign_in(email, WRONG)
    time.sleep(WAITS_S[0])
    assert here.sign_in(email).status_code == 200


def test_a_right_password_forgives_what_was_mistyped(here: Place, email: str) -> None:
    for _ in range(2):
        for each in range(FREE - 1):
            assert told(here.sign_in(email, WRONG, on=each)) == WAS_WRONG
        assert here.sign_in(email).status_code == 200


def test_an_unknown_user_gets_the_answers_of_a_wrong_password(
    here: Place, there: Place, email: str
) -> None:
    known = [here.sign_in(email, WRONG) for _ in range(FREE + 2)]
    nobody = new_email()
    unknown = [there.sign_in(nobody, WRONG) for _ in range(FREE + 2)]
    assert [told(answer) for answer in known] == [told(answer) for answer in unknown]
    assert [answer.content for answer in known] == [answer.content for answer in unknown]
    assert [set(answer.headers) for answer in known] == [set(a.headers) for a in unknown]


def test_an_unknown_user_gets_them_after_the_same_time(
    servers: tuple[LiveServer, ...], email: str
) -> None:
    took_s: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(SAMPLES):
        for known in (True, False):
            place = Place(servers[:1], f"203.0.113.{next(_places)}")
            began_s = time.perf_counter()
            answer = place.sign_in(email if known else new_email(), WRONG)
            took_s[known].append(time.perf_counter() - began_s)
            assert told(answer) == WAS_WRONG
    # The least of each, which a busy machine delays the least.
    assert 0.6 < min(took_s[True]) / min(took_s[False]) < 1.7, took_s


def test_an_address_may_not_try_one_password_on_everybody(here: Place, there: Place) -> None:
    for each in range(PER_ADDRESS):
        assert told(here.sign_in(new_email(), WRONG, on=each)) == WAS_WRONG
    assert told(here.sign_in(new_email(), WRONG, on=1)) == REFUSED
    assert told(there.sign_in(new_email(), WRONG)) == WAS_WRONG


def test_an_ipv6_network_is_one_address(servers: tuple[LiveServer, ...]) -> None:
    network = f"2001:db8:0:{next(_places):x}"
    for each in range(PER_ADDRESS):
        place = Place(servers, f"{network}::{each + 1:x}")
        assert told(place.sign_in(new_email(), WRONG, on=each)) == WAS_WRONG
    assert told(Place(servers, f"{network}:ffff::1").sign_in(new_email(), WRONG)) == REFUSED
    beside = Place(servers, f"2001:db8:1:{next(_places):x}::1")
    assert told(beside.sign_in(new_email(), WRONG)) == WAS_WRONG


def test_signing_up_is_limited_by_address(here: Place, there: Place) -> None:
    bodies = [{"email": new_email(), "password": PASSWORD} for _ in range(PER_ADDRESS + 1)]
    answers = [here.post("/api/auth/signup", body, on) for on, body in enumerate(bodies)]
    assert [answer.status_code for answer in answers] == [201] * PER_ADDRESS + [429]
    assert told(answers[-1]) == REFUSED
    assert there.sign_up(new_email()).status_code == 201


def test_the_password_asked_for_at_leaving_is_no_way_round(here: Place, email: str) -> None:
    token = here.sign_in(email).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    statuses = [
        here.ask("DELETE", "/api/me", each, json={"password": WRONG}, headers=headers).status_code
        for each in range(FREE + 1)
    ]
    assert statuses == [403] * FREE + [429]


def test_a_forwarded_address_is_believed_from_a_proxy_alone(tmp_path: Path) -> None:
    settings = {**LIMITS, "TRUSTED_PROXIES": ""}
    with running_server(tmp_path, **settings) as server:
        nobody = new_email()
        answers = [
            Place((server,), f"198.51.100.{each}").sign_in(nobody, WRONG)
            for each in range(FREE + 1)
        ]
        assert told(answers[-1]) == REFUSED


def test_neither_database_nor_log_holds_an_address(
    here: Place, database: Database, servers: tuple[LiveServer, ...]
) -> None:
    here.sign_up(new_email())
    here.sign_in(new_email(), WRONG)
    mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(database.uri)
    with mongo:
        assert mongo[NAME]["attempts"].find_one()
        for collection in mongo[NAME].list_collection_names():
            for document in mongo[NAME][collection].find():
                assert "203.0.113." not in str(document), collection
    for server in servers:
        assert "203.0.113." not in server.log()


def test_without_a_database_no_password_is_compared(tmp_path: Path) -> None:
    database = Database(tmp_path)
    database.start()
    try:
        settings = {"MONGODB_URI": database.uri, "MONGODB_DATABASE": NAME, **LIMITS}
        with running_server(tmp_path, **settings) as server:
            place, account = Place((server,), "203.0.113.254"), new_email()
            place.sign_up(account)
            database.kill()
            for password in (PASSWORD, WRONG):
                assert told(place.sign_in(account, password)) == (503, "database_unavailable", True)
            database.start()
            deadline_s = time.monotonic() + 20
            while (answer := place.sign_in(account)).status_code == 503:
                assert time.monotonic() < deadline_s
            assert answer.status_code == 200  # and what could not be noted kept nobody out
    finally:
        database.remove()


# --- REST ---------------------------------------------------------------------------------


def listed(place: Place, user: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {place.servers[0].token(user)}"}
    return place.ask("GET", "/api/sessions", headers=headers)


def test_a_user_may_ask_so_often_and_is_told_so(here: Place, user: str) -> None:
    first = listed(here, user)
    assert first.status_code == 200
    assert first.headers["RateLimit-Limit"] == str(PER_MINUTE)
    assert int(first.headers["RateLimit-Remaining"]) == PER_MINUTE - 1
    assert 1 <= int(first.headers["RateLimit-Reset"]) <= 60 / PER_MINUTE
    began_s = time.monotonic()
    passed = 1
    while (answer := listed(here, user)).status_code == 200:
        passed += 1
    gained = (time.monotonic() - began_s) * PER_MINUTE / 60
    assert PER_MINUTE <= passed <= PER_MINUTE + gained + 1
    assert told(answer) == (429, "too_many_requests", True)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60 / PER_MINUTE
    assert answer.headers["RateLimit-Remaining"] == "0"
    assert listed(here, uuid.uuid4().hex).status_code == 200  # somebody else, from there
    time.sleep(int(answer.headers["Retry-After"]))
    assert listed(here, user).status_code == 200


def test_preflights_are_not_counted(here: Place, user: str) -> None:
    """They carry no token, so they would count for all who share an address."""
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
    for _ in range(PER_MINUTE + 8):
        assert here.ask("OPTIONS", "/api/sessions", headers=asked).status_code == 200
    assert listed(here, user).status_code == 200


async def test_a_clock_that_is_set_back_keeps_nobody_out() -> None:
    callers, now = RateLimitStore(), datetime.now(UTC)
    await callers.set("endpoint\0somebody", now + timedelta(hours=1))
    assert await callers.get("endpoint\0somebody", now) == now
    await callers.set("endpoint\0somebody", now + PERIOD)
    assert await callers.get("endpoint\0somebody", now) == now + PERIOD


def test_whatever_is_asked_for_counts_together(here: Place, user: str) -> None:
    headers = {"Authorization": f"Bearer {here.servers[0].token(user)}"}
    left = [
        int(here.ask("GET", path, headers=headers).headers["RateLimit-Remaining"])
        for path in ("/api/sessions", "/api/goals", "/api/stats/me", "/api/sessions")
    ]
    assert left[0] > left[1] > left[2] > left[3] - 1
    assert left[3] < PER_MINUTE - 2


def test_made_up_tokens_gain_nobody_anything(here: Place) -> None:
    statuses = [
        here.ask(
            "GET", "/api/goals", headers={"Authorization": f"Bearer {uuid.uuid4()}"}
        ).status_code
        for _ in range(PER_MINUTE + 8)
    ]
    assert statuses[:PER_MINUTE] == [401] * PER_MINUTE
    assert 429 in statuses[PER_MINUTE:]


@pytest.mark.parametrize("path", ["/api/health", "/api/health/live", "/", "/docs", "/focusup.js"])
def test_probes_and_pages_are_not_counted(here: Place, path: str) -> None:
    for _ in range(PER_MINUTE + 8):
        answer = here.ask("GET", path)
        assert answer.status_code == 200
    assert "RateLimit-Limit" not in answer.headers


# --- sockets ------------------------------------------------------------------------------


async def test_messages_of_one_connection_are_limited(
    servers: tuple[LiveServer, ...], user: str
) -> None:
    async with connected(servers[0], user) as client, connected(servers[0], user) as other:
        for _ in range(300):
            await client.send("ping")
        assert await client.closed() == 4429
        assert (await other.ask("ping", "pong"))["type"] == "pong"


async def test_activity_may_come_sixty_times_a_second(
    servers: tuple[LiveServer, ...], user: str
) -> None:
    session = new_session(servers[0], user)
    async with connected(servers[0], user) as client:
        await client.start(session)
        for _ in range(600):
            await client.send("activity")
        assert (await client.ask("ping", "pong"))["type"] == "pong"


# --- what is on by default ----------------------------------------------------------------


def test_the_smoke_test_passes_with_the_limits_on(tmp_path: Path) -> None:
    with running_server(tmp_path, RATE_LIMITS="on") as server:
        for _ in range(3):
            done = CliRunner().invoke(main, ["smoke", "--url", server.url, "--seconds", "2"])
            assert done.exit_code == 0, done.output


def test_one_setting_turns_the_limits_off(tmp_path: Path, user: str) -> None:
    with running_server(tmp_path, **{**LIMITS, "RATE_LIMITS": "off"}) as server:
        place, nobody = Place((server,), "203.0.113.253"), new_email()
        for _ in range(PER_MINUTE + 8):
            answer = listed(place, user)
            assert answer.status_code == 200
        assert "RateLimit-Limit" not in answer.headers
        for _ in range(PER_ADDRESS + 1):
            assert told(place.sign_in(nobody, WRONG)) == WAS_WRONG
