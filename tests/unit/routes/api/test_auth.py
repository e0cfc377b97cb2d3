"""`/api/auth` as a client sees it."""

import json
import time
from typing import Any

import jwt
import pytest
from mongomock_motor import AsyncMongoMockClient
from pymongo.errors import ServerSelectionTimeoutError
from quart import Quart, Response
from quart.typing import TestClientProtocol as Client

from models.base.database import Database
from routes.http.services import KEY, utc_now
from tests.support.accounts_app import ACCESS_TTL_S, REFRESH_TTL_S, SECRET, FakeClock, accounts_app

ADA = {"email": "ada@example.com", "password": "correct horse"}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def app(clock: FakeClock) -> Quart:
    db: Database = AsyncMongoMockClient(tz_aware=True)["focusup"]
    await db["users"].create_index("email", unique=True)
    return accounts_app(db, clock)


@pytest.fixture
def client(app: Quart) -> Client:
    return app.test_client()


async def post(client: Client, what: str, body: object = None, **more: Any) -> Response:
    data = None if body is None else json.dumps(body)
    return await client.post(f"/api/auth/{what}", data=data, **more)


async def signed_up(client: Client) -> dict[str, Any]:
    response = await post(client, "signup", ADA)
    assert response.status_code == 201
    body: dict[str, Any] = await response.get_json()
    return body


def bearer(token: str) -> dict[str, dict[str, str]]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


async def code_of(response: Response, status: int) -> str:
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    body = json.loads(await response.get_data())
    assert body["status"] == status
    return str(body["code"])


async def me(client: Client, token: str) -> Response:
    return await client.get("/api/auth/me", **bearer(token))


async def test_signing_up_answers_all_that_a_front_end_needs(client: Client) -> None:
    response = await post(client, "signup", ADA | {"name": "Ada", "timeZone": "Europe/London"})
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    body = await response.get_json()
    user = body.pop("user")
    assert user.pop("id")
    assert user == {
        "email": "ada@example.com",
        "name": "Ada",
        "timeZone": "Europe/London",
        "role": "user",
        "createdAt": "2026-03-01T12:00:00.000Z",
        "passwordExpiresAt": None,
    }
    assert body.pop("accessToken") == body.pop("token")
    assert body.pop("refreshToken").count(".") == 1
    assert body == {"tokenType": "Bearer", "expiresAt": "2026-03-01T13:00:00.000Z"}


async def test_logging_in_answers_the_same_user(client: Client) -> None:
    first = await signed_up(client)
    response = await post(client, "login", ADA | {"email": "ADA@example.com"})
    assert response.status_code == 200
    second = await response.get_json()
    assert second["user"] == first["user"]
    assert second["refreshToken"] != first["refreshToken"]
    assert set(second) == set(first)


async def test_wrong_password_and_unknown_user_get_the_same_answer(
    client: Client,
) -> None:
    await signed_up(client)
    wrong = await post(client, "login", ADA | {"password": "wrong"})
    unknown = await post(client, "login", ADA | {"email": "eve@example.com"})
    assert await wrong.get_data() == await unknown.get_data()
    assert await code_of(wrong, 401) == await code_of(unknown, 401) == "invalid_credentials"
    assert wrong.headers["WWW-Authenticate"] == 'Bearer realm="focusup"'


async def test_an_address_is_taken_in_any_spelling(client: Client) -> None:
    await signed_up(client)
    response = await post(client, "signup", ADA | {"email": "Ada@Example.COM"})
    assert await code_of(response, 409) == "email_taken"


async def test_me_is_the_owner_of_the_token(client: Client) -> None:
    body = await signed_up(client)
    response = await me(client, body["token"])
    assert await response.get_json() == {"user": body["user"]}


async def test_me_works_for_a_user_of_another_issuer(client: Client, clock: FakeClock) -> None:
    expires = int(clock().timestamp()) + 60
    token = jwt.encode({"id": "their user 7", "role": "teacher", "exp": expires}, SECRET)
    response = await me(client, token)
    assert response.status_code == 200
    assert await response.get_json() == {
        "user": {
            "id": "their user 7",
            "email": None,
            "name": None,
            "timeZone": "UTC",
            "role": "teacher",
            "createdAt": None,
            "passwordExpiresAt": None,
        }
    }


