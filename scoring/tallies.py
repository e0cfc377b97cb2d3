"""Sum up sets of page views: counts, seconds and distinct visitors. Pure.

Invariants:

- Merging the tallies of disjoint sets, in any order, gives the tally of their union.
- A view that was never visible for a whole second counts as a view, but not in means and medians.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from scoring.sketches import DistinctSketch, SecondsHistogram


class CountedView(NamedTuple):
    """A page view, reduced to what statistics need."""

    page: str
    hour: int
    """The UTC hour in which it started, 0 to 23."""
    visitor: str
    user: str
    """The user to whom the visitor is joined, else the visitor."""
    visible_seconds: int
    engaged_seconds: int


class ViewCounts:
    """The sums by which pages are ranked."""

    __slots__ = ("engaged_seconds", "never_visible", "views", "visible_seconds")

    def __init__(self, values: Iterable[int] = (0, 0, 0, 0)) -> None:
        self.views, self.never_visible, self.visible_seconds, self.engaged_seconds = values

    def values(self) -> tuple[int, int, int, int]:
        """Return the sums in their stored order, which the constructor takes."""
        return self.views, self.never_visible, self.visible_seconds, self.engaged_seconds

    @property
    def visible_views(self) -> int:
        """Number of views that were visible for a second or more."""
        return self.views - self.never_visible

    def add(self, view: CountedView) -> None:
        """Add a view."""
        self.views += 1
        self.never_visible += view.visible_seconds == 0
        self.visible_seconds += view.visible_seconds
        self.engaged_seconds += view.engaged_seconds

    def merge(self, other: "ViewCounts") -> None:
        """Add other sums."""
        self.views += other.views
        self.never_visible += other.never_visible
        self.visible_seconds += other.visible_seconds
        self.engaged_seconds += other.engaged_seconds


class Tally:
    """The sums of some views, the histograms of their seconds, and their visitors."""

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
        """Add a view."""
        self.counts.add(view)
        if view.visible_seconds:
            self.visible.add(view.visible_seconds)
            self.engaged.add(view.engaged_seconds)
        self.visitors.add(view.visitor)

    def merge(self, other: "Tally") -> None:
        """Add another tally."""
        self.counts.merge(other.counts)
        self.visible.merge(other.visible)
        self.engaged.merge(other.engaged)
        self.visitors.merge(other.visitors)

    def to_document(self) -> dict[str, Any]:
        """Return the tally in its stored form."""
        return {
            "counts": list(self.counts.values()),
            "visible": self.visible.to_bytes(),
            "engaged": self.engaged.to_bytes(),
            "visitors": self.visitors.to_bytes(),
        }

    def merge_document(self, document: Mapping[str, Any]) -> None:
        """Add a tally in its stored form, without building it: most of an answer's time is here."""
        self.counts.merge(ViewCounts(document["counts"]))
        self.visible.merge_bytes(document["visible"])
        self.engaged.merge_bytes(document["engaged"])
        self.visitors.merge_bytes(document["visitors"])


class Breakdown:
    """The tally and the users of some views, and a tally for each page and hour of the day."""

    __slots__ = ("hours", "pages", "total", "users")

    def __init__(self) -> None:
        self.total = Tally()
        self.users = DistinctSketch()
        self.pages: dict[str, Tally] = {}
        self.hours: dict[int, Tally] = {}

    def add(self, view: CountedView) -> None:
        """Add a view."""
        self.total.add(view)
        self.users.add(view.user)
        self.pages.setdefault(view.page, Tally()).add(view)
        self.hours.setdefault(view.hour, Tally()).add(view)

    def merge(self, other: "Breakdown") -> None:
        """Add another breakdown."""
        self.total.merge(other.total)
        self.users.merge(other.users)
        for page, tally in other.pages.items():
            self.pages.setdefault(page, Tally()).merge(tally)
        for hour, tally in other.hours.items():
            self.hours.setdefault(hour, Tally()).merge(tally)
