"""Parsing is total: whatever a client sends becomes a message, or words about it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.messages import (
    ACTIVITY,
    Activity,
    Malformed,
    Start,
    Stop,
    count_message,
    encode,
    error_message,
    parse,
)

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
        json.loads(error_message(message.id, message.code, message.message))
    else:
        assert message.type in TYPES


def test_the_published_messages() -> None:
    assert parse('{"type":"activity"}') is ACTIVITY
    assert isinstance(parse('{"x":12,"y":3,"type":"activity"}'), Activity)
    start = parse('{"type":"start","sessionId":"abc"}')
    assert isinstance(start, Start)
    assert (start.session_id, start.updates, start.heartbeat_seconds) == ("abc", "tick", None)
    stop = parse('{"type":"stop","status":"completed"}')
    assert isinstance(stop, Stop)
    assert parse('{"type":"stop"}') == stop


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


@given(st.integers(0, 2**31), st.integers(0, 2**31), st.integers(0, 999), st.booleans())
def test_counts_are_json(active: int, idle: int, tabs: int, idle_now: bool) -> None:
    text = count_message(
        "tick",
        session_id="0" * 24,
        active_seconds=active,
        idle_seconds=idle,
        tab_switches=tabs,
        idle=idle_now,
        focus_score=7,
    )
    assert json.loads(text) == {
        "type": "tick",
        "sessionId": "0" * 24,
        "elapsedSeconds": active + idle,
        "activeSeconds": active,
        "idleSeconds": idle,
        "tabSwitches": tabs,
        "idle": idle_now,
        "focusScore": 7,
    }


def test_an_answer_carries_the_id_it_answers() -> None:
    assert json.loads(encode("pong", "a")) == {"type": "pong", "id": "a"}
    assert json.loads(encode("pong", None)) == {"type": "pong"}
