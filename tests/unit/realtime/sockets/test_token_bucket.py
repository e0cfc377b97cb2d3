"""So many at once, and so many a second."""

import pytest

from realtime.sockets.token_bucket import TokenBucket


def test_so_many_at_once_and_no_more() -> None:
    allowance = TokenBucket(3, 2, now_s=10.0)
    assert [allowance.take(10.0) for _ in range(5)] == [True, True, True, False, False]


def test_it_refills_steadily_up_to_its_most() -> None:
    allowance = TokenBucket(3, 2, now_s=0.0)
    assert allowance.take(0.0, 3)
    assert not allowance.take(0.49)
    assert allowance.take(0.5)
    assert not allowance.take(0.6)
    assert allowance.take(100.0, 3)
    assert not allowance.take(100.0)


def test_what_was_refused_costs_nothing() -> None:
    allowance = TokenBucket(2, 1, now_s=0.0)
    assert not allowance.take(0.0, 3)
    assert allowance.take(0.0, 2)


def test_a_clock_that_stands_or_is_set_back_gives_nothing() -> None:
    allowance = TokenBucket(1, 1, now_s=5.0)
    assert allowance.take(5.0)
    assert not allowance.take(4.0)
    assert allowance.take(5.0)


def test_who_owes_waits_in_line() -> None:
    allowance = TokenBucket(2, 10, now_s=0.0)
    assert [allowance.owe(0.0) for _ in range(4)] == pytest.approx([0, 0, 0.1, 0.2])
    allowance.give_back()
    assert allowance.owe(0.0) == pytest.approx(0.2)
    assert allowance.owe(1.0) == 0
