"""What is known of a learner's sessions, of those that earlier versions stored too."""

from datetime import UTC, datetime

from bson import ObjectId

from models.sessions.session import NewSession, new_document
from models.study.day_summary import lived_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_a_tag_that_was_stored_twice_counts_once() -> None:
    document = {"_id": ObjectId(), **new_document("ada", NewSession(), stamp="a.1", now=NOW)}
    typed = {"tags": ["math", "math ", "Cafe\u0301", "Café"], "contentId": "Cafe\u0301"}
    lived = lived_of({**document, **typed})
    assert (lived.tags, lived.content) == (["math", "Café"], "Café")
