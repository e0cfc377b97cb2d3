"""Parsing is total: whatever a client sends becomes a message, or words about it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.protocol.client_messages import ACTIVITY, Activity, Malformed, Start, Stop, parse
from realtime.protocol.page_messages import PageTick, View, page_tick_message, parse_page
from realtime.protocol.server_messages import Error, Pong, State, Tick, count_message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
TYPES = ["start", "activity", "tabSwitch", "pause", "resume", "stop", "auth", "ping"]
NEARLY = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES) | JSON},
    optional={
        "id": JSON,
        "sessionId": JSON,
        "updates": JSON,
        "heartbeatSeconds": JSON,
        "status": JSON,
        "token": JSON,
    },
)


@given(st.text() | JSON.map(json.dumps) | NEARLY.map(json.dumps))
def test_any_text_is_a_message_or_malformed(text: str) -> None:
    message = parse(text)
    if isinstance(message, Malformed):
        assert message.message
        assert len(message.message) < 300
        json.loads(Error(id=message.id, code=message.code, message=message.message).text())
    else:
        assert message.type in TYPES


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        (r'{"type":"view","id":"c1","page":"/a","title":"\ud83d"}', "c1"),
        (r'{"type":"view","id":"\ud83dx","page":"/a","title":"\ufffd"}', "\ufffdx"),
        ('\ufeff{"type":"view","id":1,"page":"/a","title":"\ufffd","visible":null}', 1),
        ('{"type":"view","id":1,"page":"/a","title":" \ufffd","params":null,"updates":null}', 1),
    ],
)
def test_a_text_that_was_cut_within_a_letter_is_read(text: str, id_: Any) -> None:
    view = parse_page(text)
    assert isinstance(view, View)
    assert (view.id, view.title, view.visible, view.params) == (id_, "\ufffd", True, {})


def test_an_error_in_such_a_message_tells_its_id() -> None:
    found = parse(r'{"type":"start","id":"c1","x":"\ud83d"}')
    assert isinstance(found, Malformed)
    assert (found.id, found.message) == ("c1", "sessionId: Field required.")


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("/caf%C3%A9", "/café"),
        ("/cafe\u0301 ", "/café"),
        ("/a%2Fb", "/a%2Fb"),
        ("/" + "%D0%BA" * 199, "/" + "к" * 199),
    ],
)
def test_a_page_has_one_name(page: str, name: str) -> None:
    view = parse_page(json.dumps({"type": "view", "page": page}))
    assert isinstance(view, View)
    assert view.page == name


def test_the_published_messages() -> None:
    assert parse('{"type":"activity"}') is ACTIVITY
    assert isinstance(parse('{"x":12,"y":3,"type":"activity"}'), Activity)
    start = parse('{"type":"start","sessionId":"abc"}')
    assert isinstance(start, Start)
    assert (start.session_id, start.updates, start.heartbeat_seconds) == ("abc", "tick", None)
    stop = parse('{"type":"stop","status":"completed"}')
    assert isinstance(stop, Stop)
    assert parse('{"type":"stop"}') == stop
    assert parse('{"type":"stop","status":null}') == stop


@pytest.mark.parametrize(
    ("text", "id_", "code", "words"),
    [
        ("", None, "invalid_message", "not valid JSON"),
        ("[" * 100_000, None, "invalid_message", "not valid JSON"),
        ('{"type":"stop"', None, "invalid_message", "not valid JSON"),
        ("[]", None, "invalid_message", "must be a JSON object"),
        ("{}", None, "invalid_message", "no `type`"),
        ('{"type":"fly","id":7}', 7, "unknown_type", "start, activity"),
        ('{"type":{"$gt":""},"id":"a"}', "a", "unknown_type", "start, activity"),
        ('{"type":"start","id":"a"}', "a", "invalid_message", "sessionId: Field required"),
        ('{"type":"start","sessionId":{"$gt":""}}', None, "invalid_message", "sessionId"),
        ('{"type":"stop","status":"active"}', None, "invalid_message", "status"),
        ('{"type":"ping","id":[]}', None, "invalid_message", "id: Input should be a string"),
        ('{"type":"start","sessionId":"a","heartbeatSeconds":NaN}', None, "invalid_message",
         "heartbeatSeconds"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(text: str, id_: Any, code: str, words: str) -> None:
    message = parse(text)
    assert isinstance(message, Malformed)
    assert (message.id, message.code) == (id_, code)
    assert words in message.message


@pytest.mark.parametrize("kind", [Tick, State])
@given(st.integers(0, 2**31), st.integers(0, 2**31), st.integers(0, 999), st.booleans())
def test_counts_are_the_text_of_their_class(
    kind: type[Tick | State], active: int, idle: int, tabs: int, idle_now: bool
) -> None:
    message = kind(
        session_id="0" * 24,
        elapsed_seconds=active + idle,
        active_seconds=active,
        idle_seconds=idle,
        tab_switches=tabs,
        idle=idle_now,
        focus_score=7,
    )
    text = count_message(
        message.type,
        session_id="0" * 24,
        active_seconds=active,
        idle_seconds=idle,
        tab_switches=tabs,
        idle=idle_now,
        focus_score=7,
    )
    assert text == message.text()


@given(st.integers(0), st.integers(0), st.booleans())
def test_the_count_of_a_view_is_the_text_of_its_class(
    visible: int, engaged: int, engaged_now: bool
) -> None:
    message = PageTick(
        view_id="0" * 24, visible_seconds=visible, engaged_seconds=engaged, engaged=engaged_now
    )
    text = page_tick_message(
        view_id="0" * 24, visible_seconds=visible, engaged_seconds=engaged, engaged=engaged_now
    )
    assert text == message.text()


def test_an_answer_carries_the_id_it_answers() -> None:
    now = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    for id_ in ("a", 0, ""):
        assert json.loads(Pong(id=id_, server_time=now).text()) == {
            "type": "pong",
            "id": id_,
            "serverTime": "2026-01-31T09:30:00.000Z",
        }
    assert "id" not in json.loads(Pong(server_time=now).text())


def test_an_error_says_that_it_answers_no_id() -> None:
    assert json.loads(Error(id=None, code="a", message="b").text())["id"] is None
