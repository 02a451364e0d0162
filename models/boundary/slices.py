"""Plans derived from plans: a network on a plane or a line through feature space, or up to a hidden layer.

The result is an ordinary plan, so everything that evaluates plans can evaluate it.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.datasets import DoubleArray, PointArray, mean_and_deviation
from models.networks.plans import AnyPlan, Dense, Plan, members_of, of_members, parameters_of
from models.specs import InvalidInput


def sliced(plan: AnyPlan, axes: tuple[int, ...], at: Sequence[float]) -> AnyPlan:
    """The plan as a function of some of its features, with the others fixed. Its first feature is `axes[0]`.

    The fixed features become part of the biases of the first layer and of the skip connection, and of the weights of
    products with free features. All are summed in float64 and then rounded to float32.

    Args:
        plan: a network of D features.
        axes: the features that stay free, zero-based and distinct.
        at: the values of the D - `len(axes)` other features, in the order of the features, in data units.

    Raises:
        InvalidInput: a value is so large that a bias or a weight overflows float32.
    """
    if axes == tuple(range(plan.features)):
        return plan
    return of_members([_sliced(member, axes, at) for member in members_of(plan)])


def _sliced(plan: Plan, axes: tuple[int, ...], at: Sequence[float]) -> Plan:
    others = [d for d in range(plan.features) if d not in axes]
    at_D = np.zeros(plan.features)
    at_D[others] = np.asarray(at, np.float64)
    return _along(plan, axes, at_D)


def distances(xy_ND: PointArray, axes: Sequence[int], at: Sequence[float]) -> DoubleArray:
    """How far points (N, D) are from a plane or line through feature space, float64 (N,).

    The distance is the root mean square, over the fixed features, of the differences in standard deviations of these
    points. So it is about 1 for a typical point, however many features there are and in whatever units. It is 0 without
    fixed features. A constant feature counts in data units, as in `models.networks.scaling`.

    Args:
        xy_ND: the points.
        axes: as in `sliced`.
        at: as in `sliced`.
    """
    others = [d for d in range(xy_ND.shape[1]) if d not in axes]
    if not others:
        return np.zeros(len(xy_ND))
    fixed_NF = xy_ND[:, others]
    _, deviation_F = mean_and_deviation(fixed_NF)
    scaled_NF = (fixed_NF.astype(np.float64) - np.asarray(at, np.float64)) / deviation_F
    distance_N: DoubleArray = np.sqrt((scaled_NF**2).mean(axis=1))
    return distance_N


def with_unused_feature(plan: AnyPlan) -> AnyPlan:
    """A plan of one feature as a plan of two that ignores the second, so that a curve can be a grid of one row."""
    return of_members([_along(member, (0, 1), np.zeros(1)) for member in members_of(plan)])


def hidden_widths(plan: Plan) -> tuple[int, ...]:
    """The number of units of each hidden layer, first to last; empty if there are no hidden layers."""
    return plan.widths[1:-1]


def hidden(plan: Plan, layer: int) -> Plan:
    """The plan up to a hidden layer, whose activations become the outputs. `layer` is zero-based."""
    return replace(
        plan,
        widths=plan.widths[: layer + 2],
        activations=plan.activations[: layer + 1],
        has_skip=False,
        parameters=parameters_of(plan.layers[: layer + 1]),
    )


def unit(plan: Plan, layer: int, index: int) -> Plan:
    """The plan up to one unit of a hidden layer, whose activation becomes the only output. Both are zero-based."""
    up_to = hidden(plan, layer)
    *below, last = up_to.layers
    chosen = slice(index, index + 1)
    only = Dense(last.weight_OI[chosen], last.bias_O1[chosen], last.activation)
    return replace(up_to, widths=(*up_to.widths[:-1], 1), parameters=parameters_of([*below, only]))


def _along(plan: Plan, axes: Sequence[int], at_D: DoubleArray) -> Plan:
    """The plan as a function of `axes`, from its layers that take inputs: the first one and the skip connection."""
    transform, map_IS = plan.transform.along(axes, at_D)
    layers = [_mapped(plan.layers[0], map_IS), *plan.layers[1:]]
    if plan.skip:
        layers.append(_mapped(plan.skip, map_IS))
    widths = (map_IS.shape[1] - 1, *plan.widths[1:])
    return replace(plan, widths=widths, parameters=parameters_of(layers), transform=transform)


def _mapped(layer: Dense, map_IS: DoubleArray) -> Dense:
    """The layer as a function of new inputs, see `Identity.along`."""
    with np.errstate(over="ignore", invalid="ignore"):  # checked below
        wide_OS = layer.weight_OI.astype(np.float64) @ map_IS
        wide_OS[:, :1] += layer.bias_O1
    if not (np.abs(wide_OS) <= np.finfo(np.float32).max).all():
        raise InvalidInput("at", "must be smaller numbers: the output of the network overflows float32")
    narrow_OS = wide_OS.astype(np.float32)
    return Dense(narrow_OS[:, 1:], narrow_OS[:, :1], layer.activation)
