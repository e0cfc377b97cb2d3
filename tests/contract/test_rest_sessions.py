"""`/api/sessions` from outside: every route and rule of it, on a real server and database."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from models.tokens.access_tokens import TokenAuthority
from scoring.focus import focus_score
from tests.support.server import SECRET, Server
from tests.support.socket_client import connected

UTC_TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TIMES = ("startedAt", "endedAt", "lastActiveAt", "createdAt", "updatedAt")
FIELDS = {
    "_id", "userId", "targetMinutes", "contentId", "title", "tags", "notes", "status",
    "elapsedSeconds", "activeSeconds", "idleSeconds", "tabSwitches", "pausedSeconds",
    "awaySeconds", "manualSeconds", "tracked", "focusScore", "scoreBreakdown", *TIMES, "edited",
    "idleMode", "timeZone",
}  # fmt: skip
"""All that a client sees: no stamp, owner, carryMs, pausedMs, pausedAt, lastBookedAt,
timeline or edits."""
METADATA: dict[str, Any] = {
    "targetMinutes": 45.5,
    "contentId": "chapter-3",
    "title": "Réviser « l'histoire » 📚",
    "tags": ["history", "exam"],
    "notes": "two\nlines\tand \u0000 a NUL",
}
COUNTERS = {"elapsedSeconds": 100, "activeSeconds": 70, "idleSeconds": 30, "tabSwitches": 3}
FINAL = ("completed", "abandoned", "cancelled")
SESSIONS = "/api/sessions"

Session = dict[str, Any]


def create(rest: httpx.Client, **fields: Any) -> Session:
    return shown(rest.post(SESSIONS, json=fields), 201)


def read(rest: httpx.Client, session: Session) -> Session:
    return shown(rest.get(address(session)))


def change(rest: httpx.Client, session: Session, **fields: Any) -> Session:
    return shown(rest.put(address(session), json=fields))


def end(rest: httpx.Client, session: Session, **fields: Any) -> Session:
    return shown(rest.put(address(session) + "/end", json=fields))


def attempt(rest: httpx.Client, session: Session, **fields: Any) -> httpx.Response:
    """A change that may be refused."""
    return rest.put(address(session), json=fields)


def delete(rest: httpx.Client, session: Session) -> None:
    answer = rest.delete(address(session))
    assert (answer.status_code, answer.content) == (204, b"")


def address(session: Session) -> str:
    return f"{SESSIONS}/{session['_id']}"


def shown(answer: httpx.Response, status: int = 200) -> Session:
    """The session in an answer, which shows exactly what clients may see."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"session"}
    session: Session = answer.json()["session"]
    assert set(session) == FIELDS
    assert re.fullmatch("[0-9a-f]{24}", session["_id"])
    for name in TIMES:
        assert session[name] is None or UTC_TEXT.fullmatch(session[name]), name
    return session


