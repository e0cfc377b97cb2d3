"""How many connections fit into the descriptors that the system gives."""

import pytest

from focusup import file_descriptors
from focusup.file_descriptors import SPARE_FILES, Capacity, needed_files, within

DEFAULT = Capacity(max_sockets=30_000, max_idle=4_000)


def test_the_defaults_fit_into_what_the_service_file_gives() -> None:
    assert within(65_536, DEFAULT) == DEFAULT
    assert within(None, DEFAULT) == DEFAULT


@pytest.mark.parametrize("limit", [300, 1_024, 4_096, 20_000])
def test_fewer_descriptors_bound_what_is_taken(limit: int) -> None:
    found = within(limit, DEFAULT)
    assert 0 < found.max_sockets < DEFAULT.max_sockets
    assert 0 < found.max_idle <= DEFAULT.max_idle
    assert found.in_all is not None
    assert found.in_all >= 0.6 * limit - 100
    assert found.in_all + found.max_idle < limit
    if limit >= 1_024:
        assert found.in_all + found.max_idle + SPARE_FILES <= limit
    again = within(limit, Capacity(found.max_sockets, found.max_idle))
    assert again == found


@pytest.mark.parametrize(
    ("soft", "hard", "found"),
    [(1_024, 65_536, 64_256), (1_024, 4_096, 4_096), (100_000, 100_000, 100_000)],
)
def test_the_soft_limit_is_raised_as_far_as_needed(
    soft: int, hard: int, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, limits: given.append(limits))
    assert file_descriptors.raise_limit(needed_files(DEFAULT)) == found
    assert given == ([] if soft == found else [(found, hard)])


def test_a_limit_that_the_system_refuses_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")

    def refuse(_kind: int, _limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert file_descriptors.raise_limit(1_000) == 256
