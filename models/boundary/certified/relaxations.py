"""Linear relaxations of activations: a line and a radius that bound an activation f on an interval [l, u].

The line has the slope s of the chord from l to u. The radius is half the range of f(x) - s x, whose extrema lie
at l, at u and at the critical points between them, where f' = s or f has a kink. Where f' is continuous, a chord
deviates from f by at most max |f''| (u - l)^2 / 8, so halving the interval quarters the radius.
"""

import numpy as np

from models.datasets import DoubleArray
from models.networks import activations
from models.specs import Activation

DOUBLE = 1e-14
"""A generous bound of the relative error of a few float64 operations."""


def linear_relaxation(
    activation: Activation, low: DoubleArray, high: DoubleArray
) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
    """Slope, offset and radius of a line that f stays within on [low, high], both exact and as computed in float32."""
    row = activations.TABLE[activation]
    at_low, at_high = row.of_array(low), row.of_array(high)
    slope = np.where(high > low, (at_high - at_low) / (high - low), 0.0)
    extrema = [at_low - slope * low, at_high - slope * high]
    for point in row.critical_points(slope):
        x = np.clip(point, low, high)
        extrema.append(row.of_array(x) - slope * x)
    least, greatest = np.minimum.reduce(extrema), np.maximum.reduce(extrema)
    relative, absolute = row.error
    error = (relative + DOUBLE) * np.maximum(np.abs(at_low), np.abs(at_high)) + absolute
    error += DOUBLE * np.abs(slope) * np.maximum(np.abs(low), np.abs(high))
    return slope, (least + greatest) / 2, (greatest - least) / 2 + error
