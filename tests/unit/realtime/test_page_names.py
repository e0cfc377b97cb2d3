"""Page names: bounded in all and by visitor."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import Conflict
from realtime.page_names import PageNames

MOST, OF_ONE = 6, 3
ASKED = st.tuples(st.sampled_from("abcdefghijk"), st.sampled_from(["ada", "bob", "eve"]))


@given(st.lists(ASKED))
def test_it_is_bounded_and_what_is_known_stays_viewable(asked: list[tuple[str, str]]) -> None:
    names = PageNames(most=MOST, most_of_one=OF_ONE)
    known: set[str] = set()
    brought: Counter[str] = Counter()
    for page, visitor in asked:
        may = page in known or (len(known) < MOST and brought[visitor] < OF_ONE)
        if not may:
            with pytest.raises(Conflict):
                names.admit(page, visitor)
            continue
        names.admit(page, visitor)
        if page not in known:
            known.add(page)
            brought[visitor] += 1


def test_names_of_other_processes_are_nobodys_here() -> None:
    names = PageNames(most=MOST, most_of_one=OF_ONE)
    names.know("abcde")
    for page in "abcdef":
        names.admit(page, "ada")
    with pytest.raises(Conflict):
        names.admit("g", "bob")
