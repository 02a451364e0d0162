"""The line search of L-BFGS: a step along a direction that meets the strong Wolfe conditions.

Algorithms 3.5 and 3.6 of Nocedal and Wright, "Numerical Optimization", 2006, as one loop. The search keeps an interval:
`LOW` is the best step so far that decreases the objective enough, and `HIGH` the other end, infinite until a step has
gone too far. Each evaluation moves one of them.

The objective is known only to the rounding of float32. Where a decrease would vanish in it, the slope alone decides, as
in the approximate Wolfe conditions of Hager and Zhang, "A new conjugate gradient method", 2005.

All figures of a search are float64 and stand in one vector, `State.line`, so that a search can be interrupted between
two evaluations.
"""

import numpy as np

from models.kernel.compiling import loop
from models.limits import MAX_LBFGS_EVALUATIONS

NEXT, START, START_SLOPE, LOW, LOW_OBJECTIVE, LOW_SLOPE, HIGH, HIGH_OBJECTIVE, HIGH_SLOPE = range(9)
"""Indices of `State.line`: the step to try next; objective and slope at step 0; step, objective and slope at both ends
of the interval."""

FIGURES = 9
"""Length of `State.line`."""

SEARCHING, FOUND, FAILED = range(3)
"""What `take` returns."""

DECREASE = 1e-4
"""The share of the decrease predicted by the first slope that a step must bring."""

FLATTENING = 0.9
"""The largest slope of an accepted step, relative to the first slope."""

ROUNDING = 2e-7
"""Relative error of an objective. Two objectives that differ by less count as equal."""

GROWTH = 4.0
"""Factor of the next step while no step has gone too far."""

MAX_EVALUATIONS = MAX_LBFGS_EVALUATIONS - 2
"""Maximum number of evaluations of a search. An epoch may need two more: of the initial weights, and to return to the
best step."""


@loop
def begin(line, first_step, objective, slope):
    """Starts a search whose objective and slope at step 0 are given. The slope is negative."""
    line[NEXT] = first_step
    line[START] = line[LOW_OBJECTIVE] = objective
    line[START_SLOPE] = line[LOW_SLOPE] = slope
    line[LOW] = 0.0
    line[HIGH] = np.inf
    line[HIGH_OBJECTIVE] = np.inf
    line[HIGH_SLOPE] = 0.0


@loop
def take(line, objective, slope, evaluations):
    """Takes objective and slope at the step `line[NEXT]`, the evaluation of this number in the search.

    Returns `FOUND` if this is the step to take, `FAILED` if no step decreases the objective, or `SEARCHING` after it
    has set the next one.
    """
    step = line[NEXT]
    if line[HIGH] == step:  # the search has returned to its best step
        return FOUND
    rounding = ROUNDING * abs(line[START])
    goes_too_far = True
    if np.isfinite(objective) and np.isfinite(slope):
        is_enough = objective <= line[START] + DECREASE * step * line[START_SLOPE]
        is_flat = objective <= line[START] + rounding and slope <= (2 * DECREASE - 1) * line[START_SLOPE]
        goes_too_far = not (is_enough or is_flat) or objective > line[LOW_OBJECTIVE] + rounding
    if goes_too_far:
        line[HIGH], line[HIGH_OBJECTIVE], line[HIGH_SLOPE] = step, objective, slope
    elif abs(slope) <= FLATTENING * abs(line[START_SLOPE]):
        return FOUND
    else:
        if slope * (line[HIGH] - line[LOW]) >= 0.0:  # the minimum lies between the old and the new best step
            line[HIGH], line[HIGH_OBJECTIVE], line[HIGH_SLOPE] = line[LOW], line[LOW_OBJECTIVE], line[LOW_SLOPE]
        line[LOW], line[LOW_OBJECTIVE], line[LOW_SLOPE] = step, objective, slope
    width = line[HIGH] - line[LOW]
    if evaluations >= MAX_EVALUATIONS or abs(width * line[LOW_SLOPE]) <= 1e-3 * rounding:
        if line[LOW] == 0.0:
            return FAILED
        line[NEXT] = line[HIGH] = line[LOW]
    elif np.isinf(width):
        line[NEXT] = GROWTH * step
    else:
        line[NEXT] = line[LOW] + width * _share(line, width)
    return SEARCHING


@loop
def _share(line, width):
    """Where to go within the interval, as a share of its width: to the minimum of the cubic through both ends.

    The cubic has the objectives and slopes of the ends; see equation 3.59 of Nocedal and Wright. The share is at least
    0.1 and at most 0.9. It is at most 0.5 if the far end is above the start: far above it, a cubic says little.
    """
    if not (np.isfinite(line[HIGH_OBJECTIVE]) and np.isfinite(line[HIGH_SLOPE])):
        return 0.1
    slope, high_slope = line[LOW_SLOPE] * width, line[HIGH_SLOPE] * width  # per interval
    d = slope + high_slope - 3.0 * (line[HIGH_OBJECTIVE] - line[LOW_OBJECTIVE])
    root = np.sqrt(max(d * d - slope * high_slope, 0.0))
    bottom = high_slope - slope + 2.0 * root
    share = 1.0 - (high_slope + root - d) / bottom if bottom != 0.0 else 0.5
    return min(max(share, 0.1), 0.5 if line[HIGH_OBJECTIVE] > line[START] else 0.9)
