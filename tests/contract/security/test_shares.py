"""What one user, or one address, may have of the server at a time."""

import asyncio
from pathlib import Path

import httpx

from tests.support.app_server import running_app
from tests.support.embedded import shared_uri
from tests.support.server import Server

AT_ONCE = 30


async def test_one_export_of_a_user_is_written_at_a_time(live_server: Server, user: str) -> None:
    headers = {"Authorization": f"Bearer {live_server.token(user)}"}
    async with httpx.AsyncClient(base_url=live_server.url, headers=headers, timeout=30) as client:
        asked = (client.get("/api/me/export") for _ in range(AT_ONCE))
        statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
        # Those that came after the first was written are others.
        assert statuses.count(200) < AT_ONCE / 2
        assert set(statuses) == {200, 503}
        assert (await client.head("/api/me/export")).status_code == 200
        assert (await client.get("/api/me/export")).status_code == 200


def test_ten_accounts_of_one_address_have_no_ten_allowances(tmp_path: Path) -> None:
    with running_app(
        tmp_path, shared_uri(), rate_limits=True, requests_per_minute=4, trusted_proxies="127.0.0.1"
    ) as server:

        def ask(user: str, address: str) -> int:
            with server.rest(user) as client:
                client.headers["X-Forwarded-For"] = address
                return client.get("/api/auth/me").status_code

        school = [ask(f"user{number // 3}", "192.0.2.1") for number in range(30)]
        assert school == [200] * 20 + [429] * 10
        assert ask("user9", "192.0.2.2") == 200
        one = [ask("alone", f"192.0.2.{number + 10}") for number in range(6)]
        assert one == [200] * 4 + [429] * 2
