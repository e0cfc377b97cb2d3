"""The database is killed after a long time of load: its log must not have grown meanwhile."""

from pathlib import Path

import pytest

from tests.support.database_server import Database
from tests.support.figures import Figures
from tests.support.killed import CAUGHT_UP_S, RESTARTED_WITHIN_S, killed_under_load


@pytest.mark.timeout(700)
async def test_the_database_is_killed_after_10_minutes_of_load(
    tmp_path: Path, database: Database, figures: Figures
) -> None:
    restart_s, caught_up_s = await killed_under_load(
        tmp_path, database, figures, count=1000, seconds=600
    )
    assert restart_s <= RESTARTED_WITHIN_S
    assert caught_up_s <= CAUGHT_UP_S
