"""Test that sketches merge, are exact for small inputs, and keep their stated error."""

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.sketches import (
    EXACT_BELOW_S,
    KEPT_HASHES,
    DistinctSketch,
    SecondsHistogram,
    bucket_of,
    estimate_of,
)

DAY_S = 86_400
seconds = st.integers(0, 30 * DAY_S) | st.integers(0, 2 * EXACT_BELOW_S)
many_seconds = st.lists(seconds, max_size=60)
names = st.lists(st.integers(0, 4000).map(str), max_size=3000)


def histogram(values: list[int]) -> SecondsHistogram:
    made = SecondsHistogram()
    for value in values:
        made.add(value)
    return made


def stored(sketch: SecondsHistogram | DistinctSketch) -> SecondsHistogram | DistinctSketch:
    """Packed, and merged into an empty one."""
    made = type(sketch)()
    made.merge_bytes(sketch.to_bytes())
    return made


def distinct(values: list[str]) -> DistinctSketch:
    made = DistinctSketch()
    for value in values:
        made.add(value)
    return made


@given(seconds)
def test_a_bucket_estimates_its_values_within_one_percent(value: int) -> None:
    estimate = estimate_of(bucket_of(value))
    if value < EXACT_BELOW_S:
        assert estimate == value
    else:
        assert abs(estimate - value) <= 0.01 * value


@given(many_seconds.filter(bool))
def test_a_median_is_within_one_percent(values: list[int]) -> None:
    found = histogram(values).median()
    assert found == pytest.approx(median(values), rel=0.01)
    assert len(histogram(values)) == len(values)


@given(st.lists(st.integers(0, EXACT_BELOW_S - 1), min_size=1))
def test_a_median_of_short_times_is_exact(values: list[int]) -> None:
    assert histogram(values).median() == median(values)


def test_there_is_no_median_of_nothing() -> None:
    assert SecondsHistogram().median() is None


@given(many_seconds, many_seconds, many_seconds)
def test_merged_histograms_are_the_histogram_of_all(
    a: list[int], b: list[int], c: list[int]
) -> None:
    left = histogram(a)
    left.merge(histogram(b))
    left.merge(histogram(c))
    right = histogram(c)
    right.merge(histogram(b))
    packed = histogram(a)
    packed.merge_bytes(histogram(b + c).to_bytes())
    assert packed == left
    right_first = histogram(a)
    right_first.merge(right)
    assert left == right_first == histogram(a + b + c)


@given(many_seconds)
def test_a_histogram_survives_being_stored(values: list[int]) -> None:
    assert stored(histogram(values)) == histogram(values)


def test_a_huge_number_of_seconds_still_fits() -> None:
    assert stored(histogram([2**1000])) == histogram([2**1000])


@given(names, names, names)
def test_merged_sketches_are_the_sketch_of_all(a: list[str], b: list[str], c: list[str]) -> None:
    left = distinct(a)
    left.merge(distinct(b))
    left.merge(distinct(c))
    right = distinct(c)
    right.merge(distinct(b))
    right.merge(distinct(a))
    union = distinct(a + b + c)
    assert left == right == union
    assert left.to_bytes() == union.to_bytes()
    assert left.count() == union.count()
    assert stored(left) == union
    packed = distinct(a)
    packed.merge_bytes(distinct(b).to_bytes())
    packed.merge_bytes(distinct(c).to_bytes())
    assert packed == union


@given(st.sets(st.text(max_size=5), max_size=KEPT_HASHES - 1))
def test_few_names_are_counted_exactly(some: set[str]) -> None:
    assert distinct([*some, *some]).count() == len(some)


@pytest.mark.parametrize("number", [KEPT_HASHES - 1, KEPT_HASHES, 5_000, 100_000])
def test_many_names_are_counted_within_the_error(number: int) -> None:
    found = distinct([f"visitor {each}" for each in range(number)]).count()
    assert found == pytest.approx(number, rel=3.5 * 0.0313)  # 3.5 standard errors
    assert number >= KEPT_HASHES or found == number


def test_the_error_is_as_small_as_it_is_said() -> None:
    number, rounds = 3_000, 40
    errors = [
        distinct([f"{each} {name}" for name in range(number)]).count() / number - 1
        for each in range(rounds)
    ]
    spread = (sum(error**2 for error in errors) / rounds) ** 0.5
    assert spread < 0.04
    assert abs(sum(errors) / rounds) < 3 * 0.0313 / rounds**0.5


def test_merged_sketches_of_many_names_are_the_sketch_of_all() -> None:
    parts = [distinct([str(name) for name in range(at, at + 3000)]) for at in (0, 2000, 9000)]
    union = distinct([str(name) for name in (*range(5000), *range(9000, 12_000))])
    merged, packed = DistinctSketch(), DistinctSketch()
    for part in parts:
        merged.merge(part)
        packed.merge_bytes(part.to_bytes())
    assert merged == packed == union
    assert merged.count() == packed.count() == pytest.approx(8000, rel=0.1)
