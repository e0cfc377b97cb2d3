"""Test that tallies of views, merged in any order, are the tally of all views."""

from hypothesis import given
from hypothesis import strategies as st

from scoring.tallies import Breakdown, CountedView, Tally, ViewCounts

seen = st.builds(
    CountedView,
    page=st.sampled_from(["/a", "/b", "/c"]),
    hour=st.integers(0, 23),
    visitor=st.sampled_from("abcdef"),
    user=st.sampled_from("xyz"),
    visible_seconds=st.integers(0, 10_000),
    engaged_seconds=st.integers(0, 10_000),
)
some = st.lists(seen, max_size=20)


def breakdown(views: list[CountedView]) -> Breakdown:
    made = Breakdown()
    for view in views:
        made.add(view)
    return made


def parts(made: Breakdown) -> object:
    return made.total, made.users, made.pages, made.hours


@given(some, some)
def test_merged_breakdowns_are_the_breakdown_of_all(
    a: list[CountedView], b: list[CountedView]
) -> None:
    one, other = breakdown(a), breakdown(b)
    one.merge(breakdown(b))
    other.merge(breakdown(a))
    assert parts(one) == parts(other) == parts(breakdown(a + b))


@given(some, some)
def test_a_merge_leaves_what_it_takes_as_it_was(a: list[CountedView], b: list[CountedView]) -> None:
    one, other = breakdown(a), breakdown(b)
    one.merge(other)
    one.merge(other)
    assert parts(other) == parts(breakdown(b))


@given(some)
def test_a_tally_survives_being_stored(views: list[CountedView]) -> None:
    total = breakdown(views).total
    stored = Tally()
    stored.merge_document(total.to_document())
    assert stored == total


@given(some)
def test_pages_and_hours_add_up(views: list[CountedView]) -> None:
    made = breakdown(views)
    for tallies in (made.pages.values(), made.hours.values()):
        together = ViewCounts()
        for tally in tallies:
            together.merge(tally.counts)
        assert together.values() == made.total.counts.values()


def test_a_view_that_was_never_visible_is_a_view_and_no_time() -> None:
    made = breakdown([CountedView("/a", 1, "a", "x", 0, 0), CountedView("/a", 1, "b", "x", 9, 3)])
    counts = made.total.counts
    assert (counts.views, counts.never_visible, counts.visible_views) == (2, 1, 1)
    assert (made.total.visible.median(), made.total.engaged.median()) == (9, 3)
    assert (made.total.visitors.count(), made.users.count()) == (2, 1)
