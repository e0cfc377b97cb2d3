"""The proxy does to messages what its rules say, and nothing to all others."""

import time
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from pymongo.errors import ConnectionFailure, PyMongoError

from tests.support.database_server import Database, uri
from tests.support.proxy import Fate, Proxy

Collection = pymongo.collection.Collection[dict[str, Any]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("proxy"))
    database.start()
    yield database
    database.remove()


@pytest.fixture
def proxy(shared: Database) -> Iterator[Proxy]:
    with Proxy(shared.port) as proxy:
        yield proxy


@pytest.fixture
def things(proxy: Proxy) -> Iterator[Collection]:
    """One document `{_id: 1, n: 0}`, by way of the proxy."""
    # A write that the driver repeats by itself would hide what the proxy did to the first.
    options: dict[str, Any] = {"serverSelectionTimeoutMS": 2000, "retryWrites": False}
    with pymongo.MongoClient[dict[str, Any]](uri(proxy.port), **options) as client:
        client.drop_database("proxied")
        client.proxied.things.insert_one({"_id": 1, "n": 0})
        yield client.proxied.things


def set_n(things: Collection, n: int) -> None:
    things.update_one({"_id": 1}, {"$set": {"n": n}})


def stored(things: Collection) -> int:
    document = things.find_one({"_id": 1})
    assert document is not None
    return int(document["n"])


def test_everything_passes_without_a_rule(proxy: Proxy, things: Collection) -> None:
    big = "x" * 3_000_000
    things.insert_one({"_id": 2, "text": big})
    assert things.find_one({"_id": 2}) == {"_id": 2, "text": big}
    set_n(things, 1)
    assert (stored(things), proxy.writes) == (1, 1)


@pytest.mark.parametrize(
    ("fate", "done"), [(Fate.DROP, 0), (Fate.DROP_REPLY, 1), (Fate.CUT, 0)], ids=str
)
def test_one_write_is_lost(proxy: Proxy, things: Collection, fate: Fate, done: int) -> None:
    rule = proxy.rule(fate, times=1)
    with pytest.raises(ConnectionFailure):
        set_n(things, 1)
    assert (stored(things), rule.acted) == (done, 1)
    set_n(things, 2)
    assert stored(things) == 2


@pytest.mark.parametrize(("fate", "done"), [(Fate.DROP_AND_HANG, 0), (Fate.HOLD_REPLY, 1)], ids=str)
def test_one_write_is_never_answered(
    proxy: Proxy, things: Collection, fate: Fate, done: int
) -> None:
    rule = proxy.rule(fate, times=1)
    with pymongo.timeout(0.2), pytest.raises(PyMongoError) as raised:
        set_n(things, 1)
    assert raised.value.timeout
    assert rule.first.is_set()
    assert stored(things) == done


@pytest.mark.parametrize(
    ("fate", "last"), [(Fate.HOLD_PAST_NEXT, 1), (Fate.HOLD_BEFORE_NEXT, 2)], ids=str
)
def test_one_write_comes_late(proxy: Proxy, things: Collection, fate: Fate, last: int) -> None:
    proxy.rule(fate, times=1)
    with pytest.raises(ConnectionFailure):
        set_n(things, 1)
    assert stored(things) == 0
    set_n(things, 2)
    deadline_s = time.monotonic() + 2
    while not proxy.late_modified and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert (stored(things), proxy.late_modified) == (last, [1])


def test_every_third_write_is_reset_until_the_rule_is_lifted(
    proxy: Proxy, things: Collection
) -> None:
    rule = proxy.rule(Fate.RESET, every=3)
    failed = []
    for n in range(1, 10):
        try:
            set_n(things, n)
        except ConnectionFailure:
            failed.append(n)
    assert failed == [3, 6, 9]
    proxy.clear()
    for n in range(10, 16):
        set_n(things, n)
    assert (rule.acted, stored(things)) == (3, 15)


def test_only_replies_to_what_the_rule_is_for_are_late(proxy: Proxy, things: Collection) -> None:
    proxy.rule(Fate.DELAY, delay_s=0.3)
    began_s = time.monotonic()
    assert stored(things) == 0
    read_s = time.monotonic()
    set_n(things, 1)
    assert read_s - began_s < 0.2
    assert 0.3 <= time.monotonic() - read_s < 0.6


def test_it_refuses_and_cuts_and_accepts_again(proxy: Proxy, things: Collection) -> None:
    proxy.refuse()
    with pymongo.timeout(0.3), pytest.raises(ConnectionFailure):
        set_n(things, 1)
    proxy.accept()
    set_n(things, 2)
    assert stored(things) == 2


def test_it_swallows_everything_until_it_is_cleared(proxy: Proxy, things: Collection) -> None:
    proxy.swallow()
    with pymongo.timeout(0.3), pytest.raises(PyMongoError) as raised:
        set_n(things, 1)
    assert raised.value.timeout
    proxy.clear()
    assert stored(things) == 0
