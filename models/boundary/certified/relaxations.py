"""Linear relaxations of activations: a line and a radius that bound an activation f on an interval [l, u].

The slope s of the line is that of the chord from l to u. The radius is half the range of f(x) - s x, whose extrema lie
at l, at u and at the critical points between them, where f' = s or f has a kink. Where f' is continuous, a chord
deviates from f by at most max |f''| (u - l)^2 / 8, so halving the interval quarters the radius.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from models.datasets import DoubleArray
from models.specs import Activation

ERRORS: dict[Activation, tuple[float, float]] = {
    "identity": (0.0, 0.0),
    "relu": (0.0, 0.0),
    "leaky_relu": (1e-6, 0.0),
    "elu": (1e-6, 1e-36),
    "silu": (1e-6, 1e-6),
    "gelu": (2e-6, 2e-6),
    "softplus": (1e-6, 1e-36),
    "tanh": (0.0, 1e-6),
    "sigmoid": (1e-6, 1e-36),
}
"""How far an activation computed in float32 may be from the exact one: a share of its greatest size on the box, and a
constant. About twice what `models.kernel.functions` states and numpy does; those of silu and gelu hold the error of
`_turns` too, 4e-7."""

DOUBLE = 1e-14
"""A generous bound of the relative error of a few float64 operations."""


def linear_relaxation(
    activation: Activation, low: DoubleArray, high: DoubleArray
) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
    """Slope, offset and radius of a line that f stays within on [low, high], both exact and as computed in float32."""
    function, critical_points = _ACTIVATIONS[activation]
    at_low, at_high = function(low), function(high)
    slope = np.where(high > low, (at_high - at_low) / (high - low), 0.0)
    extrema = [at_low - slope * low, at_high - slope * high]
    for point in critical_points(slope):
        x = np.clip(point, low, high)
        extrema.append(function(x) - slope * x)
    least, greatest = np.minimum.reduce(extrema), np.maximum.reduce(extrema)
    relative, absolute = ERRORS[activation]
    error = (relative + DOUBLE) * np.maximum(np.abs(at_low), np.abs(at_high)) + absolute
    error += DOUBLE * np.abs(slope) * np.maximum(np.abs(low), np.abs(high))
    return slope, (least + greatest) / 2, (greatest - least) / 2 + error


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _gelu_gate(x: Any) -> Any:
    """As in `models.kernel.functions`."""
    return _sigmoid(2 * _GELU * (x + 0.044715 * x * x * x))


_GELU = np.sqrt(2 / np.pi)
_LEAK = float(np.float32(0.01))


def _proper(share: Any) -> Any:
    """Between 0 and 1, where a rounding has left it at one of them or beyond."""
    return np.clip(share, 1e-300, 1 - 2.0**-53)


def _logit(y: Any) -> Any:
    return np.log(y / (1 - y))


def _sigmoid_turns(slope: Any) -> tuple[Any, Any]:
    """Where y (1 - y) is the slope; the smaller y without cancellation."""
    slope = _proper(slope)
    turn = _logit(2 * slope / (1 + np.sqrt(np.maximum(1 - 4 * slope, 0))))
    return turn, -turn


def _tanh_turns(slope: Any) -> tuple[Any, Any]:
    """Where 1 - y^2 is the slope."""
    turn = np.arctanh(np.sqrt(np.clip(1 - slope, 0, 1)))
    return turn, -turn


STEP = 1 / 1024
"""Between the arguments at which the slopes of silu and gelu are tabled."""


@cache
def _slopes(activation: Activation) -> tuple[DoubleArray, ...]:
    """Slopes of silu or gelu and their arguments, both ascending where it is convex; below, where it is not."""
    x = np.arange(-20, 20 + STEP, STEP)
    gate = _sigmoid(x) if activation == "silu" else _gelu_gate(x)
    inner = 1.0 if activation == "silu" else 2 * _GELU * (1 + 3 * 0.044715 * x * x)
    slope = gate + x * gate * (1 - gate) * inner
    first, last = slope.argmin(), slope.argmax()
    return slope[first : last + 1], x[first : last + 1], slope[: first + 1][::-1], x[: first + 1][::-1]


def _turns(activation: Activation) -> Callable[[Any], tuple[Any, Any]]:
    """Where silu or gelu has a slope, to within a step of the table.

    There f(x) - s x is level, so that it errs by |f''| / 2 of the step's square, 4e-7 at most. f(x) - f(-x) = x, so a
    slope above 1 is found where 1 minus it is found, on the other side.
    """

    def turns(slope: Any) -> tuple[Any, Any]:
        slope_C, x_C, below_B, x_B = _slopes(activation)
        outer = np.interp(np.minimum(slope, 1 - slope), below_B, x_B)
        return np.interp(slope, slope_C, x_C), np.where(slope > 0.5, -outer, outer)

    return turns


_ACTIVATIONS: dict[Activation, tuple[Callable[[Any], Any], Callable[[Any], tuple[Any, ...]]]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda slope: (0.0,)),
    "leaky_relu": (lambda x: np.maximum(x, _LEAK * x), lambda slope: (0.0,)),
    "elu": (lambda x: np.maximum(x, np.expm1(np.minimum(x, 0))), lambda slope: (np.log(_proper(slope)),)),
    "silu": (lambda x: x * _sigmoid(x), _turns("silu")),
    "gelu": (lambda x: x * _gelu_gate(x), _turns("gelu")),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), lambda slope: (_logit(_proper(slope)),)),
    "tanh": (np.tanh, _tanh_turns),
    "sigmoid": (_sigmoid, _sigmoid_turns),
}
"""Each activation, and the places where its slope is a given one, or where it has a kink."""
