"""Views by beacon and their statistics, over HTTP."""

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.support.app_server import running_app
from tests.support.embedded import shared_uri
from tests.support.server import Server

COOKIE = "focusup_visitor"


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One of our own: the pages of other tests are none of its statistics."""
    with running_app(tmp_path_factory.mktemp("stats"), shared_uri()) as server:
        yield server


@pytest.fixture
def admin(live_server: Server) -> httpx.Client:
    headers = {"Authorization": f"Bearer {live_server.token('root', role='admin')}"}
    return httpx.Client(base_url=live_server.url, headers=headers, timeout=20, verify=False)


def a_page() -> str:
    return f"/page-{uuid.uuid4().hex}"


def beacon(page: str, sequence: int = 0, **fields: Any) -> dict[str, Any]:
    counted = {"visibleSeconds": 0, "engagedSeconds": 0}
    return {"view": "v1", "sequence": sequence, "page": page, **counted, **fields}


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def rows(admin: httpx.Client, page: str) -> list[dict[str, Any]]:
    found = admin.get("/api/stats/pages", params={"limit": 100, "sort": "page"}).json()
    return [row for row in found["pages"] if row["page"] == page]


def test_a_beacon_as_browsers_send_it(live_server: Server) -> None:
    page = a_page()
    with live_server.rest(None) as browser:
        first = browser.post(
            "/api/track-engagement",
            content=json.dumps(beacon(page)),
            headers={"Content-Type": "text/plain;charset=UTF-8"},
        )
        assert first.status_code == 200, first.text
        cookie = first.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        body = first.json()
        assert body["visitor"] == browser.cookies[COOKIE]
        assert {key: body["view"][key] for key in ("sequence", "visibleSeconds")} == {
            "sequence": 0,
            "visibleSeconds": 0,
        }
        again = browser.post("/api/track-engagement", json=beacon(page, 1, visibleSeconds=1000))
        assert "Set-Cookie" not in again.headers
        assert again.json()["visitor"] is None
        assert again.json()["view"]["viewId"] == body["view"]["viewId"]
        assert again.json()["view"]["visibleSeconds"] < 20


def test_a_front_end_on_another_origin_keeps_the_key(live_server: Server) -> None:
    page = a_page()
    url = f"{live_server.url}/api/track-engagement"
    first = httpx.post(url, json=beacon(page)).json()
    second = httpx.post(url, json=beacon(page, 1, visitor=first["visitor"])).json()
    assert second["view"]["viewId"] == first["view"]["viewId"]
    assert second["visitor"] == first["visitor"]
    forged = first["visitor"][:-1] + ("0" if first["visitor"][-1] != "0" else "1")
    third = httpx.post(url, json=beacon(page, 1, visitor=forged)).json()
    assert third["view"]["viewId"] != first["view"]["viewId"]
    assert third["visitor"] not in {first["visitor"], forged}


def test_a_page_of_a_foreign_origin_is_refused(live_server: Server) -> None:
    refused = httpx.post(
        f"{live_server.url}/api/track-engagement",
        json=beacon(a_page()),
        headers={"Origin": "https://evil.example"},
    )
    assert problem(refused) == (403, "origin_not_allowed")


@pytest.mark.parametrize(
    "fields",
    [
        {"view": ""},
        {"view": "v" * 65},
        {"sequence": -1},
        {"visibleSeconds": -1},
        {"engagedSeconds": 2**31},
        {"page": "p" * 201},
        {"params": {f"p{number}": 1 for number in range(21)}},
        {"params": {"a.b": 1}},
        {"title": "t" * 201},
        {"mouse": [1, 2]},
    ],
)
def test_what_is_no_beacon_is_refused(live_server: Server, fields: dict[str, Any]) -> None:
    body = beacon(a_page()) | fields
    refused = httpx.post(f"{live_server.url}/api/track-engagement", json=body)
    assert problem(refused) == (422, "invalid_body")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/stats"),
        ("GET", "/api/stats/pages"),
        ("GET", "/api/admin/page-coefficients"),
        ("PUT", "/api/admin/page-coefficients"),
        ("DELETE", "/api/admin/page-coefficients"),
    ],
)
def test_admins_alone_are_let_in(live_server: Server, method: str, path: str) -> None:
    with live_server.rest("ada") as user, live_server.rest(None) as nobody:
        assert problem(user.request(method, path)) == (403, "admin_only")
        assert problem(nobody.request(method, path)) == (401, "token_missing")


def test_statistics_of_pages(admin: httpx.Client, live_server: Server) -> None:
    page = a_page()
    url = f"{live_server.url}/api/track-engagement"
    for view in ("v1", "v2"):
        httpx.post(url, json=beacon(page, view=view))
    # What was read in the last five seconds is not read again.
    for _ in range(12):
        if rows(admin, page):
            break
        time.sleep(0.5)
    (row,) = rows(admin, page)
    nothing = {"total": 0, "mean": None, "median": None}
    assert row == {
        "views": 2,
        "neverVisible": 2,
        "visitors": 2,
        "visibleSeconds": nothing,
        "engagedSeconds": nothing,
        "page": page,
    }
    found = admin.get("/api/stats/pages").json()
    assert len(found["series"]) == 30
    today = datetime.now(UTC).date().isoformat()
    assert found["series"][-1]["at"] == f"{today}T00:00:00.000Z"
    assert found["total"]["views"] >= found["series"][-1]["views"] >= 2
    hours = admin.get("/api/stats/pages", params={"by": "hour", "from": today}).json()
    assert len(hours["series"]) == 24
    of_users = admin.get("/api/stats").json()["stats"]
    assert of_users["users"] >= 2
    assert set(of_users["visibleSeconds"]) == {"total", "perUser"}


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-01-02", "to": "2026-01-02"},
        {"from": "1999-01-01"},
        {"from": "2026-01-01T00:00:00Z"},
        {"from": "yesterday"},
        {"by": "minute"},
        {"by": "hour", "from": "2026-01-01", "to": "2026-03-01"},
        {"limit": "0"},
        {"sort": "median"},
        {"sort": ["page", "views"]},
    ],
)
def test_what_is_no_range_is_refused(admin: httpx.Client, query: dict[str, Any]) -> None:
    assert problem(admin.get("/api/stats/pages", params=query)) == (422, "invalid_query")


def test_a_visitor_reads_itself_and_nobody_else(live_server: Server, admin: httpx.Client) -> None:
    page, other_page = a_page(), a_page()
    url = f"{live_server.url}/api/track-engagement"
    user = {"Authorization": f"Bearer {live_server.token('joined-' + page)}"}
    with live_server.rest(None) as browser:
        for number in range(5):
            body = beacon(page if number else other_page, view=f"v{number}")
            browser.post("/api/track-engagement", json=body, headers=user).raise_for_status()
        key = browser.cookies[COOKIE]
        path = f"/api/stats/visitors/{key.partition('.')[0]}"
        found = browser.get(path, headers=user).json()["visitor"]
        alone = browser.get(path).json()["visitor"]
    assert (alone["userId"], alone["views"], alone["browserSessions"]) == (None, [], [])
    assert found["userId"] == "joined-" + page
    assert found["totals"]["views"] == 5
    assert (len(found["browserSessions"]), found["nextCursor"]) == (1, None)
    assert [view["page"] for view in found["views"]] == [page] * 4 + [other_page]
    assert "stamp" not in found["views"][0]

    with live_server.rest(None) as client:
        assert client.get(path, params={"visitor": key}).status_code == 200
        assert client.get(path, headers=user).status_code == 200
        assert problem(client.get(path)) == (401, "token_missing")
        stranger = {"Authorization": f"Bearer {live_server.token('stranger')}"}
        assert problem(client.get(path, headers=stranger)) == (404, "visitor_not_found")
        other = httpx.post(url, json=beacon(page)).json()["visitor"]
        refused = client.get(path, params={"visitor": other})
        assert problem(refused) == (404, "visitor_not_found")
        unknown = "/api/stats/visitors/" + "0" * 32
        assert problem(client.get(unknown, headers=stranger)) == (404, "visitor_not_found")
    assert admin.get(path).status_code == 200
    assert problem(admin.get(unknown)) == (404, "visitor_not_found")

    shown, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        part = admin.get(path, params=query).json()["visitor"]
        shown += [view["_id"] for view in part["views"]]
        assert part["totals"]["views"] == 5
        cursor = part["nextCursor"]
        if cursor is None:
            break
    assert shown == [view["_id"] for view in found["views"]]


def test_coefficients_are_set_listed_and_deleted(admin: httpx.Client, live_server: Server) -> None:
    page = a_page()
    path = "/api/admin/page-coefficients"
    pattern = f"{page}*"
    body = {"pattern": pattern, "coefficient": 3.5}
    stored = admin.put(path, json=body)
    assert stored.status_code == 200
    assert stored.json()["pageCoefficient"].items() >= body.items()
    assert pattern in [each["pattern"] for each in admin.get(path).json()["pageCoefficients"]]
    with live_server.rest(None) as browser:
        browser.post("/api/track-engagement", json=beacon(page))
        visitor_id = browser.cookies[COOKIE].partition(".")[0]
        found = browser.get(f"/api/stats/visitors/{visitor_id}").json()["visitor"]
    assert found["views"][0]["attentionCoefficient"] == 3.5
    assert admin.delete(path, params={"pattern": pattern}).status_code == 204
    gone = admin.delete(path, params={"pattern": pattern})
    assert problem(gone) == (404, "coefficient_not_found")
    for wrong in ({"coefficient": 0.01}, {"pattern": ""}, {"pattern": "a\nb"}):
        assert problem(admin.put(path, json=body | wrong)) == (422, "invalid_body")
