"""Compute the versions of objects that clients change, as entity tags.

Invariants:

- Seconds that the server counts are no change, so a tracked session keeps its tag.
- A change that expects a version is made to that version or not at all.
"""

import hashlib
import json
from typing import Any, NamedTuple

from models.base.errors import PreconditionFailed
from models.base.schema_types import WireModel
from models.sessions.session import COUNTERS, SessionView

LABELS = ("targetMinutes", "contentId", "title", "tags", "notes")
CHANGED = (*LABELS, "status", "tracked", "edited", "focusScore")


class Expected(NamedTuple):
    """The versions to which a change may be made."""

    tags: frozenset[str] | None = None
    """None: any version."""

    def check(self, tag: str) -> None:
        """Raise PreconditionFailed `changed_meanwhile` for another version."""
        if self.tags is not None and tag not in self.tags:
            raise changed_meanwhile()


ANY = Expected()


def changed_meanwhile() -> PreconditionFailed:
    """Return the error of a change that expects another version."""
    return PreconditionFailed("changed_meanwhile", "It was changed meanwhile; load it again.")


def tag_of(value: WireModel) -> str:
    """Return the tag of settings or goals."""
    return _digest(value.model_dump(mode="json"))


def session_tag(session: SessionView) -> str:
    """Return the tag of a session."""
    shown = session.model_dump(mode="json")
    names = CHANGED if session.tracked else (*CHANGED, *COUNTERS, "manualSeconds")
    return _digest({name: shown[name] for name in names})


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
