"""The focus score of a session. Pure arithmetic on doubles.

What must always hold: the same five numbers give the same score here and in any
JavaScript client that evaluates the published formula, to the last bit

    completion    = elapsedSeconds / (targetMinutes * 60 || 1)
    activityRatio = activeSeconds / (elapsedSeconds || 1)
    penalty       = tabSwitches * 2 + idleSeconds / 30
    focusScore    = Math.max(0, Math.round(100 * completion * activityRatio - penalty))

so the order of operations is part of the formula, and so is the way it rounds. The table
`tests/scoring/focus_cases.json`, computed by Node, holds the two together.

Where JavaScript would leave the numbers that JSON and BSON can carry (a target of 1e-300
minutes), the score is `LARGEST_SCORE` and the completion the largest double: a session
must be able to end whatever its target was.
"""

import math
import sys
from dataclasses import dataclass

FORMULA_VERSION = 1

LARGEST_SCORE = 2**53 - 1
"""JavaScript's `Number.MAX_SAFE_INTEGER`; fits BSON's int64 too."""


@dataclass(frozen=True, slots=True)
class Score:
    focus_score: int
    completion: float
    activity_ratio: float
    penalty: float
    formula_version: int


def focus_score(
    *,
    elapsed_seconds: int,
    active_seconds: int,
    idle_seconds: int,
    tab_switches: int,
    target_minutes: float,
) -> Score:
    """The score and what it is made of, so that anyone can recompute it."""
    return Score(
        focus_score=score_points(
            elapsed_seconds, active_seconds, idle_seconds, tab_switches, target_minutes
        ),
        completion=min(elapsed_seconds / (target_minutes * 60.0 or 1.0), sys.float_info.max),
        activity_ratio=active_seconds / (elapsed_seconds or 1),
        penalty=tab_switches * 2 + idle_seconds / 30,
        formula_version=FORMULA_VERSION,
    )


def score_points(
    elapsed_seconds: int,
    active_seconds: int,
    idle_seconds: int,
    tab_switches: int,
    target_minutes: float,
) -> int:
    """The bare score: what every tick of every session carries, so nothing is built here."""
    points = (100 * (elapsed_seconds / (target_minutes * 60.0 or 1.0))) * (
        active_seconds / (elapsed_seconds or 1)
    ) - (tab_switches * 2 + idle_seconds / 30)
    if points < 0.5:
        return 0
    if points < LARGEST_SCORE:
        whole = int(points)
        return whole + 1 if points - whole >= 0.5 else whole
    # Infinite, or (infinity times an activity ratio of zero) not a number.
    return LARGEST_SCORE if points > 0 else 0


def round_half_up(x: float) -> int:
    """JavaScript's `Math.round` for finite doubles: halves go towards plus infinity.

    Not `floor(x + 0.5)`: that sum is itself rounded, which turns 0.49999999999999994 into
    1. The difference taken here is exact whenever it decides.
    """
    whole = math.floor(x)
    return whole + 1 if x - whole >= 0.5 else whole