async def test_the_scheme_is_read_in_any_case(client: Client) -> None:
    token = (await signed_up(client))["token"]
    response = await client.get("/api/auth/me", headers={"Authorization": f"bearer  {token} "})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("header", "code", "challenge"),
    [
        (None, "token_missing", 'Bearer realm="focusup"'),
        ("", "token_missing", 'Bearer realm="focusup"'),
        ("Bearer", "token_missing", 'Bearer realm="focusup"'),
        ("Basic YTpi", "token_missing", 'Bearer realm="focusup"'),
        ("Bearer x.y.z", "token_invalid", 'Bearer realm="focusup", error="invalid_token"'),
        ("Bearer \xe4", "token_invalid", 'Bearer realm="focusup", error="invalid_token"'),
    ],
)
async def test_without_a_good_token_nobody_is_let_in(
    client: Client, header: str | None, code: str, challenge: str
) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = await client.get("/api/auth/me", headers=headers)
    assert await code_of(response, 401) == code
    assert response.headers["WWW-Authenticate"] == challenge


async def test_an_access_token_expires(client: Client, clock: FakeClock) -> None:
    body = await signed_up(client)
    clock.advance(ACCESS_TTL_S + 6)
    assert await code_of(await me(client, body["token"]), 401) == "token_expired"
    renewed = await post(client, "refresh", {"refreshToken": body["refreshToken"]})
    assert (await me(client, (await renewed.get_json())["token"])).status_code == 200


async def test_a_refresh_token_used_after_its_successor_signs_out(
    client: Client, clock: FakeClock
) -> None:
    first = (await signed_up(client))["refreshToken"]
    response = await post(client, "refresh", {"refreshToken": first})
    assert response.status_code == 200
    second = (await response.get_json())["refreshToken"]
    clock.advance(86_400)
    # The answer was lost: nothing tells when its client asks again.
    response = await post(client, "refresh", {"refreshToken": first})
    assert (await response.get_json())["refreshToken"] == second
    response = await post(client, "refresh", {"refreshToken": second})
    third = (await response.get_json())["refreshToken"]
    for token in (first, second, third):
        response = await post(client, "refresh", {"refreshToken": token})
        assert await code_of(response, 401) == "refresh_token_invalid"


async def test_a_refresh_token_expires(client: Client, clock: FakeClock) -> None:
    token = (await signed_up(client))["refreshToken"]
    clock.advance(REFRESH_TTL_S)
    response = await post(client, "refresh", {"refreshToken": token})
    assert await code_of(response, 401) == "refresh_token_invalid"


async def test_the_login_of_a_deleted_user_cannot_be_refreshed() -> None:
    db: Database = AsyncMongoMockClient(tz_aware=True)["focusup"]
    client = accounts_app(db, FakeClock()).test_client()
    token = (await signed_up(client))["refreshToken"]
    await db["users"].delete_many({})
    response = await post(client, "refresh", {"refreshToken": token})
    assert await code_of(response, 401) == "refresh_token_invalid"
    assert await db["logins"].count_documents({}) == 0


@pytest.mark.parametrize("by", ["refreshToken", "bearer", "both"])
async def test_signing_out_ends_the_login_and_can_be_repeated(client: Client, by: str) -> None:
    body = await signed_up(client)
    sent = {"refreshToken": body["refreshToken"]} if by != "bearer" else None
    more = bearer(body["token"]) if by != "refreshToken" else {}
    for _ in range(2):
        response = await post(client, "logout", sent, **more)
        assert response.status_code == 204
        assert await response.get_data() == b""
    response = await post(client, "refresh", {"refreshToken": body["refreshToken"]})
    assert await code_of(response, 401) == "refresh_token_invalid"


