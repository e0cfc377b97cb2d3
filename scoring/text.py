"""Normalize texts that people type, for storing and for comparing. Pure.

Invariants:

- `clean` and `composed` are idempotent, and give the same result for texts that are canonically
  equivalent (UAX #15).
- All functions take time proportional to the length of the text. `unicodedata.normalize`
  alone sorts a run of combining marks by insertion, which is quadratic in its length.
"""

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

MOST_MARKS = 30
"""Longest run of combining marks, as in the Stream-Safe Text Format (UAX #15, section 13). No
language needs as many."""
JOINER = "\u034f"  # COMBINING GRAPHEME JOINER, after which a new run of marks begins
BOM = "\ufeff"
INVISIBLE = "\u00ad\u180e\u200b\u2060\ufeff"
BLANKS = INVISIBLE + "".join(filter(str.isspace, map(chr, range(0x3001))))

_LETTERS = {
    **{"\u0131": "i", "ł": "l", "ø": "o", "đ": "d", "ħ": "h"},
    **{"ð": "d", "þ": "th", "æ": "ae", "œ": "oe"},
}
"""Letters that Unicode does not decompose, after case folding; the first is a dotless i."""
_SPECIAL = re.compile(f"[{''.join(_LETTERS)}]")
_IGNORED = [
    *INVISIBLE,
    JOINER,
    *map(chr, (*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A))),
    *map(chr, range(0xFE00, 0xFE10)),
]
"""Characters without a glyph: joiners, marks of direction, variation selectors."""
_MARKS = [chr(code) for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code))]
_PARTS_OF_LETTERS = (7, 8, 9)
"""Combining classes of marks that make another letter: nukta, the voicing of kana, virama."""
_DROPPED = [
    *(mark for mark in _MARKS if unicodedata.combining(mark) not in _PARTS_OF_LETTERS),
    *_IGNORED,
]


class _Pattern:
    """A regular expression in which `SET` stands for a set of characters.

    `re` is slow with sets that hold characters beyond 16 bits, so the whole set is used only for
    texts that have such characters.
    """

    def __init__(self, pattern: str, letters: Iterable[str]) -> None:
        letters = list(letters)
        narrow = (letter for letter in letters if letter <= "\uffff")
        self._narrow, self._wide = (
            re.compile(pattern.replace("SET", f"[{''.join(each)}]")) for each in (narrow, letters)
        )

    def sub(self, replacement: str, text: str) -> str:
        is_wide = len(text.encode("utf-16-le")) > 2 * len(text)
        return (self._wide if is_wide else self._narrow).sub(replacement, text)


_TOO_MANY = _Pattern(f"SET{{{MOST_MARKS}}}(?=SET)", _MARKS)
_NOT_COMPARED = _Pattern("SET+", _DROPPED)
_ESCAPE = re.compile(
    r"\\(?:(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that change the direction of the text after them. Marks of
direction (U+200E, U+200F, U+061C) stay: names in Hebrew and Arabic contain them."""
_UNDECODED = re.compile("[\udc80-\udcff]")
_ENCODED = re.compile("(?:%[89a-fA-F][0-9a-fA-F])+")


def clean(text: str) -> str:
    """Return a name in the spelling in which it is stored.

    That is NFC, without surrounding blanks, and without characters that would change how the text
    next to it is displayed.
    """
    return composed(_UNSAFE.sub("", text)).strip(BLANKS)


def composed(text: str) -> str:
    """Return the text in NFC (UAX #15), with lone surrogates replaced and runs of marks bounded."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _stream_safe(_without_surrogates(text)))


def distinct(names: Iterable[str]) -> list[str]:
    """Return the names as `clean` spells them, without duplicates, in the given order."""
    return list(dict.fromkeys(map(clean, names)))


def fold(text: str) -> str:
    """Return a text without case, accents and kinds of blanks, for comparing (UTS #18, UAX #15).

    A search finds `a` in `b` if `fold(a) in fold(b)`.
    """
    if not text.isascii():
        text = _stream_safe(_without_surrogates(text))
        # Twice, since the fold of a compatibility character may have a case again (UTS #18).
        text = unicodedata.normalize("NFKD", text.casefold()).casefold()
        if not text.isascii():
            text = _SPECIAL.sub(_spelled, _NOT_COMPARED.sub("", text))
    return " ".join(text.casefold().split())


def mended_json(text: str) -> str:
    r"""Return JSON with U+FFFD for escapes of lone surrogates, such as `"\ud83d"`.

    Parsers refuse such escapes, but `JSON.stringify` writes them for a string that was cut in
    the middle of a character.
    """

    def mended(found: re.Match[str]) -> str:
        return found[0] if found["lone"] is None else r"\ufffd"

    return _ESCAPE.sub(mended, text)


def decoded_path(path: str) -> str:
    """Return a path with percent-encoded letters decoded (`%C3%A9` to `é`; RFC 3986, section 2.1).

    Encoded ASCII stays, since `/a%2Fb` is not `/a/b`, and so do bytes that are not UTF-8.
    """
    return _ENCODED.sub(_decoded, path)


def _decoded(found: re.Match[str]) -> str:
    text = unquote_to_bytes(found[0]).decode(errors="surrogateescape")
    return _UNDECODED.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text)


def _without_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _stream_safe(text: str) -> str:
    return _TOO_MANY.sub(r"\g<0>" + JOINER, text)


def _spelled(letter: re.Match[str]) -> str:
    return _LETTERS[letter[0]]
