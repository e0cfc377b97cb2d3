"""The database is killed under load, and started again."""

import asyncio
from pathlib import Path

from benchmarks.load import stay_active
from tests.support.database_server import Database
from tests.support.figures import Figures
from tests.support.fleet import load

RESTARTED_WITHIN_S = 5.0
CAUGHT_UP_S = 5.0


async def killed_under_load(
    directory: Path, database: Database, figures: Figures, *, count: int, seconds: float
) -> tuple[float, float]:
    """How long the database took to answer again, and then the server to catch up."""
    async with load(directory, database, count) as crew:
        await stay_active(crew.members, every_s=5, for_s=seconds)
        database.kill()
        restart_s = await asyncio.to_thread(database.start)
        caught_up_s = await crew.caught_up(within_s=20)
        verdict = await crew.audit()
        figures(restart_s=restart_s, caught_up_s=caught_up_s, **verdict.figures)
        assert verdict.exact, verdict
    return restart_s, caught_up_s
