"""What the pages say: every text is there, is used, and stands in every language."""

import re
from pathlib import Path

import pytest

from focusup.web.texts import DIRECTORY, load_texts, of_page

WEB = DIRECTORY.parent
PLURAL = re.compile(r"\.(zero|one|two|few|many|other)$")
HOLE = re.compile(r"\{(\w+)\}")
ASKED = re.compile(r"""\bt\(["']([\w.]+)["']\s*[,)]""")
QUOTED = re.compile(r"""["']([a-z]+\.[\w.]+)["']""")
PREFIX = re.compile(r"""["'`]((?:all|study|progress|admin)\.[\w.]*)(?:["'] ~|\$)""")
TEXTS = load_texts()
SOURCES = [*WEB.glob("templates/*.html"), *WEB.glob("static/**/*.js")]


@pytest.mark.parametrize("language", TEXTS)
def test_every_language_says_the_same(language: str) -> None:
    texts, english = TEXTS[language], TEXTS["en"]
    assert {PLURAL.sub("", key) for key in texts} == {PLURAL.sub("", key) for key in english}
    for key, text in texts.items():
        assert text.strip(), key
        like = english.get(key) or english[PLURAL.sub("", key) + ".other"]
        assert set(HOLE.findall(text)) == set(HOLE.findall(like)), key


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_text_that_is_asked_for_is_there(path: Path) -> None:
    known = {*TEXTS["en"], *(PLURAL.sub("", key) for key in TEXTS["en"])}
    source = path.read_text()
    assert set(ASKED.findall(source)) <= known
    for prefix in PREFIX.findall(source):
        assert any(key.startswith(prefix) for key in known), prefix


def test_no_text_is_left_over() -> None:
    sources = "".join(path.read_text() for path in SOURCES)
    named = set(QUOTED.findall(sources))
    prefixes = tuple(PREFIX.findall(sources))
    for key in TEXTS["en"]:
        bare = PLURAL.sub("", key)
        dynamic = key.startswith(prefixes) or re.match(r"\w+\.title$", key)
        assert bare in named or key in named or dynamic, key


def test_a_page_gets_its_own_texts_and_the_shared_ones() -> None:
    got = of_page(TEXTS["en"], "study")
    assert {key.partition(".")[0] for key in got} == {"all", "study"}
