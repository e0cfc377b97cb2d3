"""Load the texts of the pages, one file for each language: `texts/en.json`.

Invariants:

- Every language has the same keys, with the same `{placeholders}` (`tests/web/test_texts.py`).
- A browser that asks for an unknown language gets English.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from quart import Request

Texts = Mapping[str, str]
DEFAULT = "en"
DIRECTORY = Path(__file__).parent / "texts"


def load_texts(directory: Path = DIRECTORY) -> dict[str, Texts]:
    """By language, English first."""
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in directory.glob("*.json")}
    return {DEFAULT: found.pop(DEFAULT), **dict(sorted(found.items()))}


def language_of(request: Request, languages: Mapping[str, Texts]) -> str:
    """The one that the browser likes best."""
    return request.accept_languages.best_match(list(languages), default=DEFAULT)


def of_page(texts: Texts, page: str) -> dict[str, str]:
    """Those that a page's own script may say: its own, and what all pages share."""
    return {key: text for key, text in texts.items() if key.split(".")[0] in ("all", page)}
