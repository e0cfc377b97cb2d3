"""Some days of a site: whatever the seed and the instant, they could have been seen."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from focusup.demo.site import Days, Mark, Site, site_of
from models.pageviews.visitors import GAP, ID_CHARS
from scoring.local_days import ONE_DAY
from scoring.utc_days import day_of

LEARNER = "a" * 24
MARK = Mark.of(LEARNER)
NOW_TTL = timedelta(minutes=5)
SECOND = timedelta(seconds=1)
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
INSTANTS = st.integers(0, 6 * 366 * 86_400).map(lambda s: BEGIN + s * SECOND)
SEEDS = st.integers(0, 10**6)
# Shrinking a whole year takes minutes, and a smaller seed says nothing more.
FEW = settings(max_examples=40, deadline=None, phases=(Phase.reuse, Phase.generate))


def days_of(now: datetime, count: int = 14) -> Days:
    days = tuple(now.date() - number * ONE_DAY for number in range(count))
    return Days(days, frozenset(days), frozenset(days))


def site(seed: int, now: datetime) -> Site:
    return site_of(MARK, LEARNER, seed, now, days_of(now))


@FEW
@given(SEEDS, INSTANTS)
def test_visits_and_events_are_of_the_past_and_of_these_days(seed: int, now: datetime) -> None:
    made = site(seed, now)
    begin = day_of(now - 13 * ONE_DAY).since
    for visit in made.visits:
        assert begin <= visit["first_seen_at"] <= visit["last_seen_at"] <= now
        # Within one day, so the first sighting of its last day is the first of all.
        assert day_of(visit["first_seen_at"]) == day_of(visit["last_seen_at"])
        assert visit["day_seen_at"] == visit["first_seen_at"]
    for event in made.events:
        assert begin <= event["created_at"] <= now
        assert made.first_seen[event["user_id"]] <= event["created_at"]
        assert event["created_at"] <= made.last_seen[event["user_id"]]
        assert (event["action_name"] is None) == (event["event_type"] != "action")
    signups = [each["user_id"] for each in made.events if each["event_type"] == "signup"]
    assert len(set(signups)) == len(signups) > 0
    assert LEARNER not in signups
    here = [each for each in made.visits if each["last_seen_at"] > now - NOW_TTL]
    assert len(here) >= 5
    assert sum(at > now - NOW_TTL for at in made.last_seen.values()) >= 4


@FEW
@given(SEEDS, INSTANTS)
def test_views_follow_each_other_in_browser_sessions(seed: int, now: datetime) -> None:
    made = site(seed, now)
    by_visitor = defaultdict(list)
    for view in made.page_views:
        assert 0 <= view["engagedSeconds"] <= view["visibleSeconds"]
        assert view["visibleSeconds"] * SECOND <= view["endedAt"] - view["startedAt"]
        assert view["endedAt"] <= now
        by_visitor[view["visitorId"]].append(view)
    assert by_visitor.keys() == made.visitors.keys()
    for visitor_id, views in by_visitor.items():
        for before, after in pairwise(views):
            gap = after["startedAt"] - before["endedAt"]
            assert gap >= timedelta()
            same = before["browserSessionId"] == after["browserSessionId"]
            assert same == (gap <= GAP)
            assert after["previousViewId"] == (before["_id"] if same else None)
        visitor = made.visitors[visitor_id]
        assert visitor["firstSeenAt"] == views[0]["startedAt"]
        assert visitor["lastSeenAt"] == views[-1]["startedAt"]
        assert visitor["lastViewId"] == views[-1]["_id"]
    browsers = {each["_id"] for each in made.browser_sessions}
    assert browsers == {view["browserSessionId"] for view in made.page_views}


@FEW
@given(SEEDS, INSTANTS)
def test_all_of_it_is_marked(seed: int, now: datetime) -> None:
    made = site(seed, now)
    assert all(each["_id"].startswith(MARK.prefix) for each in made.visits)
    assert all(len(id_) == ID_CHARS and id_.startswith(MARK.prefix) for id_ in made.visitors)
    assert all(id_ == LEARNER or id_.startswith(MARK.prefix) for id_ in made.last_seen)
    assert {each["demo"] for each in made.visits} == {MARK.tag}
    assert all(view["page"].startswith(MARK.pages) for view in made.page_views)
    for rows in (made.visits, made.events, made.page_views, made.browser_sessions):
        assert len({each["_id"] for each in rows}) == len(rows) > 0


@FEW
@given(SEEDS, INSTANTS)
def test_the_same_again_and_nothing_on_days_that_are_left_out(seed: int, now: datetime) -> None:
    made = site(seed, now)
    assert made == site(seed, now)
    assert made != site(seed + 1, now)
    days = days_of(now)
    one = frozenset({now.date() - ONE_DAY})
    less = site_of(MARK, LEARNER, seed, now, days._replace(events=one, views=one))
    assert less.visits == made.visits
    assert {each["created_at"].date() for each in less.events} <= one
    assert {each["startedAt"].date() for each in less.page_views} <= one
    of_day = [each for each in made.page_views if each["startedAt"].date() in one]
    assert less.page_views == of_day
