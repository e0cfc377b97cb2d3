"""Fenced updates, on every database that must understand them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.base.compare_and_set import PerDocument, Stamps, fenced
from tests.support.embedded import KINDS, database_of


@pytest.fixture(params=KINDS)
async def collection(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    async with database_of(request.param, tmp_path) as db:
        yield db["things"]


async def insert(collection: Any, *stamps: str) -> None:
    await collection.insert_many([{"_id": n, "stamp": s, "n": 10} for n, s in enumerate(stamps)])


async def test_only_documents_with_the_expected_stamp_change(collection: Any) -> None:
    await insert(collection, "a.1", "a.1", "b.7")
    update = fenced("a.1", "a.2", values={"title": "$price"}, increments={"n": 1})
    result = await collection.update_many({"_id": {"$in": [0, 1, 2, 99]}}, update)
    assert result.modified_count == 2
    found = await collection.find({}).sort("_id", 1).to_list(None)
    changed = {"stamp": "a.2", "n": 11, "title": "$price"}
    assert found == [
        {"_id": 0, **changed},
        {"_id": 1, **changed},
        {"_id": 2, "stamp": "b.7", "n": 10},
    ]


async def test_the_same_write_again_changes_nothing(collection: Any) -> None:
    await insert(collection, "a.1")
    update = fenced("a.1", "a.2", values={"x": None}, increments={"n": 1})
    assert (await collection.update_one({"_id": 0}, update)).modified_count == 1
    assert (await collection.update_one({"_id": 0}, update)).modified_count == 0
    assert await collection.find_one({"_id": 0}) == {"_id": 0, "stamp": "a.2", "n": 11, "x": None}


async def test_documents_of_different_histories_in_one_statement(collection: Any) -> None:
    await insert(collection, "a.1", "a.2", "somebody else's")
    update = fenced(
        PerDocument({0: "a.1", 1: "a.2", 2: "a.3"}),
        "a.9",
        values={
            "n": PerDocument({0: 5, 1: 6, 2: 7}),
            "status": PerDocument.fromkeys(range(3), "x"),
        },
    )
    result = await collection.update_many({"_id": {"$in": [0, 1, 2]}}, update)
    assert result.modified_count == 2
    found = await collection.find({}).sort("_id", 1).to_list(None)
    assert [(d["n"], d["stamp"]) for d in found] == [
        (5, "a.9"),
        (6, "a.9"),
        (10, "somebody else's"),
    ]
    assert "status" not in found[2]


def test_stamps_are_never_used_twice_and_know_their_own() -> None:
    mine, direct, other = Stamps("p"), Stamps("pd"), Stamps()
    made = [stamps.fresh() for stamps in (mine, direct, other) for _ in range(100)]
    assert len(set(made)) == 300
    assert all(mine.ours(stamp) for stamp in made[:100])
    assert not any(mine.ours(stamp) for stamp in made[100:])
    assert Stamps().process != Stamps().process
