"""Rights that end on one of two servers end on the other with its next reading."""

from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx
import pytest

from realtime.cluster import account_deletion, revocation_listener
from routes.http.services import Services
from tests.support.app_server import AppServer, running_app
from tests.support.belongings import Person
from tests.support.embedded import shared_uri
from tests.support.page_client import viewing
from tests.support.roles import CHANGES, Change, admin, change
from tests.support.socket_client import SocketClient, connected

ENDS_WITHIN_S = 2.0
READS_WITHIN_S = 1.0
"""What remains of it for the reading itself."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AppServer, AppServer]]:
    homes = [tmp_path_factory.mktemp(name) for name in "ab"]
    with (
        running_app(homes[0], shared_uri()) as a,
        running_app(homes[1], shared_uri(), database=a.database) as b,
    ):
        yield a, b


async def signed_out_of_one(services: Services, who: Person) -> None:
    identity = services.access.tokens.verify(who.token, services.now())
    await services.access.accounts.logout(None, identity, services.now())


ENDS: dict[str, Change] = {
    **{str(role): change for role, change in CHANGES.items()},
    "signed out of one login": signed_out_of_one,
}


async def hear(services: Services) -> None:
    """What each server does by itself all the time."""
    await services.access.revocations.hear()
    await services.access.deletions.hear()


def ask(server: AppServer, token: str, path: str) -> int:
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}) as rest:
        return rest.get(path).status_code


@pytest.mark.parametrize("who", ENDS)
async def test_rights_end_on_all_servers(servers: tuple[AppServer, AppServer], who: str) -> None:
    here, there = servers
    person = await admin(here)
    async with AsyncExitStack() as stack:
        sockets: list[SocketClient] = []
        for server in servers:
            assert ask(server, person.token, "/api/admin/metrics/sessions") == 200
            for connect in (connected, viewing):
                client = await stack.enter_async_context(connect(server, token=person.token))
                await client.ask("ping", "pong")
                sockets.append(client)
        await change(here, ENDS[who], person)
        there.call(hear)
        stays = who == "removed admin"
        for server in servers:
            admins = ask(server, person.token, "/api/admin/metrics/sessions")
            own = ask(server, person.token, "/api/sessions")
            assert (admins, own) == ((403, 200) if stays else (401, 401))
        for client in sockets:
            if stays:  # no message asks for the role
                await client.ask("ping", "pong")
            else:
                assert await client.closed() == (4404 if who == "deleted user" else 4401)
        for server in () if stays else servers:
            async with connected(server, token=person.token) as again:
                assert await again.closed() == 4401


def test_each_server_reads_often_enough() -> None:
    every_s = max(account_deletion.HEAR_EVERY_S, revocation_listener.HEAR_EVERY_S)
    assert every_s + READS_WITHIN_S <= ENDS_WITHIN_S
