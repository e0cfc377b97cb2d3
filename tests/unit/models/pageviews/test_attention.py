"""Test that the seconds of one browser grow no faster than time passes."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from models.pageviews.attention import AT_ONCE, Attention

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
claims = st.lists(
    st.tuples(st.floats(0, 100_000), st.integers(0, 50_000), st.integers(0, 50_000)), max_size=60
)


@given(claims)
def test_all_views_together_get_no_more_than_the_clock(
    claimed: list[tuple[float, int, int]],
) -> None:
    attention = Attention()
    attention.start_view("v", NOW)
    visible = engaged = 0
    for after_s, of_visible, of_engaged in sorted(claimed):
        now = NOW + timedelta(seconds=after_s)
        granted = attention.grant("v", of_visible, of_engaged, began_at=NOW, now=now)
        visible, engaged = visible + granted[0], engaged + granted[1]
        assert engaged <= after_s
        assert visible <= AT_ONCE * after_s


def test_four_hundred_views_that_claim_the_most_get_the_time_that_passed() -> None:
    attention = Attention()
    for _ in range(400):
        attention.start_view("v", NOW)
    later = NOW + timedelta(seconds=35)
    granted = [attention.grant("v", 35, 35, began_at=NOW, now=later) for _ in range(400)]
    assert sum(engaged for _, engaged in granted) == 35
    assert sum(visible for visible, _ in granted) == 5 * 35


def test_tabs_that_were_read_in_turn_get_all_of_it_in_any_order() -> None:
    attention, half = Attention(), timedelta(minutes=30)
    attention.start_view("v", NOW)
    attention.start_view("v", NOW + half)
    end = NOW + 2 * half
    assert attention.grant("v", 1800, 1800, began_at=NOW + half, now=end) == (1800, 1800)
    assert attention.grant("v", 3600, 1800, began_at=NOW, now=end) == (3600, 1800)


def test_memory_is_bounded() -> None:
    attention = Attention(most=3)
    for number in range(10):
        attention.start_view(str(number), NOW)
    assert len(attention._granted) == 3