def code(answer: httpx.Response, status: int) -> str:
    """The code of the problem that an answer is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    return str(answer.json()["code"])


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def assert_scored_by_the_formula(session: Session) -> None:
    score = focus_score(
        elapsed_seconds=session["elapsedSeconds"],
        active_seconds=session["activeSeconds"],
        idle_seconds=session["idleSeconds"],
        tab_switches=session["tabSwitches"],
        target_minutes=session["targetMinutes"],
    )
    assert session["focusScore"] == score.focus_score
    assert session["scoreBreakdown"] == {
        "completion": score.completion,
        "activityRatio": score.activity_ratio,
        "penalty": score.penalty,
        "formulaVersion": score.formula_version,
    }


# --- creating and reading ---------------------------------------------------------------


def test_a_new_session_has_the_defaults(rest: httpx.Client, user: str) -> None:
    before = datetime.now(UTC)
    session = create(rest)
    created = instant(session["createdAt"])
    assert before - timedelta(seconds=1) < created < datetime.now(UTC) + timedelta(seconds=1)
    assert session == {
        "_id": session["_id"],
        "userId": user,
        "targetMinutes": 25,
        "contentId": None,
        "title": None,
        "tags": [],
        "notes": None,
        "idleMode": "interactive",
        "timeZone": "UTC",
        "status": "active",
        "elapsedSeconds": 0,
        "activeSeconds": 0,
        "idleSeconds": 0,
        "tabSwitches": 0,
        "pausedSeconds": 0,
        "awaySeconds": 0,
        "manualSeconds": 0,
        "tracked": False,
        "focusScore": None,
        "scoreBreakdown": None,
        "startedAt": None,
        "endedAt": None,
        "lastActiveAt": None,
        "createdAt": session["createdAt"],
        "updatedAt": session["createdAt"],
        "edited": False,
    }


def test_a_session_is_created_with_all_fields_and_found_at_its_location(
    rest: httpx.Client,
) -> None:
    answer = rest.post(SESSIONS, json=METADATA)
    session = shown(answer, 201)
    assert {name: session[name] for name in METADATA} == METADATA
    assert answer.headers["location"] == address(session)
    assert shown(rest.get(answer.headers["location"])) == session


def test_a_session_is_created_without_a_body(rest: httpx.Client) -> None:
    assert shown(rest.post(SESSIONS), 201)["targetMinutes"] == 25


# --- listing ----------------------------------------------------------------------------


def listed(rest: httpx.Client, **query: Any) -> list[str]:
    """The ids of all sessions that match, page after page."""
    ids: list[str] = []
    while True:
        answer = rest.get(SESSIONS, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert set(page) == {"sessions", "nextCursor"}
        ids += [session["_id"] for session in page["sessions"]]
        if page["nextCursor"] is None:
            return ids
        assert len(page["sessions"]) == query.get("limit", 20)
        query["cursor"] = page["nextCursor"]


def test_nobody_has_sessions_at_first(rest: httpx.Client) -> None:
    assert rest.get(SESSIONS).json() == {"sessions": [], "nextCursor": None}


def test_the_list_is_newest_first_twenty_at_a_time(rest: httpx.Client) -> None:
    newest_first = [create(rest)["_id"] for _ in range(25)][::-1]
    first = rest.get(SESSIONS).json()
    assert [session["_id"] for session in first["sessions"]] == newest_first[:20]
    following = rest.get(SESSIONS, params={"cursor": first["nextCursor"]}).json()
    assert [session["_id"] for session in following["sessions"]] == newest_first[20:]
    assert following["nextCursor"] is None
    assert set(first["sessions"][0]) == FIELDS


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
def test_the_cursor_leads_to_the_end(rest: httpx.Client, limit: int) -> None:
    newest_first = [create(rest)["_id"] for _ in range(4)][::-1]
    assert listed(rest, limit=limit) == newest_first


def test_a_cursor_holds_while_sessions_come_and_go(rest: httpx.Client) -> None:
    oldest, middle, _newest = (create(rest) for _ in range(3))
    cursor = rest.get(SESSIONS, params={"limit": 1}).json()["nextCursor"]
    create(rest)
    rest.delete(f"{SESSIONS}/{cursor}")
    assert listed(rest, cursor=cursor) == [middle["_id"], oldest["_id"]]


def test_the_list_shows_what_the_session_shows(rest: httpx.Client) -> None:
    session = end(rest, change(rest, create(rest, **METADATA), **COUNTERS))
    assert rest.get(SESSIONS).json()["sessions"] == [session] == [read(rest, session)]


def test_the_filters_alone_and_together(rest: httpx.Client) -> None:
    names = {
        "plain": create(rest)["_id"],
        "tagged": create(rest, tags=["a", "b"], contentId="x")["_id"],
        "paused": change(rest, create(rest, tags=["b"]), status="paused")["_id"],
        "done": end(rest, create(rest, tags=["a"], contentId="x"))["_id"],
        "cancelled": end(rest, create(rest, contentId="x.y"), status="cancelled")["_id"],
    }

    def found(**query: str) -> set[str]:
        ids = listed(rest, limit=2, **query)
        return {name for name, id_ in names.items() if id_ in ids}

    assert found() == set(names)
    assert found(status="active") == {"plain", "tagged"}
    assert found(status="paused") == {"paused"}
    assert found(status="completed") == {"done"}
    assert found(status="abandoned") == set()
    assert found(contentId="x") == {"tagged", "done"}
    assert found(contentId="x.y") == {"cancelled"}
    assert found(tag="a") == {"tagged", "done"}
    assert found(tag="b") == {"tagged", "paused"}
    assert found(tag="B") == set()
    assert found(tag="a", status="active") == {"tagged"}
    assert found(tag="b", contentId="x", status="active") == {"tagged"}
    assert found(tag="b", contentId="x", status="paused") == set()


def test_the_bounds_in_time(rest: httpx.Client) -> None:
    sessions: list[Session] = []
    while len({session["createdAt"] for session in sessions}) < 3:
        sessions.append(create(rest, tags=["even" if len(sessions) % 2 == 0 else "odd"]))
    bound = sessions[-1]["createdAt"]
    before = [s["_id"] for s in sessions if s["createdAt"] < bound][::-1]
    since = [s["_id"] for s in sessions if s["createdAt"] >= bound][::-1]
    even = {s["_id"] for s in sessions if s["tags"] == ["even"]}
    elsewhere = instant(bound).astimezone().isoformat()
    for spelling in (bound, elsewhere):
        assert listed(rest, to=spelling) == before
        assert listed(rest, **{"from": spelling}) == since
    assert listed(rest, **{"from": bound, "to": bound}) == []
    assert listed(rest, to=bound, tag="even", limit=1) == [id_ for id_ in before if id_ in even]
    first = sessions[0]["createdAt"]
    assert listed(rest, **{"from": first, "to": bound}) == before


# --- changing ---------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["active", "paused", *FINAL])
def test_metadata_changes_at_any_time(rest: httpx.Client, state: str) -> None:
    session = create(rest, title="before", tags=["old"])
    if state in FINAL:
        session = end(rest, session, status=state)
    else:
        session = change(rest, session, status=state)
    for name, value in METADATA.items():
        changed = change(rest, session, **{name: value})
        differing = {key for key in FIELDS if changed[key] != session[key]}
        assert {name} <= differing <= {name, "updatedAt", "focusScore", "scoreBreakdown"}
        assert changed[name] == value
        session = changed
    emptied = change(rest, session, contentId=None, title=None, notes=None, tags=[])
    assert [emptied[name] for name in ("contentId", "title", "notes", "tags")] == [None] * 3 + [[]]
    assert (emptied["status"], emptied["targetMinutes"], emptied["edited"]) == (state, 45.5, False)
    assert read(rest, session) == emptied


def test_a_change_without_fields_changes_nothing(rest: httpx.Client) -> None:
    session = create(rest, **METADATA)
    assert change(rest, session) == session


async def test_metadata_changes_while_a_socket_tracks_it(
    live_server: Server, rest: httpx.Client, user: str
) -> None:
    session = create(rest)
    async with connected(live_server, user) as client:
        await client.start(session["_id"])
        changed = change(rest, session, title="new", targetMinutes=1)
        assert (changed["title"], changed["targetMinutes"], changed["tracked"]) == ("new", 1, True)
        stopped = await client.ask("stop", "stopped")
    assert (stopped["session"]["title"], stopped["session"]["targetMinutes"]) == ("new", 1)
    assert_scored_by_the_formula(stopped["session"])


CONSISTENT = [
    # given, on top of 70 active and 30 idle seconds, and what elapsed, active, idle are then
    ({"elapsedSeconds": 10, "activeSeconds": 4}, (10, 4, 6)),
    ({"elapsedSeconds": 10, "idleSeconds": 4}, (10, 6, 4)),
    ({"activeSeconds": 4, "idleSeconds": 5}, (9, 4, 5)),
    ({"activeSeconds": 4}, (34, 4, 30)),
    ({"idleSeconds": 4}, (74, 70, 4)),
    ({"elapsedSeconds": 9, "activeSeconds": 4, "idleSeconds": 5}, (9, 4, 5)),
    ({"elapsedSeconds": 100}, (100, 70, 30)),
    ({"tabSwitches": 9}, (100, 70, 30)),
    ({"activeSeconds": 12.0}, (42, 12, 30)),
    ({"elapsedSeconds": 0, "activeSeconds": 0}, (0, 0, 0)),
    ({"activeSeconds": 86_400, "idleSeconds": 0}, (86_400, 86_400, 0)),
]


@pytest.mark.parametrize(("given", "counted"), CONSISTENT, ids=str)
def test_counters_set_by_hand_stay_consistent(
    rest: httpx.Client, given: dict[str, Any], counted: tuple[int, int, int]
) -> None:
    session = change(rest, create(rest), **COUNTERS)
    changed = change(rest, session, **given)
    assert tuple(changed[f"{n}Seconds"] for n in ("elapsed", "active", "idle")) == counted
    assert changed["tabSwitches"] == given.get("tabSwitches", 3)
    assert changed["edited"] is True
    assert changed["focusScore"] is None
    assert read(rest, session) == changed


@pytest.mark.parametrize(
    "given",
    [
        {"elapsedSeconds": 50},
        {"elapsedSeconds": 10, "activeSeconds": 11},
        {"elapsedSeconds": 10, "idleSeconds": 11},
        {"elapsedSeconds": 9, "activeSeconds": 4, "idleSeconds": 4},
        {"activeSeconds": 2**31 - 1},
    ],
    ids=str,
)
def test_inconsistent_counters_are_refused(rest: httpx.Client, given: dict[str, int]) -> None:
    session = change(rest, create(rest), **COUNTERS)
    answer = attempt(rest, session, **given, title="not this either")
    assert code(answer, 422) == "counters_inconsistent"
    assert read(rest, session) == session


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"activeSeconds": 2**31 - 1, "idleSeconds": 0}, ["activeSeconds"]),
        ({"activeSeconds": 86_401, "idleSeconds": 0}, ["activeSeconds"]),
        ({"idleSeconds": 86_331}, ["idleSeconds"]),
        ({"elapsedSeconds": 86_401, "activeSeconds": 70}, ["elapsedSeconds"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("ended", [False, True])
def test_a_session_takes_no_more_than_a_day_by_hand(
    rest: httpx.Client, given: dict[str, int], fields: list[str], ended: bool
) -> None:
    session = change(rest, create(rest), **COUNTERS)
    if ended:
        session = end(rest, session)
    answer = attempt(rest, session, **given)
    assert code(answer, 422) == "invalid_body"
    assert [error["field"] for error in answer.json()["errors"]] == fields
    assert read(rest, session) == session


def test_the_score_of_an_ended_session_follows_counters_and_target(rest: httpx.Client) -> None:
    session = end(rest, create(rest, targetMinutes=5))
    assert (session["focusScore"], session["edited"]) == (0, False)
    edited = change(rest, session, activeSeconds=290, idleSeconds=10, tabSwitches=1)
    assert_scored_by_the_formula(edited)
    assert (edited["focusScore"], edited["edited"]) == (94, True)
    assert (edited["status"], edited["endedAt"]) == ("completed", session["endedAt"])
    easier = change(rest, edited, targetMinutes=2.5)
    assert_scored_by_the_formula(easier)
    assert easier["focusScore"] == 191
    assert change(rest, easier, title="no new score")["focusScore"] == 191


@pytest.mark.parametrize("target", [5e-324, 1e-300, 0.01, 1440])
def test_a_session_of_any_target_ends(rest: httpx.Client, target: float) -> None:
    session = create(rest, targetMinutes=target)
    change(rest, session, activeSeconds=86_400)
    assert_scored_by_the_formula(end(rest, session))


async def test_counters_of_a_tracked_session_are_not_set_by_hand(
    live_server: Server, rest: httpx.Client, user: str
) -> None:
    session = create(rest)
    async with connected(live_server, user) as client:
        await client.start(session["_id"])
        for name in COUNTERS:
            answer = attempt(rest, session, **{name: 0, "title": "not this either"})
            assert code(answer, 409) == "session_tracked"
        assert read(rest, session)["title"] is None
        ended = (await client.ask("stop", "stopped"))["session"]
    assert ended["edited"] is False
    assert change(rest, session, activeSeconds=60, idleSeconds=0)["edited"] is True


# --- status -----------------------------------------------------------------------------


def test_status_moves_between_active_and_paused(rest: httpx.Client) -> None:
    session = create(rest)
    for status in ("active", "paused", "paused", "active"):
        changed = change(rest, session, status=status)
        assert (changed["status"], changed["edited"]) == (status, False)
        assert read(rest, session)["status"] == status


async def test_status_moves_while_a_socket_tracks_it(
    live_server: Server, rest: httpx.Client, user: str
) -> None:
    session = create(rest)
    async with connected(live_server, user) as client:
        await client.start(session["_id"])
        assert change(rest, session, status="paused")["status"] == "paused"
        await client.next("paused")
        assert change(rest, session, status="active")["status"] == "active"
        await client.next("resumed")


@pytest.mark.parametrize("status", [*FINAL, "started", "ACTIVE", "", None, 1])
def test_status_takes_no_final_one_by_hand(rest: httpx.Client, status: object) -> None:
    session = create(rest)
    answer = attempt(rest, session, status=status, title="not this either")
    assert code(answer, 422) == "invalid_body"
    assert [error["field"] for error in answer.json()["errors"]] == ["status"]
    assert read(rest, session) == session


@pytest.mark.parametrize("status", ["active", "paused"])
def test_an_ended_session_stays_ended(rest: httpx.Client, status: str) -> None:
    session = end(rest, create(rest))
    answer = attempt(rest, session, status=status)
    assert code(answer, 409) == "session_ended"
    assert read(rest, session) == session


# --- ending -----------------------------------------------------------------------------


def test_ending_needs_no_body_and_completes(rest: httpx.Client) -> None:
    session = create(rest)
    ended = shown(rest.put(address(session) + "/end"))
    assert ended["status"] == "completed"
    assert read(rest, session) == ended


@pytest.mark.parametrize("status", FINAL)
def test_ending_is_idempotent_but_for_another_status(rest: httpx.Client, status: str) -> None:
    session = create(rest)
    ended = end(rest, session, status=status)
    assert ended["status"] == status
    assert end(rest, session, status=status) == ended
    for other in set(FINAL) - {status}:
        answer = rest.put(address(session) + "/end", json={"status": other})
        assert code(answer, 409) == "session_ended"
    assert read(rest, session) == ended


def test_a_session_never_tracked_began_with_its_creation(rest: httpx.Client) -> None:
    session = create(rest)
    ended = end(rest, session)
    assert ended["startedAt"] == session["createdAt"] <= ended["endedAt"]
    assert (ended["elapsedSeconds"], ended["focusScore"]) == (0, 0)
    assert_scored_by_the_formula(ended)


@pytest.mark.parametrize("state", ["active", "paused"])
def test_the_score_is_computed_from_the_stored_numbers(rest: httpx.Client, state: str) -> None:
    session = create(rest, targetMinutes=1.7)
    change(rest, session, **COUNTERS, status=state)
    ended = end(rest, session, status="abandoned")
    assert {name: ended[name] for name in COUNTERS} == COUNTERS
    assert_scored_by_the_formula(ended)
    assert ended["focusScore"] == 62


async def test_ending_reaches_the_socket_that_tracks_it(
    live_server: Server, rest: httpx.Client, user: str
) -> None:
    session = create(rest)
    async with connected(live_server, user) as client:
        started = await client.start(session["_id"])
        assert read(rest, session)["tracked"] is True
        tick = await client.next("tick")
        ended = end(rest, session, status="cancelled")
        assert (await client.next("stopped"))["session"] == ended
        assert end(rest, session, status="cancelled") == ended
    assert (ended["status"], ended["tracked"]) == ("cancelled", False)
    assert ended["startedAt"] == started["session"]["startedAt"]
    assert ended["elapsedSeconds"] == tick["elapsedSeconds"] == 1
    assert_scored_by_the_formula(ended)


# --- deleting, and what is not there ----------------------------------------------------

ROUTES = [
    ("GET", "", None),
    ("PUT", "", {"title": "mine now"}),
    ("PUT", "", {"activeSeconds": 5}),
    ("PUT", "", {"status": "paused"}),
    ("PUT", "", {}),
    ("PUT", "/end", None),
    ("PUT", "/end", {"status": "cancelled"}),
    ("DELETE", "", None),
]


def assert_not_found(rest: httpx.Client, path: str) -> None:
    for method, suffix, body in ROUTES:
        answer = rest.request(method, path + suffix, json=body)
        assert code(answer, 404) == "session_not_found", (method, suffix, body)


def test_what_is_deleted_is_gone(rest: httpx.Client) -> None:
    session, kept = create(rest), create(rest)
    delete(rest, session)
    assert_not_found(rest, address(session))
    assert listed(rest) == [kept["_id"]]


async def test_deleting_closes_the_socket_that_tracks_it(
    live_server: Server, rest: httpx.Client, user: str
) -> None:
    session = create(rest)
    async with connected(live_server, user) as client:
        await client.start(session["_id"])
        delete(rest, session)
        assert await client.closed() == 4404
    assert_not_found(rest, address(session))


@pytest.mark.parametrize("state", ["active", "tracked", "completed"])
async def test_somebody_elses_session_is_not_there(
    live_server: Server, rest: httpx.Client, user: str, state: str
) -> None:
    session = create(rest, tags=["private"])
    if state == "completed":
        end(rest, session)
    stranger = uuid.uuid4().hex
    async with connected(live_server, user) as client:
        if state == "tracked":
            await client.start(session["_id"])
        before = read(rest, session)
        with live_server.rest(stranger) as theirs:
            assert_not_found(theirs, address(session))
            assert listed(theirs) == listed(theirs, tag="private") == []
            assert listed(theirs, cursor="f" * 24) == []
        async with connected(live_server, stranger) as spy:
            for id_ in (session["_id"], "f" * 24):
                assert await spy.error("start", sessionId=id_) == "session_not_found"
        after = read(rest, session)
    same = FIELDS - {"elapsedSeconds", "activeSeconds", "lastActiveAt", "updatedAt"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}


@pytest.mark.parametrize(
    "id_",
    [
        "0" * 24,
        "f" * 23,
        "f" * 25,
        "g" * 24,
        "\uff11" * 24,
        "%00" * 24,
        "null",
        "a" * 2000,
        "%7B%22$gt%22:%22%22%7D",
    ],
)
def test_an_id_that_is_none_is_not_found(rest: httpx.Client, id_: str) -> None:
    assert_not_found(rest, f"{SESSIONS}/{id_}")


async def test_an_id_has_one_spelling(live_server: Server, rest: httpx.Client, user: str) -> None:
    session = create(rest)
    while session["_id"].isdecimal():
        session = create(rest)
    assert_not_found(rest, address(session).removesuffix(session["_id"]) + session["_id"].upper())
    async with connected(live_server, user) as client:
        upper = session["_id"].upper()
        assert await client.error("start", sessionId=upper) == "session_not_found"


# --- who asks ---------------------------------------------------------------------------

PROTECTED = [
    ("POST", SESSIONS),
    ("GET", SESSIONS),
    ("GET", f"{SESSIONS}/{'f' * 24}"),
    ("PUT", f"{SESSIONS}/{'f' * 24}"),
    ("PUT", f"{SESSIONS}/{'f' * 24}/end"),
    ("DELETE", f"{SESSIONS}/{'f' * 24}"),
    ("GET", "/api/auth/me"),
]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_without_a_good_token_nothing_is_told(live_server: Server, method: str, path: str) -> None:
    good = live_server.token()
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    expired, _ = TokenAuthority(SECRET, 60).issue("ada", now=an_hour_ago)
    header, payload, signature = good.split(".")
    unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"  # {"alg":"none","typ":"JWT"}
    cases = [
        (None, "token_missing"),
        (f"Basic {good}", "token_missing"),
        (good, "token_missing"),
        ("Bearer nonsense", "token_invalid"),
        (f"Bearer {header}.{payload}.{'A' * len(signature)}", "token_invalid"),
        (f"Bearer {unsigned}.{payload}.", "token_invalid"),
        (f"Bearer {expired}", "token_expired"),
    ]
    with live_server.rest(None) as nobody:
        for authorization, expected in cases:
            headers = {} if authorization is None else {"Authorization": authorization}
            answer = nobody.request(method, path, headers=headers)
            assert code(answer, 401) == expected, authorization
            challenge = 'Bearer realm="focusup"'
            if expected != "token_missing":
                challenge += ', error="invalid_token"'
            assert answer.headers["www-authenticate"] == challenge


# --- which pages may ask ----------------------------------------------------------------

FRONT_END = "http://localhost:3000"
LOCAL_ORIGINS = [FRONT_END, "http://127.0.0.1:8080", "https://localhost", "http://[::1]:3000"]
FOREIGN_ORIGINS = [
    "https://evil.example",
    "null",
    "http://localhost.evil.example",
    "http://localhost.evil.example:3000",
    "http://evil-localhost:3000",
    "http://localhost:3000.evil.example",
    "http://localhost:3000@evil.example",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.10:3000",
    "http://localhost:3000/",
    "http://localhost:300000",
    "ftp://localhost:3000",
    "file://localhost",
]


def preflight(origin: str) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization,content-type, idempotency-key",
    }


def names(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


@pytest.mark.parametrize("origin", LOCAL_ORIGINS)
def test_pages_of_this_machine_are_let_in(
    live_server: Server, rest: httpx.Client, origin: str
) -> None:
    with live_server.rest(None) as browser:
        asked = browser.options(f"{SESSIONS}/{'f' * 24}", headers=preflight(origin))
    assert asked.status_code in {200, 204}
    assert asked.headers["access-control-allow-origin"] == origin
    assert {"get", "post", "put", "delete"} <= names(asked.headers["access-control-allow-methods"])
    allowed = names(asked.headers["access-control-allow-headers"])
    assert {"authorization", "content-type", "idempotency-key"} <= allowed
    created = rest.post(SESSIONS, json={}, headers={"Origin": origin})
    assert shown(created, 201)
    assert created.headers["access-control-allow-origin"] == origin
    assert "origin" in names(created.headers["vary"])
    # A page must be able to read why it was refused, too.
    refused = rest.get(f"{SESSIONS}/nothing", headers={"Origin": origin})
    assert code(refused, 404) == "session_not_found"
    assert refused.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_pages_of_other_machines_are_not(
    live_server: Server, rest: httpx.Client, origin: str
) -> None:
    with live_server.rest(None) as browser:
        asked = browser.options(SESSIONS, headers=preflight(origin))
    assert "access-control-allow-origin" not in asked.headers
    answer = rest.get(SESSIONS, headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers


def test_no_cookie_signs_anyone_in(rest: httpx.Client) -> None:
    answer = rest.get(SESSIONS, headers={"Origin": FRONT_END})
    assert "access-control-allow-credentials" not in answer.headers
    assert "set-cookie" not in answer.headers
