"""Page names: bounded in all, by visitor and by address; no view is refused."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from models.pageviews.storage_budgets import DAY_S
from realtime.pageviews.page_limit import OVERFLOW, SETTLES_AFTER_S, PageLimit

MOST, OF_VISITOR, OF_ADDRESS = 6, 3, 4
ASKED = st.tuples(
    st.sampled_from("abcdefghijk"),
    st.sampled_from(["ada", "bob", "eve"]),
    st.sampled_from(["home", "school"]),
)


def some_names(most: int = MOST) -> PageLimit:
    return PageLimit(most=most, most_of_visitor=OF_VISITOR, most_of_address=OF_ADDRESS)


@given(st.lists(ASKED))
def test_it_is_bounded_and_every_view_has_a_name(asked: list[tuple[str, str, str]]) -> None:
    names = some_names()
    known: set[str] = set()
    by_visitor: Counter[str] = Counter()
    by_address: Counter[str] = Counter()
    overflowed = 0
    for page, visitor, address in asked:
        may = page in known or (
            len(known) < MOST
            and by_visitor[visitor] < OF_VISITOR
            and by_address[address] < OF_ADDRESS
        )
        assert names.admit(page, visitor, address, 0) == (page if may else OVERFLOW)
        if may and page not in known:
            known.add(page)
            by_visitor[visitor] += 1
            by_address[address] += 1
        overflowed += not may
    assert (len(names), names.overflowed) == (len(known), overflowed)


def test_twenty_visitors_of_an_address_bring_what_the_address_may() -> None:
    names = some_names(most=10_000)
    told = [names.admit(f"/{n}-{v}", f"v{v}", "home", 0) for v in range(20) for n in range(500)]
    assert sum(name != OVERFLOW for name in told) == OF_ADDRESS
    assert names.admit("/new", "other", "school", 0) == "/new"


def test_what_may_be_brought_grows_back() -> None:
    names = some_names(most=10_000)
    for number in range(10):
        names.admit(str(number), "v", "home", 0)
    assert names.admit("late", "v", "home", 60) == OVERFLOW
    assert names.admit("late", "v", "home", DAY_S) == "late"


def test_names_that_were_pruned_make_room() -> None:
    names = some_names()
    names.know("abcdef", 0)
    assert names.admit("g", "bob", "home", 0) == OVERFLOW
    names.know("abc", 60)
    assert names.admit("g", "bob", "home", 60) == "g"
    assert [names.admit(page, "eve", "school", 60) for page in "abc"] == list("abc")


def test_a_new_name_is_known_until_it_is_stored_or_forgotten() -> None:
    names = some_names()
    names.admit("new", "ada", "home", 0)
    names.know([], 60)
    assert len(names) == 1
    names.know(["new"], 120)
    assert len(names) == 1
    names.know([], 180)
    assert len(names) == 0
    names.admit("lost", "ada", "home", 200)
    names.know([], 200 + SETTLES_AFTER_S)
    assert len(names) == 0


def test_the_name_of_the_overflow_takes_no_place() -> None:
    names = some_names(most=1)
    names.know([OVERFLOW], 0)
    assert names.admit("a", "ada", "home", 0) == "a"
