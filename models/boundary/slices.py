"""Plans made from plans: a plane or a line through the space of the features, and a network cut off at a hidden layer.

What comes out is a plan like any other, so that whatever evaluates plans evaluates it unchanged.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.datasets import DoubleArray, FloatArray
from models.networks.plans import Dense, Plan
from models.specs import InvalidInput


def sliced(plan: Plan, axes: tuple[int, ...], at: Sequence[float]) -> Plan:
    """The plan over some of its features, the others fixed: of `len(axes)` features, the first along `axes[0]`.

    A fixed feature adds the same to every sum of the first layer, and of the branch, and goes into their biases: summed
    in float64, then rounded to float32.

    Args:
        plan: of D features.
        axes: which features stay free, zero-based and distinct.
        at: the values of the D - `len(axes)` others, in the order of the features, in data units.

    Raises:
        InvalidInput: a value is so large that a sum overflows float32.
    """
    if axes == tuple(range(plan.features)):
        return plan
    others = [d for d in range(plan.features) if d not in axes]
    at_D = np.zeros(plan.features)
    at_D[others] = np.asarray(at, np.float64)
    layers = [_sliced(plan.layers[0], axes, at_D), *plan.layers[1:]]
    if plan.skip:
        layers.append(_sliced(plan.skip, axes, at_D))
    return replace(plan, widths=(len(axes), *plan.widths[1:]), parameters=_parameters(layers))


def widened(plan: Plan) -> Plan:
    """A plan of one feature as one of two, the second of which changes nothing: a curve is a grid of one row."""
    layers = [_widened(plan.layers[0]), *plan.layers[1:]]
    if plan.skip:
        layers.append(_widened(plan.skip))
    return replace(plan, widths=(2, *plan.widths[1:]), parameters=_parameters(layers))


def hidden_widths(plan: Plan) -> tuple[int, ...]:
    """How many units each hidden layer has, first to last; none of a network without hidden layers."""
    return plan.widths[1:-1]


def hidden(plan: Plan, layer: int) -> Plan:
    """The plan up to a hidden layer: its outputs are that layer's activations. `layer` is zero-based."""
    return replace(
        plan,
        widths=plan.widths[: layer + 2],
        activations=plan.activations[: layer + 1],
        has_skip=False,
        parameters=_parameters(plan.layers[: layer + 1]),
    )


def unit(plan: Plan, layer: int, index: int) -> Plan:
    """The plan up to one unit of a hidden layer, whose activation is its only output. Both numbers are zero-based."""
    up_to = hidden(plan, layer)
    *below, last = up_to.layers
    chosen = slice(index, index + 1)
    only = Dense(last.weight_OI[chosen], last.bias_O1[chosen], last.activation)
    return replace(up_to, widths=(*up_to.widths[:-1], 1), parameters=_parameters([*below, only]))


def _sliced(layer: Dense, axes: tuple[int, ...], at_D: DoubleArray) -> Dense:
    bias_O1 = layer.bias_O1.astype(np.float64) + layer.weight_OI.astype(np.float64) @ at_D[:, None]
    if np.abs(bias_O1).max() > np.finfo(np.float32).max:
        raise InvalidInput("at", "too large for this network: its sums overflow float32")
    return Dense(layer.weight_OI[:, list(axes)], bias_O1.astype(np.float32), layer.activation)


def _widened(layer: Dense) -> Dense:
    return replace(layer, weight_OI=np.column_stack([layer.weight_OI, np.zeros_like(layer.bias_O1)]))


def _parameters(layers: Sequence[Dense]) -> FloatArray:
    """The layers as a plan keeps them, contiguous float32 (P,)."""
    parts = [np.column_stack([layer.weight_OI, layer.bias_O1]).ravel() for layer in layers]
    parameters: FloatArray = np.concatenate(parts)
    return parameters