async def test_signing_out_of_nothing_is_refused(client: Client, clock: FakeClock) -> None:
    body = await signed_up(client)
    assert await code_of(await post(client, "logout"), 401) == "token_missing"
    assert await code_of(await post(client, "logout", {"refreshToken": None}), 401)
    clock.advance(ACCESS_TTL_S + 6)
    more = bearer(body["token"])
    assert await code_of(await post(client, "logout", **more), 401) == "token_expired"
    # With the refresh token, an expired access token beside it does no harm.
    sent = {"refreshToken": body["refreshToken"]}
    assert (await post(client, "logout", sent, **more)).status_code == 204


async def test_signing_out_of_one_device_leaves_the_other(client: Client) -> None:
    first = await signed_up(client)
    second = await (await post(client, "login", ADA)).get_json()
    await post(client, "logout", {"refreshToken": first["refreshToken"]})
    response = await post(client, "refresh", {"refreshToken": second["refreshToken"]})
    assert response.status_code == 200


BAD: list[tuple[str, object, str]] = [
    ("signup", {}, "email"),
    ("signup", ADA | {"email": "nobody"}, "email"),
    ("signup", ADA | {"email": {"$gt": ""}}, "email"),
    ("signup", ADA | {"password": "short"}, "password"),
    ("signup", ADA | {"password": ["correct horse"]}, "password"),
    ("signup", ADA | {"timeZone": "Mars/Olympus"}, "timeZone"),
    ("signup", ADA | {"time_zone": "UTC"}, "time_zone"),
    ("signup", ADA | {"isAdmin": True}, "isAdmin"),
    ("login", ADA | {"password": ""}, "password"),
    ("login", ADA | {"password": {"$ne": None}}, "password"),
    ("login", {"password": "x"}, "email"),
    ("refresh", {}, "refreshToken"),
    ("refresh", {"refreshToken": 5}, "refreshToken"),
    ("refresh", {"refreshToken": "x" * 513}, "refreshToken"),
    ("refresh", {"refresh_token": "x"}, "refreshToken"),
    ("logout", {"refreshToken": ""}, "refreshToken"),
    ("logout", {"everywhere": True}, "everywhere"),
    ("login", [], "body"),
    ("login", "text", "body"),
    ("login", 0, "body"),
]


@pytest.mark.parametrize(("what", "body", "field"), BAD)
async def test_bad_bodies(client: Client, what: str, body: object, field: str) -> None:
    response = await post(client, what, body)
    assert await code_of(response, 422) == "invalid_body"
    errors = json.loads(await response.get_data())["errors"]
    assert field in [error["field"] for error in errors]


@pytest.mark.parametrize("what", ["signup", "login", "refresh"])
async def test_a_body_is_needed(client: Client, what: str) -> None:
    assert await code_of(await post(client, what), 400) == "body_missing"


async def test_curls_content_type_is_taken_for_what_it_is(client: Client) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await post(client, "signup", ADA, headers=form)).status_code == 201


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
async def test_other_methods_are_told_which_one_is_right(client: Client, method: str) -> None:
    response = await getattr(client, method)("/api/auth/login")
    assert await code_of(response, 405) == "method_not_allowed"
    assert set(response.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


async def test_a_database_that_does_not_answer_is_a_503(
    app: Quart, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = await signed_up(client)

    async def silent(*_: object) -> None:
        raise ServerSelectionTimeoutError("10.0.0.7:27017: timed out")

    monkeypatch.setattr("models.accounts.users.find_user", silent)
    response = await me(client, body["token"])
    assert await code_of(response, 503) == "database_unavailable"
    assert int(response.headers["Retry-After"]) >= 1
    assert b"10.0.0.7" not in await response.get_data()
    # A failed refresh has not spent the token.
    sent = {"refreshToken": body["refreshToken"]}
    assert await code_of(await post(client, "refresh", sent), 503) == "database_unavailable"
    monkeypatch.undo()
    assert (await post(client, "refresh", sent)).status_code == 200


async def test_real_time_is_the_default_clock(app: Quart, client: Client) -> None:
    assert abs(utc_now().timestamp() - time.time()) < 5
    assert utc_now().tzinfo is not None
    assert app.extensions[KEY].now is not utc_now
