"""Signing in and staying in while the database fails: an honest user is never signed out."""

import time
import uuid
from pathlib import Path
from threading import Timer

import httpx
import pytest

from tests.support.database_server import Database
from tests.support.figures import Figures
from tests.support.live_server import LiveServer
from tests.support.pair import pair

PASSWORD = "correct horse"
OUTAGE_S = 12.0
"""Longer than a request waits for the database, and than any grace of seconds."""
PATIENCE_S = 60.0


def refresh(server: LiveServer, token: str) -> httpx.Response | None:
    """None if there was no answer at all."""
    try:
        with server.rest(None) as rest:
            return rest.post("/api/auth/refresh", json={"refreshToken": token}, timeout=20)
    except httpx.TransportError:
        return None


def insist(server: LiveServer, token: str) -> httpx.Response:
    """Refresh again until it is done, as a client does whose requests fail."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        answer = refresh(server, token)
        if answer is not None and answer.status_code < 500:
            return answer
        time.sleep(0.5)
    raise AssertionError("no answer")


@pytest.mark.parametrize("fault", ["frozen", "killed"])
def test_an_outage_during_a_refresh_signs_nobody_out(
    tmp_path: Path, database: Database, figures: Figures, fault: str
) -> None:
    with pair(tmp_path, database) as servers:
        ada = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
        with servers.a.rest(None) as rest:
            token = rest.post("/api/auth/signup", json=ada).json()["refreshToken"]
        began_s = time.monotonic()
        if fault == "frozen":
            database.freeze()
            Timer(OUTAGE_S, database.thaw).start()
        else:
            database.kill()
            Timer(1.0, database.start).start()
        first = refresh(servers.a, token)
        answer = insist(servers.b, token)
        assert answer.status_code == 200, answer.text
        following = answer.json()["refreshToken"]
        # The answer is lost as well: another server gives the same one, however late.
        again = insist(servers.a, token)
        assert (again.status_code, again.json()["refreshToken"]) == (200, following)
        newest = insist(servers.a, following).json()["refreshToken"]
        assert insist(servers.b, newest).status_code == 200
        assert insist(servers.a, token).status_code == 401
        figures(outage_s=time.monotonic() - began_s, first=first and first.status_code)
