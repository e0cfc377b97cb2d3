"""Test that budgets are bounded in any day, and refilled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base.errors import TooMany
from models.pageviews.storage_budgets import (
    DAY_S,
    RESERVED_SHARE,
    Allowances,
    RecentIds,
    StorageBudget,
    daily_allowances,
    socket_allowances,
)

OF_ADDRESS, IN_ALL = 1_000.0, 10_000.0
seconds = st.floats(0, 3 * DAY_S, allow_nan=False)
charges = st.lists(
    st.tuples(seconds, st.integers(0, 30), st.integers(1, 400)), min_size=1, max_size=120
)


def a_budget(*, enabled: bool = True, views: float = 1e9) -> StorageBudget:
    return StorageBudget(
        bytes_of_address=OF_ADDRESS,
        bytes_in_all=IN_ALL,
        views_per_minute=views,
        clock_s=lambda: 0.0,
        enabled=enabled,
    )


def charged(
    budget: StorageBudget, cost: int, now_s: float, address: str = "a", user: str | None = None
) -> bool:
    try:
        budget.charge("views", cost, address=address, user_id=user, now_s=now_s)
    except TooMany:
        return False
    return True


@given(charges)
def test_no_day_costs_more_than_the_budget_of_anybody_or_of_all(
    asked: list[tuple[float, int, int]],
) -> None:
    budget = a_budget()
    granted = [
        (at_s, address, cost)
        for at_s, address, cost in sorted(asked)
        if charged(budget, cost, at_s, str(address))
    ]
    for since_s, *_ in granted:
        day = [each for each in granted if since_s <= each[0] < since_s + DAY_S]
        assert sum(cost for *_, cost in day) <= IN_ALL + 0.001
        for address in {each[1] for each in day}:
            assert sum(cost for _, who, cost in day if who == address) <= OF_ADDRESS + 0.001
    assert budget.stored["views"] == sum(cost for *_, cost in granted)


def test_a_user_is_charged_wherever_they_come_from_and_an_address_whoever_comes() -> None:
    budget = a_budget()
    assert [charged(budget, 100, 0, f"a{n}", "ada") for n in range(6)] == [True] * 5 + [False]
    budget = a_budget()
    assert [charged(budget, 100, 0, "a", f"u{n}") for n in range(6)] == [True] * 5 + [False]


def test_who_has_used_little_is_served_when_others_have_used_the_rest() -> None:
    budget = a_budget()
    greedy = 0
    for address in range(100):
        while charged(budget, 50, 0, f"greedy {address}"):
            greedy += 50
    # Each of them was modest at its begin; the first ten are enough for all but the reserve.
    assert greedy <= IN_ALL / 2
    budget = a_budget()
    for address in range(9):
        while charged(budget, 50, 0, f"greedy {address}"):
            pass
    assert 1 - RESERVED_SHARE - 0.02 <= budget.used(0) <= 1 - RESERVED_SHARE + 0.02
    assert not charged(budget, 50, 0, "greedy 0")
    assert charged(budget, 50, 0, "modest")


def test_nobody_is_refused_for_good() -> None:
    budget = a_budget()
    while charged(budget, 100, 0):
        pass
    assert not charged(budget, 100, 60)
    assert charged(budget, 100, DAY_S / 5 + 1)


def test_switched_off_it_counts_and_refuses_nothing() -> None:
    budget = a_budget(enabled=False, views=1)
    assert all(charged(budget, 1_000, 0) for _ in range(100))
    for _ in range(10):
        budget.charge_view(1, arrives=True, address="a", user_id=None, now_s=0)
    assert budget.stored["views"] > 100_000


def test_a_connection_begins_ten_views_at_once_and_one_a_second() -> None:
    views = socket_allowances()
    budget = StorageBudget(
        bytes_of_address=1e9, bytes_in_all=1e9, views_per_minute=1e9, clock_s=lambda: 0.0
    )

    def begins(now_s: float) -> bool:
        try:
            budget.charge_view(
                1, views=views, arrives=False, address="a", user_id=None, now_s=now_s
            )
        except TooMany:
            return False
        return True

    assert [begins(0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert [begins(second) for second in range(1, 30)] == [True] * 29


def test_an_address_begins_so_many_views_a_minute() -> None:
    budget = StorageBudget(
        bytes_of_address=1e9, bytes_in_all=1e9, views_per_minute=60, clock_s=lambda: 0.0
    )
    begun = 0
    for tenth in range(1200):
        try:
            budget.charge_view(1, arrives=False, address="a", user_id=None, now_s=tenth / 10)
            begun += 1
        except TooMany:
            continue
    assert 175 <= begun <= 180
    assert budget.refused["views"] == 1200 - begun
    budget.charge_view(1, arrives=False, address="b", user_id=None, now_s=0)


@given(st.lists(st.tuples(seconds, st.floats(0, 50)), max_size=60))
def test_a_bucket_never_gives_more_than_it_holds_and_grows(
    asked: list[tuple[float, float]],
) -> None:
    bucket = Allowances(100, 0.5)
    given_so_far = 0.0
    for at_s, cost in sorted(asked):
        if bucket.take("a", cost, at_s):
            given_so_far += cost
        assert given_so_far <= 100 + 0.5 * at_s + 0.001


def test_a_clock_that_is_set_back_gives_nothing() -> None:
    bucket = daily_allowances(100)
    assert bucket.take("a", 50, 1_000)
    assert not bucket.take("a", 1, 0)


def test_memory_is_bounded() -> None:
    bucket, known = Allowances(1, 1, most=10), RecentIds(most=10)
    for number in range(100):
        bucket.spend(str(number), 1, 0)
        known.add(number)
    assert len(bucket) == 10
    assert [number in known for number in (89, 90, 99)] == [False, True, True]


def test_every_cost_is_refused_with_a_time_to_come_back() -> None:
    budget = a_budget()
    with pytest.raises(TooMany) as refused:
        budget.charge("events", 100_000, address="a", user_id=None, now_s=0)
    assert (refused.value.code, budget.refused["events"]) == ("too_much_stored", 1)
    assert refused.value.retry_after_s >= 1
