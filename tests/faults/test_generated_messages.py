"""Ten thousand generated messages over real sockets: random texts and JSON, and messages of the
protocol with something wrong.

Each is answered, with its id if it has one that is valid, or ignored by rule; none of them
makes the server log a traceback, and it lives on.
"""

import asyncio
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from websockets.exceptions import ConnectionClosed

from tests.support.live_server import LiveServer, running_server
from tests.support.socket_client import SocketClient, connected, new_session

PER_SOCKET = 100
BETWEEN_PINGS = 8
"""Fewer than the malformed messages in a row that end the connection; and all that a socket
sends is within the burst that it may send."""
TYPES = ("start", "activity", "tabSwitch", "pause", "resume", "stop", "auth", "ping")
ANSWERS = {"started", "paused", "resumed", "stopped", "authenticated", "pong", "error"}
SILENT = ("activity", "tabSwitch")
"""Those that are not answered when all is well with them."""

OWN = "the session of this socket"
HUGE = st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**64, 10**400, 1e308, -0.0, 1e-320])
ODD_TEXT = st.sampled_from(
    ["", "\0", "\u202e", "\ufeff", "\u00e9", "\U0001f980" * 64, "x" * 65, "x" * 5_000, "$gt"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | HUGE | st.text() | ODD_TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
DEEP = st.integers(1, 4_000).map(lambda depth: "[" * depth + "]" * depth)
IDS = st.text(max_size=70) | st.integers() | VALUES
FIELDS: dict[str, SearchStrategy[Any]] = {
    "sessionId": st.just(OWN) | st.just("f" * 24) | st.text(max_size=70) | VALUES,
    "updates": st.sampled_from(["tick", "change", "none"]) | VALUES,
    "heartbeatSeconds": st.floats(1, 3600) | VALUES,
    "status": st.sampled_from(["completed", "cancelled", "active"]) | VALUES,
    "token": st.text(max_size=70) | VALUES,
}
MESSAGES: SearchStrategy[Any] = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES)},
    optional={"id": IDS, **FIELDS, "unknown": VALUES, "__proto__": VALUES},
)
TEXTS = st.one_of(
    MESSAGES.map(json.dumps),
    MESSAGES.map(lambda found: json.dumps(found, ensure_ascii=False)),
    st.builds(lambda found, at: json.dumps(found)[:at], MESSAGES, st.integers(0, 60)),
    st.dictionaries(st.sampled_from(["type", "id", "sessionId"]), VALUES).map(json.dumps),
    VALUES.map(json.dumps),
    DEEP,
    DEEP.map(lambda deep: f'{{"type":"ping","x":{deep}}}'),
    st.text(),
    st.text(alphabet='{}[]":,\\ue0123456789.-+truefalsn \n'),
    st.sampled_from(
        [r'{"type":"ping","id":"\ud800"}', '{"type":"ping"}{}', "NaN", '{"type":1e999}']
    ),
)


def id_of(text: str) -> str | int | None:
    """The id that an answer must carry: docs/protocol.md says what is one."""
    try:
        found = json.loads(text.removeprefix("\ufeff")).get("id")
    except (ValueError, AttributeError, RecursionError):
        return None
    if isinstance(found, str):
        return encodable(found) if len(found) <= 64 else None
    whole = isinstance(found, int) and not isinstance(found, bool)
    return found if whole and abs(found) <= 2**53 else None


def encodable(text: str) -> str:
    """JSON can spell half a surrogate pair, which is no character: it is answered as U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def may_be_silent(text: str) -> bool:
    try:
        return json.loads(text).get("type") in SILENT
    except (ValueError, AttributeError, RecursionError, TypeError):
        return False


async def converse(server: LiveServer, user: str, texts: list[str], *, start: bool) -> None:
    """One socket's messages; what names its own session means a real one."""
    session = new_session(server, user)
    texts = [text.replace(OWN, session) for text in texts]
    async with connected(server, user) as client:
        if start:
            await client.start(session)
        for at in range(0, PER_SOCKET, BETWEEN_PINGS):
            for text in texts[at : min(at + BETWEEN_PINGS, PER_SOCKET)]:
                await client.connection.send(text)
            texts.append(json.dumps({"type": "ping", "id": f"ping {at}"}))
            await client.connection.send(texts[-1])
        texts.append(json.dumps({"type": "stop", "id": "the last"}))
        await client.connection.send(texts[-1])
        await check_answers(client, texts)


async def check_answers(client: SocketClient, texts: list[str]) -> None:
    """Each is answered that must be, none twice; a `ping` may overtake what takes time."""
    needed = Counter(repr(id_of(text)) for text in texts if not may_be_silent(text))
    allowed = Counter(repr(id_of(text)) for text in texts)
    came = Counter[str]()
    try:
        while not needed <= came:
            came[repr((await client.next(*ANSWERS)).get("id"))] += 1
    except (TimeoutError, ConnectionClosed) as error:
        raise AssertionError(f"no answer to {needed - came}: {texts}") from error
    assert came <= allowed, f"answered too often, {came - allowed}: {texts}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One whose log is only about these tests."""
    with running_server(Path(tmp_path_factory.mktemp("generated"))) as found:
        yield found


@pytest.mark.xdist_group("load")
@pytest.mark.parametrize(
    "count",
    [1_000, pytest.param(10_000, marks=pytest.mark.timeout(240))],
)
def test_generated_messages(server: LiveServer, count: int, figures: Callable[..., None]) -> None:
    numbers = itertools.count()
    sent = Counter[str]()

    @settings(
        max_examples=count // PER_SOCKET,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),  # a batch that fails is short enough to read
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(TEXTS, min_size=PER_SOCKET, max_size=PER_SOCKET), st.booleans())
    def each_is_answered(texts: list[str], start: bool) -> None:
        asyncio.run(converse(server, f"user{next(numbers)}", texts, start=start))
        sent["messages"] += len(texts)
        sent["different"] += len(set(texts))

    each_is_answered()
    figures(**sent, tracebacks=server.log().count("Traceback"))
    assert sent["messages"] >= count
    assert sent["different"] > count / 2, "hardly anything was tried"
    assert "Traceback" not in server.log()
    assert "socket_failed" not in server.log()
    with server.rest(None) as anyone:
        assert anyone.get("/api/health").json()["status"] == "ok"
