"""Origins: those that are allowed, letter by letter, and none that looks like one of them."""

from collections.abc import Iterator

import pytest

from routes.http.cors import Origins
from tests.support.live_server import LiveServer, running_server
from tests.support.page_client import viewing
from tests.support.socket_client import connected

ALLOWED = (
    "https://app.example.com",
    "http://app.example.com:8080",
    "https://xn--bcher-kva.example",
)
LOOKALIKES = {
    "suffix": "https://app.example.com.evil.example",
    "suffix of the port": "http://app.example.com:80801",
    "suffix behind a dot": "https://app.example.com.",
    "suffix behind a hyphen": "https://app.example.com-evil.example",
    "prefix": "https://evil-app.example.com",
    "prefix without a dot": "https://evilapp.example.com",
    "subdomain": "https://evil.app.example.com",
    "parent domain": "https://example.com",
    "a dot that is any letter": "https://appxexample.com",
    "another port": "https://app.example.com:8443",
    "the default port": "https://app.example.com:443",
    "no port": "http://app.example.com",
    "another scheme": "http://app.example.com:443",
    "scheme of an app": "app://app.example.com",
    "scheme of a socket": "wss://app.example.com",
    "null": "null",
    "nothing": "",
    "any": "*",
    "trailing slash": "https://app.example.com/",
    "path": "https://app.example.com/x",
    "query": "https://app.example.com?x",
    "credentials": "https://app.example.com@evil.example",
    "backslash": "https://app.example.com\\@evil.example",
    "upper case": "https://APP.example.com",
    "two of them": "https://app.example.com, https://evil.example",
    "two with a space": "https://app.example.com https://evil.example",
    "tab": "https://app.example.com\t",
    "letters that look alike": "https://xn--bcher-kvb.example",
    "this machine": "http://localhost:3000",
    "the server itself": "http://127.0.0.1:5000",
    "file": "file://",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    allowed = ", ".join(ALLOWED)
    home = tmp_path_factory.mktemp("origins")
    with running_server(home, MONGODB_URI="memory", ALLOWED_ORIGINS=allowed) as found:
        yield found


def cors(server: LiveServer, origin: str) -> list[str | None]:
    """What a preflight, an answer and an error allow."""
    preflight = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    with server.rest() as rest:
        answers = [
            rest.options("/api/sessions", headers=preflight),
            rest.get("/api/sessions", headers={"Origin": origin}),
            rest.get("/api/nothing", headers={"Origin": origin}),
            rest.post("/api/auth/login", json={}, headers={"Origin": origin}),
        ]
    assert not any("access-control-allow-credentials" in answer.headers for answer in answers)
    return [answer.headers.get("access-control-allow-origin") for answer in answers]


@pytest.mark.parametrize("origin", ALLOWED)
async def test_an_allowed_origin_is_let_in(server: LiveServer, origin: str) -> None:
    assert cors(server, origin) == [origin] * 4
    for connect in (connected, viewing):
        async with connect(server, origin=origin, token=server.token()) as client:
            await client.ask("ping", "pong")


@pytest.mark.parametrize("looks", LOOKALIKES)
async def test_a_lookalike_is_refused(server: LiveServer, looks: str) -> None:
    origin = LOOKALIKES[looks]
    if origin.strip() == origin:  # HTTP takes no notice of space around a value
        assert cors(server, origin) == [None] * 4
        for connect in (connected, viewing):
            async with connect(server, origin=origin, token=server.token()) as client:
                assert await client.closed() == 4403
    assert not Origins(ALLOWED).allows(origin)
    assert not Origins().allows(origin) or looks in ("this machine", "the server itself")


async def test_who_sends_no_origin_is_judged_by_the_token(server: LiveServer) -> None:
    async with connected(server) as client:
        await client.ask("ping", "pong")
    async with connected(server, token="x.y.z") as client:
        assert await client.closed() == 4401
