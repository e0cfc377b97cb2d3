"""The replica set that the tests of a file hurt, and mend before the next one."""

from collections.abc import Iterator

import pytest

from tests.support.mongod import ReplicaSet, replica_set_or_skip


@pytest.fixture(scope="module")
def whole_set() -> Iterator[ReplicaSet]:
    """Three nodes with MongoDB's own election timeout."""
    with replica_set_or_skip() as found:
        yield found


@pytest.fixture
def replicas(whole_set: ReplicaSet) -> Iterator[ReplicaSet]:
    """The set, whole before and after the test."""
    try:
        yield whole_set
    finally:
        whole_set.mend()
