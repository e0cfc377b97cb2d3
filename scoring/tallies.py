"""What is known of a set of page views: sums, times and who was there. Pure.

What must always hold: tallies of disjoint sets, merged in any order, are the tally of
their union; a view that was never visible for a whole second counts as a view, and has no
part in means and medians.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from scoring.sketches import DistinctSketch, SecondsHistogram


class CountedView(NamedTuple):
    """What statistics need of one view. `hour` is that of its day; `user` is who viewed:
    the user that the visitor is joined to, else the visitor."""

    page: str
    hour: int
    visitor: str
    user: str
    visible_seconds: int
    engaged_seconds: int


class ViewCounts:
    """Sums alone: what pages are ranked by."""

    __slots__ = ("engaged_seconds", "never_visible", "views", "visible_seconds")
    NAMES = ("views", "never_visible", "visible_seconds", "engaged_seconds")

    def __init__(self, values: Iterable[int] = (0, 0, 0, 0)) -> None:
        self.views, self.never_visible, self.visible_seconds, self.engaged_seconds = values

    def values(self) -> tuple[int, int, int, int]:
        return self.views, self.never_visible, self.visible_seconds, self.engaged_seconds

    @property
    def visible_views(self) -> int:
        """The views that were visible for a second or more."""
        return self.views - self.never_visible

    def add(self, view: CountedView) -> None:
        self.views += 1
        self.never_visible += view.visible_seconds == 0
        self.visible_seconds += view.visible_seconds
        self.engaged_seconds += view.engaged_seconds

    def merge(self, other: "ViewCounts") -> None:
        self.views += other.views
        self.never_visible += other.never_visible
        self.visible_seconds += other.visible_seconds
        self.engaged_seconds += other.engaged_seconds


class Tally:
    """Sums, both histograms and the visitors."""

    __slots__ = ("counts", "engaged", "visible", "visitors")

    def __init__(self) -> None:
        self.counts = ViewCounts()
        self.visible = SecondsHistogram()
        self.engaged = SecondsHistogram()
        self.visitors = DistinctSketch()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]

    def add(self, view: CountedView) -> None:
        self.counts.add(view)
        if view.visible_seconds:
            self.visible.add(view.visible_seconds)
            self.engaged.add(view.engaged_seconds)
        self.visitors.add(view.visitor)

    def merge(self, other: "Tally") -> None:
        self.counts.merge(other.counts)
        self.visible.merge(other.visible)
        self.engaged.merge(other.engaged)
        self.visitors.merge(other.visitors)

    def to_document(self) -> dict[str, Any]:
        return {
            "counts": list(self.counts.values()),
            "visible": self.visible.to_bytes(),
            "engaged": self.engaged.to_bytes(),
            "visitors": self.visitors.to_bytes(),
        }

    def merge_document(self, document: Mapping[str, Any]) -> None:
        """Merge one that was stored, without making it first: it is what most of the time
        of an answer goes into."""
        self.counts.merge(ViewCounts(document["counts"]))
        self.visible.merge_bytes(document["visible"])
        self.engaged.merge_bytes(document["engaged"])
        self.visitors.merge_bytes(document["visitors"])


class Breakdown:
    """The tally and the users of some views, and the tally by page and by hour of the day."""

    __slots__ = ("hours", "pages", "total", "users")

    def __init__(self) -> None:
        self.total = Tally()
        self.users = DistinctSketch()
        self.pages: dict[str, Tally] = {}
        self.hours: dict[int, Tally] = {}

    def add(self, view: CountedView) -> None:
        self.total.add(view)
        self.users.add(view.user)
        self.pages.setdefault(view.page, Tally()).add(view)
        self.hours.setdefault(view.hour, Tally()).add(view)

    def merge(self, other: "Breakdown") -> None:
        self.total.merge(other.total)
        self.users.merge(other.users)
        for page, tally in other.pages.items():
            self.pages.setdefault(page, Tally()).merge(tally)
        for hour, tally in other.hours.items():
            self.hours.setdefault(hour, Tally()).merge(tally)
