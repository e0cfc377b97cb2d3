"""Reads that settle a doubt."""

from pathlib import Path

import pytest

from models.base.bulk_writes import read_fields
from tests.support.embedded import KINDS, database_of


@pytest.mark.parametrize("kind", KINDS)
async def test_the_fields_of_those_that_exist(tmp_path: Path, kind: str) -> None:
    async with database_of(kind, tmp_path) as db:
        await db["things"].insert_many([{"_id": n, "seen": n, "other": 0} for n in (1, 2)])
        found = await read_fields(db["things"], [1, 3], ["seen"])  # type: ignore[list-item]
        assert found == {1: {"_id": 1, "seen": 1}}
