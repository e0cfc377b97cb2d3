"""A server that has just started knows what was signed out, or says that it is not ready."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from focusup.app import create_app
from focusup.database import OpenedDatabase, open_database
from focusup.settings import Settings
from focusup.wiring.data import prepare
from models.base.errors import StorageUnavailable
from models.privacy.deletions import Deletions
from models.tokens.access_tokens import TokenAuthority
from models.tokens.revocations import Revocations, revoke_logins
from realtime.cluster import revocation_listener
from realtime.cluster.revocation_listener import RevocationListener
from routes.http.services import KEY
from tests.support.database_programs import until
from tests.support.server import SECRET

AUTHORITY = TokenAuthority(SECRET, 3600)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[OpenedDatabase]:
    found = await open_database(uri="memory", name="focusup", data_dir=tmp_path)
    await prepare(found)
    yield found
    await found.close()


@asynccontextmanager
async def started(database: OpenedDatabase) -> AsyncIterator[Any]:
    app = create_app(Settings(_env_file=None), database, SECRET)
    async with app.test_app():
        try:
            yield app.test_client()
        finally:
            services = app.extensions[KEY]
            await services.sessions.tracking.stop(within_s=1)
            await services.page_views.tracking.stop(within_s=1)


async def signed_out(database: OpenedDatabase) -> dict[str, str]:
    """The header of a token whose login has ended."""
    now = datetime.now(UTC)
    token, expires_at = AUTHORITY.issue("ada", login_id="hers", now=now)
    await revoke_logins(database.db, ["hers"], now, expires_at)
    return {"Authorization": f"Bearer {token}"}


async def status(client: Any, path: str, headers: dict[str, str]) -> int:
    answer = await client.get(path, headers=headers)
    return int(answer.status_code)


async def test_it_is_read_though_those_who_left_are_not(
    database: OpenedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object) -> None:
        raise StorageUnavailable

    async def later(_: object) -> None:
        """What follows the start is not what is looked at."""

    monkeypatch.setattr(Deletions, "read_new", unavailable)
    monkeypatch.setattr(RevocationListener, "run", later)
    bearer = await signed_out(database)
    async with started(database) as client:
        assert await status(client, "/api/auth/me", bearer) == 401


async def test_it_is_not_ready_before_it_was_read(
    database: OpenedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    bearer, read, may_read = await signed_out(database), Revocations.read_new, False

    async def reading(self: Revocations, now: datetime) -> AsyncIterator[list[str]]:
        if not may_read:
            raise StorageUnavailable
        async for news in read(self, now):
            yield news

    monkeypatch.setattr(Revocations, "read_new", reading)
    monkeypatch.setattr(revocation_listener, "HEAR_EVERY_S", 0.01)
    async with started(database) as client:
        assert await status(client, "/api/health/live", {}) == 200
        assert await status(client, "/api/health/ready", {}) == 503
        may_read = True
        services = client.app.extensions[KEY]
        await until(lambda: services.access.revocations._revocations.were_read)
        assert await status(client, "/api/health/ready", {}) == 200
        assert await status(client, "/api/auth/me", bearer) == 401
