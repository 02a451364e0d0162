"""The errors of the kernel's functions are within the bounds that their docstrings state."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.kernel.activations import elu, gelu_gate, leaky_relu, relu, softplus
from models.kernel.compiling import entry
from models.kernel.functions import exp_negative, expm1_negative, log1p_unit, log_above_one, sigmoid, tanh

NAMES = (
    "exp_negative",
    "expm1_negative",
    "log1p_unit",
    "log_above_one",
    "tanh",
    "sigmoid",
    "relu",
    "leaky_relu",
    "elu",
    "softplus",
    "gelu_gate",
)


@entry
def apply(index, x_N, y_N):  # type: ignore[no-untyped-def]
    """Applies one of `NAMES`. All are in one compiled function, whose machine code is kept like the kernel's."""
    for i in range(x_N.size):
        x = x_N[i]
        if index == 0:
            y_N[i] = exp_negative(x)
        elif index == 1:
            y_N[i] = expm1_negative(x)
        elif index == 2:
            y_N[i] = log1p_unit(x)
        elif index == 3:
            y_N[i] = log_above_one(x)
        elif index == 4:
            y_N[i] = tanh(x)
        elif index == 5:
            y_N[i] = sigmoid(x)
        elif index == 6:
            y_N[i] = relu(x)
        elif index == 7:
            y_N[i] = leaky_relu(x)
        elif index == 8:
            y_N[i] = elu(x)
        elif index == 9:
            y_N[i] = softplus(x)
        elif index == 10:
            y_N[i] = gelu_gate(x)


BLOCK = 2**14
"""Numbers compared at a time, few enough to stay in the processor's cache."""


def applied(name: str, x_N: np.ndarray) -> np.ndarray:
    y_N = np.zeros_like(x_N)
    apply(NAMES.index(name), x_N, y_N)
    return y_N


def floats(low: float, high: float) -> np.ndarray:
    """Every 61st float32 from low to high, which have the same sign."""
    bits = sorted(int(np.float32(edge).view(np.int32)) & 0x7FFFFFFF for edge in (low, high))
    return np.arange(bits[0], bits[1], 61, dtype=np.int32).view(np.float32) * np.float32(-1 if low < 0 else 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "exact", "interval", "relative", "absolute"),
    [
        ("exp_negative", np.exp, (-87.3, -1e-30), 2e-7, 0),
        ("exp_negative", np.exp, (-3e38, -88.1), 0, 1e-38),
        ("expm1_negative", np.expm1, (-3e38, -1e-30), 3e-7, 0),
        ("log1p_unit", np.log1p, (1e-30, 1), 2e-7, 0),
        ("log_above_one", np.log, (1, 1e30), 2e-7, 2e-7),
        ("tanh", np.tanh, (1e-30, 3e38), 0, 4e-7),
        ("tanh", np.tanh, (-3e38, -1e-30), 0, 4e-7),
        ("tanh", np.tanh, (1e-30, 0.1), 4e-7, 0),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), (-87, -1e-30), 4e-7, 0),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), (1e-30, 87), 4e-7, 0),
        ("softplus", lambda x: np.logaddexp(0, x), (-87, -1e-30), 4e-7, 0),
        ("softplus", lambda x: np.logaddexp(0, x), (1e-30, 3e38), 4e-7, 0),
    ],
)
def test_the_error_of_a_function_is_within_the_bound_of_its_docstring(
    name: str,
    exact: Callable[[Any], Any],
    interval: tuple[float, float],
    relative: float,
    absolute: float,
) -> None:
    arguments = floats(*interval)
    assert len(arguments) > 1_000
    for start in range(0, len(arguments), BLOCK):
        x_N = arguments[start : start + BLOCK]
        exact_N = exact(x_N.astype(float))
        error_N = np.abs(applied(name, x_N) - exact_N)
        assert (error_N <= absolute + relative * np.abs(exact_N)).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_nan_passes_through_every_function(name: str) -> None:
    x_N = np.full(20, np.nan, np.float32) * np.where(np.arange(20) % 2, 1, -1).astype(np.float32)
    assert np.isnan(applied(name, x_N)).all()
