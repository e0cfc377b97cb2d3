"""Figures: buckets, and what may become a label."""

from hypothesis import given
from hypothesis import strategies as st

from realtime.figures import Histogram, SocketFigures


@given(st.lists(st.integers(0, 50)))
def test_each_time_is_in_the_first_bucket_that_takes_it(times_us: list[int]) -> None:
    histogram = Histogram((10, 20, 30))
    for time_us in times_us:
        histogram.observe(time_us)
    within = [sum(time_us <= bound for time_us in times_us) for bound in (10, 20, 30)]
    assert [sum(histogram.counts[: n + 1]) for n in range(3)] == within
    assert sum(histogram.counts) == len(times_us)
    assert histogram.sum_us == sum(times_us)


def test_sockets_are_in_one_state_at_a_time() -> None:
    figures = SocketFigures()
    figures.moved(None, "waiting")
    figures.moved(None, "waiting")
    figures.moved("waiting", "tracking")
    assert figures.by_state == {"waiting": 1, "tracking": 1}
    figures.moved("waiting", "closing")
    figures.moved("closing", None)
    assert +figures.by_state == {"tracking": 1}


@given(st.lists(st.integers(1000, 4999)))
def test_clients_cannot_make_up_labels(codes: list[int]) -> None:
    figures = SocketFigures()
    for code in codes:
        figures.closed("client", code)
    assert len(figures.closes) <= 4
    assert figures.closes.total() == len(codes)
