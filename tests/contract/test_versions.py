"""ETag and If-Match: a change is made to what its client has seen, or not at all."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.test_accuracy import passes
from tests.support.app_server import AppServer
from tests.support.socket_client import connected


@pytest.fixture
def rest(live_server: AppServer, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with live_server.rest(f"versions {request.node.name}") as client:
        yield client


def refused(answer: httpx.Response) -> bool:
    if answer.status_code != 412:
        return False
    assert answer.json()["code"] == "changed_meanwhile"
    return True


def changed(rest: httpx.Client, path: str, tag: str, **fields: object) -> httpx.Response:
    return rest.put(path, json=fields, headers={"If-Match": tag})


def new(rest: httpx.Client) -> tuple[str, str]:
    answer = rest.post("/api/sessions", json={"title": "one"})
    path = answer.headers["location"]
    assert rest.get(path).headers["etag"] == answer.headers["etag"]
    return path, answer.headers["etag"]


def test_a_session_changes_as_it_was_seen(rest: httpx.Client) -> None:
    path, first = new(rest)
    answer = changed(rest, path, first, title="two")
    second = answer.headers["etag"]
    assert answer.is_success
    assert second != first
    for fields in ({"title": "three"}, {"activeSeconds": 9}, {"status": "paused"}):
        assert refused(changed(rest, path, first, **fields))
    assert refused(rest.put(f"{path}/end", headers={"If-Match": first}))
    assert refused(rest.delete(path, headers={"If-Match": first}))
    assert rest.get(path).json()["session"]["title"] == "two"
    for tag in ("*", f'"other", {second}', f"W/{second}", f'{second[:-1]}-gzip"'):
        assert changed(rest, path, tag).is_success
    twice = [("If-Match", '"other"'), ("If-Match", second)]
    assert rest.put(path, json={}, headers=twice).is_success
    assert rest.put(path, json={"title": "without"}).is_success
    third = rest.get(path).headers["etag"]
    assert rest.put(f"{path}/end", headers={"If-Match": third}).is_success
    assert rest.delete(path, headers={"If-Match": rest.get(path).headers["etag"]}).is_success


@pytest.mark.parametrize("header", ["one", '"', "", '"a" "b"'])
def test_an_odd_header_matches_nothing(rest: httpx.Client, header: str) -> None:
    path, _ = new(rest)
    assert refused(changed(rest, path, header, title="two"))


async def test_what_is_counted_is_no_change(app_server: AppServer) -> None:
    def ask(work: object, *args: object, **options: object) -> "asyncio.Future[httpx.Response]":
        return asyncio.to_thread(work, *args, **options)  # type: ignore[arg-type,return-value]

    with app_server.rest("ada") as rest:
        path, before = await asyncio.to_thread(new, rest)
        async with connected(app_server) as client:
            await client.start(path.rsplit("/", 1)[1])
            tag = (await ask(rest.get, path)).headers["etag"]
            assert tag != before
            await passes(app_server, 3.5)
            assert (await ask(changed, rest, path, tag, title="two")).is_success
            assert refused(await ask(changed, rest, path, tag, title="three"))
            tag = (await ask(rest.get, path)).headers["etag"]
            assert (await ask(changed, rest, path, tag, status="paused")).is_success
            assert refused(await ask(changed, rest, path, tag, status="active"))


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [
        ("/api/goals", {"dailyMinutes": 30}, {"weeklyMinutes": 60}),
        ("/api/me/settings", {"timeZone": "Asia/Tokyo"}, {"weekStartsOn": "sunday"}),
    ],
)
def test_goals_and_settings_change_as_they_were_seen(
    rest: httpx.Client, path: str, one: dict[str, object], other: dict[str, object]
) -> None:
    first = rest.get(path).headers["etag"]
    answer = changed(rest, path, first, **one)
    assert answer.is_success
    assert refused(changed(rest, path, first, **other))
    assert rest.get(path).json() == answer.json()
    assert changed(rest, path, answer.headers["etag"], **other).is_success
    assert rest.put(path, json=one).is_success


def test_two_changes_of_the_same_version_are_one(live_server: AppServer) -> None:
    with live_server.rest("versions at once") as rest:
        path, tag = new(rest)

        def change(number: int) -> int:
            with live_server.rest("versions at once") as client:
                return changed(client, path, tag, title=f"of {number}").status_code

        async def all_at_once() -> list[int]:
            return list(await asyncio.gather(*(asyncio.to_thread(change, n) for n in range(8))))

        statuses = asyncio.run(all_at_once())
    assert sorted(statuses) == [200, *[412] * 7]


def test_pages_of_other_origins_may_use_them(rest: httpx.Client) -> None:
    origin = {"Origin": "http://localhost:3000"}
    asked = {**origin, "Access-Control-Request-Method": "PUT"}
    asked["Access-Control-Request-Headers"] = "authorization,if-match"
    answer = rest.options("/api/goals", headers=asked)
    assert "if-match" in answer.headers["access-control-allow-headers"].lower()
    exposed = rest.get("/api/goals", headers=origin).headers["access-control-expose-headers"]
    assert "etag" in exposed.lower()
