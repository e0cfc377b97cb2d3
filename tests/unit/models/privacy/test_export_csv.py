"""Test that a CSV row keeps tags apart, and that no cell is a formula."""

import csv
import io
from datetime import UTC, datetime

import pytest
from bson import ObjectId

from models.privacy.export_csv import HEADER, csv_row
from models.sessions.session import NewSession, new_document, view

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "tags",
    [
        [],
        ["math"],
        ["Algebra, linear"],
        ["Algebra, linear", "math"],
        ["Algebra", "linear", "math"],
        ['say "a, b"', '"', ","],
        ["a'b", "c;d"],
    ],
)
def test_tags_are_told_apart(tags: list[str]) -> None:
    body = NewSession(tags=tags)
    document = {"_id": ObjectId(), **new_document("ada", body, stamp="a.1", now=NOW)}
    row = csv_row(view(document, now=NOW, tracked=False))
    (read,) = csv.DictReader(io.StringIO(HEADER + row))
    listed = list(csv.reader([read["tags"]], skipinitialspace=True)) if read["tags"] else [[]]
    assert listed == [tags]
