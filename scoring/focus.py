"""Compute the focus score of a session. Pure arithmetic on doubles.

Invariant: the same five numbers give the same score in this module and in a JavaScript client
that evaluates the published formula (docs/accuracy.md), to the last bit:

    completion    = elapsedSeconds / (targetMinutes * 60 || 1)
    activityRatio = activeSeconds / (elapsedSeconds || 1)
    penalty       = tabSwitches * 2 + idleSeconds / 30
    focusScore    = Math.max(0, Math.round(100 * completion * activityRatio - penalty))

So the order of operations and the rounding are part of the formula. A test compares both with
the table `tests/unit/scoring/focus_cases.json`, which Node computed.

Where the result would exceed what JSON and BSON can carry (a target of 1e-300 minutes), the
score is `LARGEST_SCORE` and the completion is the largest double: a session must be able to end
whatever its target is.
"""

import math
import sys
from dataclasses import dataclass

FORMULA_VERSION = 1

LARGEST_SCORE = 2**53 - 1
"""JavaScript's `Number.MAX_SAFE_INTEGER`; fits BSON's int64 too."""


@dataclass(frozen=True, slots=True)
class Score:
    """A focus score, and the terms from which it can be recomputed."""

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
    """Return the focus score with its terms."""
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
    """Return the bare score, without allocating: each tick of each session carries one."""
    points = (100 * (elapsed_seconds / (target_minutes * 60.0 or 1.0))) * (
        active_seconds / (elapsed_seconds or 1)
    ) - (tab_switches * 2 + idle_seconds / 30)
    if points < 0.5:
        return 0
    if points < LARGEST_SCORE:
        whole = int(points)
        return whole + 1 if points - whole >= 0.5 else whole
    # Infinity, or NaN (infinity times an activity ratio of zero), which is not > 0.
    return LARGEST_SCORE if points > 0 else 0


def round_half_up(x: float) -> int:
    """Round like `Math.round` of JavaScript: halves towards plus infinity (ECMA-262, Math.round).

    Not `floor(x + 0.5)`: that sum is rounded itself, which turns 0.49999999999999994 into 1. The
    difference `x - floor(x)` is exact where it decides.

    Args:
        x: A finite double.
    """
    whole = math.floor(x)
    return whole + 1 if x - whole >= 0.5 else whole
