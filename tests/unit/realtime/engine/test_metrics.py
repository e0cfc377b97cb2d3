"""Figures: buckets, and what may become a label."""

from hypothesis import given
from hypothesis import strategies as st

from realtime.engine.metrics import Figures, Histogram, SocketMetrics
from scoring.timeline import Counts


@given(st.lists(st.integers(0, 50)))
def test_each_time_is_in_the_first_bucket_that_takes_it(times_us: list[int]) -> None:
    histogram = Histogram((10, 20, 30))
    for time_us in times_us:
        histogram.observe(time_us)
    within = [sum(time_us <= bound for time_us in times_us) for bound in (10, 20, 30)]
    assert [sum(histogram.counts[: n + 1]) for n in range(3)] == within
    assert sum(histogram.counts) == len(times_us)
    assert histogram.sum_us == sum(times_us)


def test_a_second_that_is_lost_and_written_again_counts_once() -> None:
    figures = Figures()

    def stored(before: Counts, now: Counts) -> tuple[int, int]:
        figures.stored(before, now)
        return figures.active_seconds, figures.idle_seconds

    assert stored(Counts(100, 50, 0), Counts(105, 51, 0)) == (5, 1)  # 100 and 50 are of others
    assert stored(Counts(105, 51, 0), Counts(102, 50, 0)) == (5, 1)
    assert stored(Counts(102, 50, 0), Counts(104, 51, 0)) == (5, 1)
    assert stored(Counts(104, 51, 0), Counts(107, 53, 1)) == (7, 3)


def test_sockets_are_in_one_state_at_a_time() -> None:
    figures = SocketMetrics()
    figures.moved(None, "waiting")
    figures.moved(None, "waiting")
    figures.moved("waiting", "tracking")
    assert figures.by_state == {"waiting": 1, "tracking": 1}
    figures.moved("waiting", "closing")
    figures.moved("closing", None)
    assert +figures.by_state == {"tracking": 1}


@given(st.lists(st.integers(1000, 4999)))
def test_clients_cannot_make_up_labels(codes: list[int]) -> None:
    figures = SocketMetrics()
    for code in codes:
        figures.closed("client", code)
    assert len(figures.closes) <= 4
    assert figures.closes.total() == len(codes)
