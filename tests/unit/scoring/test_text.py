"""Test that names are stored in one spelling, and found however they are typed."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.text import (
    JOINER,
    MOST_MARKS,
    clean,
    composed,
    decoded_path,
    distinct,
    fold,
    mended_json,
)

ANY = st.text(st.characters(codec=None), max_size=200)
MARKS = st.text("a\u0301\u0323\u0327\u034f\u1100\u1161", max_size=200)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Cafe\u0301", "Café"),
        ("\u212b", "Å"),
        ("  math\t\n", "math"),
        ("\u00a0\u3000math\u2003", "math"),
        ("\ufeffmath\u200b", "math"),
        ("a  b", "a  b"),
        ("\ud83d", "\ufffd"),
        ("x\udc00\ud83dy", "x\ufffd\ufffdy"),
        ("\ud83d\ude00", "😀"),
        ("ﬁ ²", "ﬁ ²"),
        (" \u200b ", ""),
        ("exe\u202efdp.txt", "exefdp.txt"),
        ("\u2067\x1b[31mred\x07\x7f\u2069", "[31mred"),
        ("\u05d0\u200f.", "\u05d0\u200f."),
        ("a\tb", "a\tb"),
    ],
)
def test_a_name_is_stored_in_one_spelling(given: str, stored: str) -> None:
    assert clean(given) == stored


@given(ANY | MARKS)
def test_cleaning_twice_changes_nothing_and_can_be_encoded(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    once.encode()


@given(MARKS)
def test_equivalent_texts_become_one(text: str) -> None:
    if max(map(len, text.translate({97: " ", 0x34F: " "}).split()), default=0) <= MOST_MARKS:
        assert composed(unicodedata.normalize("NFD", text)) == composed(text)


def test_runs_of_marks_are_cut_short_so_that_sorting_them_stays_cheap() -> None:
    text = composed("\u0301\u0323" * 10_000)
    longest = max(text.split(JOINER), key=len)
    assert len(longest) == MOST_MARKS
    assert fold("\u0301\u0323" * 10_000) == ""


def test_each_name_comes_once_in_the_order_given() -> None:
    assert distinct(["b", "Cafe\u0301", " b ", "Café", "a"]) == ["b", "Café", "a"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("İstanbul tarihi", "istanbul"),
        ("ISTANBUL", "\u0131stanbul"),
        ("istanbul", "İSTANBUL"),
        ("Crème Brûlée", "creme brulee"),
        ("creme", "CRÈME"),
        ("Straße", "STRASSE"),
        ("Łódź, Tromsø, Đà Nẵng", "lodz, tromso, da nang"),
        ("œuvre", "OEUVRE"),
        ("Ǆungla", "dzungla"),
        ("ΣΊΣΥΦΟΣ", "σισυφος"),
        ("Ёлка", "елка"),
        ("ﬁnance", "finance"),
        ("\uff26\uff35\uff2c\uff2c\u3000width", "full width"),
        ("a\u00adb\u200dc", "abc"),
        ("linear\nalgebra", "linear  algebra"),
        ("가방", "가방"),
        ("שָׁלוֹם", "שלום"),
        ("🧑🏽‍🏫 plan", "🧑🏽🏫"),
    ],
)
def test_a_search_finds_a_text_however_it_is_typed(text: str, wanted: str) -> None:
    assert fold(wanted) in fold(text)


@pytest.mark.parametrize(("one", "other"), [("が", "か"), ("क़", "क"), ("9", "6"), ("ab", "a b")])
def test_other_letters_stay_other_letters(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(ANY | MARKS)
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(unicodedata.normalize("NFD", composed(text))) == fold(text)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (r'"\ud83d"', "\ufffd"),
        (r'"\uDE00x"', "\ufffdx"),
        (r'"\ud83d\ud83d\ude00"', "\ufffd😀"),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\\ud83d"', r"\ud83d"),
        (r'"\\\ud83d\n"', "\\\ufffd\n"),
        (r'"\ud83d\u0041"', "\ufffdA"),
    ],
)
def test_lone_surrogates_in_json_are_replaced(sent: str, read: str) -> None:
    assert json.loads(mended_json(sent)) == read


@given(ANY)
def test_mended_json_can_always_be_encoded(text: str) -> None:
    json.loads(mended_json(json.dumps(text))).encode()


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/caf%C3%A9", "/café"),
        ("/%d0%ba%D0%B0", "/ка"),
        ("/a%2Fb%20c", "/a%2Fb%20c"),
        ("/%D0%BA%D0", "/к%D0"),
        ("/%ff", "/%FF"),
        ("/100%", "/100%"),
        ("/%F0%9F%98%80", "/😀"),
        ("/%ED%A0%BD", "/%ED%A0%BD"),
    ],
)
def test_paths_are_shown_decoded(path: str, shown: str) -> None:
    assert decoded_path(path) == shown
    assert decoded_path(shown) == shown
