"""The driver's errors in two words, and an answer that does not come."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
    WriteError,
)

from focusup.database import open_database
from models.base.driver_errors import (
    StatementRefused,
    StorageUnavailable,
    answered_within,
    translated,
)
from tests.support.requirements import embedded_only


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("gone"),
        NetworkTimeout("slow"),
        NotPrimaryError("stepped down"),
        ServerSelectionTimeoutError("nobody"),
        TimeoutError(),
        OperationFailure("stepping down", 11602, {"errorLabels": ["RetryableWriteError"]}),
    ],
)
def test_no_answer(error: Exception) -> None:
    with pytest.raises(StorageUnavailable) as caught, translated():
        raise error
    assert str(error) not in caught.value.message or not str(error)


@pytest.mark.parametrize(
    "error", [WriteError("no", 2), DuplicateKeyError("twice", 11000), OperationFailure("no", 9)]
)
def test_a_refusal(error: Exception) -> None:
    with pytest.raises(StatementRefused), translated():
        raise error


def test_a_bug_stays_what_it_is() -> None:
    with pytest.raises(KeyError), translated():
        raise KeyError("x")


async def test_a_database_that_hangs_is_no_answer_and_frees_its_threads(tmp_path: Path) -> None:
    embedded_only("stops its process")
    opened = await open_database(uri=None, name="focusup", data_dir=tmp_path)
    child = int((tmp_path / "secantusdb.pid").read_text())
    try:
        await opened.db["things"].insert_one({"_id": 1})
        os.kill(child, signal.SIGSTOP)
        began_s = time.monotonic()
        for _ in range(3):
            with pytest.raises(StorageUnavailable):
                async with answered_within(1):
                    await opened.db["things"].update_one({"_id": 1}, {"$set": {"x": 1}})
        assert time.monotonic() - began_s < 5
        os.kill(child, signal.SIGCONT)
        await asyncio.sleep(0.2)
        async with answered_within(5):
            assert (await opened.db["things"].find_one({"_id": 1})) is not None
    finally:
        os.kill(child, signal.SIGCONT)
        await opened.close()
