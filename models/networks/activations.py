"""The activations, one row each: everything but the compiled kernel's code, which is in `models.kernel.activations`.

This module needs NumPy alone.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from models.datasets import DoubleArray
from models.specs import Activation

Slopes = Callable[[Any], tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True)
class ActivationRow:
    """One activation f.

    Attributes:
        torch_module: name of its class in `torch.nn`.
        torch_arguments: what that class is made with.
        of_array: f of an array, float32 or float64, in the same dtype. May overflow to infinity on the way.
        of_float: f of a Python float. May raise OverflowError.
        critical_points: the arguments at which f has a given slope (float64), or a kink. For the linear relaxations in
            `models.boundary.certified.relaxations`.
        error: how far f computed in float32 may be from the exact value: a share of its greatest size on an interval,
            and a constant. About twice what `models.kernel` states and NumPy does.
    """

    torch_module: str
    torch_arguments: Mapping[str, Any] = field(default_factory=dict)
    of_array: Callable[[Any], Any]
    of_float: Callable[[float], float]
    critical_points: Slopes
    error: tuple[float, float]


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _sigmoid_float(x: float) -> float:
    return 1 / (1 + math.exp(-x))


_GELU = math.sqrt(2 / math.pi)


def _gelu(x: Any) -> Any:
    """The tanh form: Hendrycks and Gimpel 2016, equation 2."""
    return 0.5 * x * (1 + np.tanh(_GELU * (x + 0.044715 * x * x * x)))


def _gelu_float(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(_GELU * (x + 0.044715 * x * x * x)))


_LEAK = float(np.float32(0.01))


def _proper(share: Any) -> Any:
    """Clips to the open interval (0, 1), which rounding may have left."""
    return np.clip(share, 1e-300, 1 - 2.0**-53)


def _logit(y: Any) -> Any:
    return np.log(y / (1 - y))


def _sigmoid_critical_points(slope: Any) -> tuple[Any, Any]:
    """Where y (1 - y) is the slope. Solves for the smaller y, without cancellation."""
    slope = _proper(slope)
    place = _logit(2 * slope / (1 + np.sqrt(np.maximum(1 - 4 * slope, 0))))
    return place, -place


def _tanh_critical_points(slope: Any) -> tuple[Any, Any]:
    """Where 1 - y^2 is the slope."""
    place = np.arctanh(np.sqrt(np.clip(1 - slope, 0, 1)))
    return place, -place


_STEP = 1 / 1024
"""Between the arguments at which the slopes of silu and gelu are tabulated."""


def _silu_slope(x: DoubleArray) -> DoubleArray:
    gate: DoubleArray = _sigmoid(x)
    return gate + x * gate * (1 - gate)


def _gelu_slope(x: DoubleArray) -> DoubleArray:
    gate: DoubleArray = _sigmoid(2 * _GELU * (x + 0.044715 * x * x * x))
    return gate + x * gate * (1 - gate) * 2 * _GELU * (1 + 3 * 0.044715 * x * x)


def _tabulated(slope_at: Callable[[DoubleArray], DoubleArray]) -> Slopes:
    """Where silu or gelu has a slope, to within a step of a table.

    There f(x) - s x is level, so its error is |f''| / 2 times the step squared, at most 4e-7: the rows' errors
    include it. f(x) - f(-x) = x, so a slope s above 1 is where the slope 1 - s is, mirrored.
    """

    @cache
    def table() -> tuple[DoubleArray, ...]:
        """Slopes and their places, both ascending: on the convex part in the middle, and on the part below it."""
        x = np.arange(-20, 20 + _STEP, _STEP)
        slope = slope_at(x)
        first, last = slope.argmin(), slope.argmax()
        return slope[first : last + 1], x[first : last + 1], slope[: first + 1][::-1], x[: first + 1][::-1]

    def places(slope: Any) -> tuple[Any, Any]:
        slope_C, x_C, below_B, x_B = table()
        outer = np.interp(np.minimum(slope, 1 - slope), below_B, x_B)
        return np.interp(slope, slope_C, x_C), np.where(slope > 0.5, -outer, outer)

    return places


def _kink_at_zero(_: Any) -> tuple[float]:
    return (0.0,)


TABLE: dict[Activation, ActivationRow] = {
    "relu": ActivationRow(
        torch_module="ReLU",
        of_array=lambda x: np.maximum(x, 0),
        of_float=lambda x: max(x, 0.0),
        critical_points=_kink_at_zero,
        error=(0.0, 0.0),
    ),
    "leaky_relu": ActivationRow(
        torch_module="LeakyReLU",
        of_array=lambda x: np.maximum(x, _LEAK * x),
        of_float=lambda x: max(x, 0.01 * x),
        critical_points=_kink_at_zero,
        error=(1e-6, 0.0),
    ),
    "elu": ActivationRow(
        torch_module="ELU",
        of_array=lambda x: np.maximum(x, np.expm1(np.minimum(x, 0))),
        of_float=lambda x: x if x > 0 else math.expm1(x),
        critical_points=lambda slope: (np.log(_proper(slope)),),
        error=(1e-6, 1e-36),
    ),
    "silu": ActivationRow(
        torch_module="SiLU",
        of_array=lambda x: x * _sigmoid(x),
        of_float=lambda x: x * _sigmoid_float(x),
        critical_points=_tabulated(_silu_slope),
        error=(1e-6, 1e-6),
    ),
    "gelu": ActivationRow(
        torch_module="GELU",
        torch_arguments={"approximate": "tanh"},
        of_array=_gelu,
        of_float=_gelu_float,
        critical_points=_tabulated(_gelu_slope),
        error=(2e-6, 2e-6),
    ),
    "softplus": ActivationRow(
        torch_module="Softplus",
        of_array=lambda x: np.logaddexp(x, 0),
        of_float=lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
        critical_points=lambda slope: (_logit(_proper(slope)),),
        error=(1e-6, 1e-36),
    ),
    "tanh": ActivationRow(
        torch_module="Tanh",
        of_array=np.tanh,
        of_float=math.tanh,
        critical_points=_tanh_critical_points,
        error=(0.0, 1e-6),
    ),
    "sigmoid": ActivationRow(
        torch_module="Sigmoid",
        of_array=_sigmoid,
        of_float=_sigmoid_float,
        critical_points=_sigmoid_critical_points,
        error=(1e-6, 1e-36),
    ),
    "identity": ActivationRow(
        torch_module="Identity",
        of_array=lambda x: x,
        of_float=lambda x: x,
        critical_points=lambda slope: (),
        error=(0.0, 0.0),
    ),
}
