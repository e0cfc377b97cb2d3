"""Test the score against JavaScript's arithmetic and against exact arithmetic."""

import json
import math
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from scoring.focus import (
    FORMULA_VERSION,
    LARGEST_SCORE,
    focus_score,
    round_half_up,
    score_points,
)
from tests.support.paths import ROOT
from tests.support.requirements import require

SCRIPT = ROOT / "scripts" / "score_cases.mjs"
TABLE_PATH = Path(__file__).with_name("focus_cases.json")
TABLE = json.loads(TABLE_PATH.read_text("utf-8"))

seconds = st.integers(0, 10**7)
switches = st.integers(0, 10**4)
targets = st.floats(1e-9, 1440, allow_nan=False) | st.integers(1, 1440)


# --- JavaScript ------------------------------------------------------------------------


def test_the_table_is_large_enough() -> None:
    assert len(TABLE["cases"]) >= 60
    assert len({case["why"] for case in TABLE["cases"]}) == len(TABLE["cases"])
    assert TABLE["formulaVersion"] == FORMULA_VERSION


@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: case["why"])
def test_the_score_is_what_javascript_computes(case: dict[str, Any]) -> None:
    score = focus_score(
        elapsed_seconds=case["elapsedSeconds"],
        active_seconds=case["activeSeconds"],
        idle_seconds=case["idleSeconds"],
        tab_switches=case["tabSwitches"],
        target_minutes=case["targetMinutes"],
    )
    assert {
        "completion": score.completion,
        "activityRatio": score.activity_ratio,
        "penalty": score.penalty,
        "focusScore": score.focus_score,
    } == case["expected"]
    assert type(score.focus_score) is int


@pytest.mark.parametrize("case", TABLE["rounding"], ids=lambda case: str(case["x"]))
def test_rounding_is_javascripts(case: dict[str, float]) -> None:
    assert round_half_up(case["x"]) == case["rounded"]
    assert type(round_half_up(case["x"])) is int


def test_node_makes_the_same_table() -> None:
    node = require("node", "it recomputes the table of scores")
    check = [node, str(SCRIPT), "--check"]
    result = subprocess.run(check, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_node_notices_a_changed_table(tmp_path: Path) -> None:
    node = require("node", "it recomputes the table of scores")
    changed = tmp_path / "cases.json"
    changed.write_text(TABLE_PATH.read_text("utf-8").replace('"focusScore":34', '"focusScore":35'))
    check = [node, str(SCRIPT), "--check", str(changed)]
    result = subprocess.run(check, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1, result.stdout + result.stderr


# --- exact arithmetic ------------------------------------------------------------------


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(0.49999999999999994)
@example(-0.5)
@example(-2.5)
@example(4503599627370497.5)
def test_rounding_is_exact(x: float) -> None:
    assert round_half_up(x) == math.floor(Fraction(x) + Fraction(1, 2))


@given(active=seconds, idle=seconds, tab_switches=switches, target=targets)
def test_the_score_is_the_exact_one_wherever_doubles_can_tell(
    active: int, idle: int, tab_switches: int, target: float
) -> None:
    elapsed = active + idle
    gain = Fraction(100 * elapsed) / (Fraction(target) * 60) * Fraction(active, elapsed or 1)
    penalty = 2 * tab_switches + Fraction(idle, 30)
    half_away = abs((gain - penalty) % 1 - Fraction(1, 2))
    assume(half_away > (gain + penalty) * Fraction(1, 2**48))
    exact = max(0, math.floor(gain - penalty + Fraction(1, 2)))
    assume(exact <= 2**52)
    assert score_points(elapsed, active, idle, tab_switches, target) == exact


# --- properties ------------------------------------------------------------------------


@given(active=seconds, idle=seconds, tab_switches=switches, target=targets)
@example(active=10**7, idle=0, tab_switches=0, target=1e-9)  # beyond the largest score
def test_the_breakdown_gives_the_score_which_is_never_below_zero(
    active: int, idle: int, tab_switches: int, target: float
) -> None:
    elapsed = active + idle
    score = focus_score(
        elapsed_seconds=elapsed,
        active_seconds=active,
        idle_seconds=idle,
        tab_switches=tab_switches,
        target_minutes=target,
    )
    points = score_points(elapsed, active, idle, tab_switches, target)
    assert type(points) is int
    assert points >= 0
    assert points == score.focus_score
    recomputed = round_half_up(100 * score.completion * score.activity_ratio - score.penalty)
    assert points == min(max(0, recomputed), LARGEST_SCORE)


@given(active=seconds, idle=seconds, fewer=switches, more=switches, target=targets)
def test_more_tab_switches_never_raise_it(
    active: int, idle: int, fewer: int, more: int, target: float
) -> None:
    fewer, more = sorted((fewer, more))
    elapsed = active + idle
    assert score_points(elapsed, active, idle, more, target) <= score_points(
        elapsed, active, idle, fewer, target
    )


@given(elapsed=seconds, less=seconds, more=seconds, tab_switches=switches, target=targets)
def test_of_the_same_time_more_activity_never_lowers_it(
    elapsed: int, less: int, more: int, tab_switches: int, target: float
) -> None:
    less, more = sorted((min(less, elapsed), min(more, elapsed)))
    assert score_points(elapsed, less, elapsed - less, tab_switches, target) <= score_points(
        elapsed, more, elapsed - more, tab_switches, target
    )


@given(active=seconds, idle=seconds, tab_switches=switches, one=targets, other=targets)
def test_a_longer_target_never_raises_it(
    active: int, idle: int, tab_switches: int, one: float, other: float
) -> None:
    shorter, longer = sorted((one, other))
    elapsed = active + idle
    assert score_points(elapsed, active, idle, tab_switches, longer) <= score_points(
        elapsed, active, idle, tab_switches, shorter
    )


@given(
    active=seconds,
    idle=seconds,
    tab_switches=switches,
    target=st.floats(min_value=5e-324, max_value=1e-12),
)
@example(active=1, idle=0, tab_switches=0, target=5e-324)
@example(active=0, idle=1, tab_switches=0, target=5e-324)
def test_absurd_targets_stay_within_json_and_bson(
    active: int, idle: int, tab_switches: int, target: float
) -> None:
    score = focus_score(
        elapsed_seconds=active + idle,
        active_seconds=active,
        idle_seconds=idle,
        tab_switches=tab_switches,
        target_minutes=target,
    )
    assert 0 <= score.focus_score <= LARGEST_SCORE
    assert math.isfinite(score.completion)
    if active == 0:
        assert score.focus_score == 0
