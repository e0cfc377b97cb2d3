"""What is a handshake of WebSocket, and what is an ordinary request."""

import h11
import pytest

from focusup.asgi.http1 import is_handshake, without_upgrade

WHOLE = {
    "Host": "x",
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "WebSocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def request(method: str = "GET", version: str = "1.1", **changes: str | None) -> h11.Request:
    named = {name.replace("_", "-").lower(): value for name, value in changes.items()}
    headers = {name.lower(): value for name, value in WHOLE.items()} | named
    return h11.Request(
        method=method,
        target="/ws/sessions",
        headers=[(name, value) for name, value in headers.items() if value is not None],
        http_version=version,
    )


def test_a_handshake_is_one() -> None:
    assert is_handshake(request())


@pytest.mark.parametrize(
    "other",
    [
        request(method="POST"),
        request(version="1.0"),
        request(upgrade="h2c"),
        request(upgrade="websocket, h2c"),
        request(connection="keep-alive"),
        request(connection="upgraded"),
        request(sec_websocket_version="8"),
        request(sec_websocket_version=None),
        request(sec_websocket_key=None),
        request(sec_websocket_key="short"),
        request(sec_websocket_key="c2hvcnQ="),
        request(sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="),
    ],
)
def test_what_lacks_a_part_is_an_ordinary_request(other: h11.Request) -> None:
    assert not is_handshake(other)
    plain = without_upgrade(other)
    assert b"upgrade" not in {name for name, _ in plain.headers}
    assert plain.target == other.target
