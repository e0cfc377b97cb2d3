"""An export of 100,000 sessions: complete, in bounded memory, without delaying any tick."""

import uuid
from pathlib import Path

import pytest

from tests.live.test_export import watched_export
from tests.live.test_leaving import a_server
from tests.support.figures import Figures
from tests.support.many_sessions import fill

COUNT = 100_000


@pytest.mark.timeout(600)
async def test_a_hundred_thousand_sessions(tmp_path: Path, figures: Figures) -> None:
    with a_server(tmp_path) as (server, db):
        user = uuid.uuid4().hex
        fill(db, user, COUNT)
        figures(**await watched_export(server, user, COUNT))
