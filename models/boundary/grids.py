"""Network responses on a regular grid of the plane, or on a curve along one axis."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.boundary import slices
from models.datasets import DoubleArray, FloatArray, IntArray
from models.inference import dispatch
from models.networks.plans import AnyPlan
from models.specs import AnyResponse, GridSpec, InvalidInput

LabelArray = npt.NDArray[np.uint8]
Values = FloatArray | IntArray | LabelArray

PADDING = 1.0
"""Margin that the tutorial's pictures leave around the data on each side, in data units."""

PADDING_SHARE = 1 / 8
"""Margin around points of the user's own, as a share of their range. For the flower it would be about `PADDING`."""


@dataclass(frozen=True)
class GridAxes:
    """The coordinates of a grid's cells, in data units.

    Attributes:
        x_W: float64 (W,), the x of each column, ascending.
        y_H: float64 (H,), the y of each row, ascending: row 0 lies at `y_min`. None for a curve.
    """

    x_W: DoubleArray
    y_H: DoubleArray | None


@dataclass(frozen=True)
class Grid(GridAxes):
    """One response at every cell of a grid; for a curve, the values are (W,).

    Attributes:
        values_HW: float32 for probabilities, logits and entropies (in bits); int64, or uint8 from
            `models.boundary.certified.quadtree`, for labels (the index of the most probable class).
    """

    values_HW: Values


@dataclass(frozen=True)
class Outputs(GridAxes):
    """All outputs of a network at every cell of a grid; for a curve, the values are (O, W).

    Attributes:
        values_OHW: float32.
    """

    values_OHW: FloatArray


def evaluate(
    plan: AnyPlan, spec: GridSpec, *, response: AnyResponse, class_index: int, output_OHW: FloatArray | None = None
) -> Grid:
    """A network's response at every cell of a grid. Memory beyond the result does not grow with H.

    Args:
        plan: a network of two features, or of one for a curve (see `models.boundary.slices`).
        spec: the cells.
        response: what to evaluate.
        class_index: the class whose probability or logit to evaluate; ignored for labels and entropies. With one
            output, the logit of class 0 is the negative of the logit of class 1.
        output_OHW: float32 (O, H, W); if given, it receives all outputs from the same evaluation.

    Raises:
        InvalidInput: the number of features does not fit the grid, or an output overflows float32.
    """
    axes, plan, y_H = _plane(plan, spec)
    with attribute_overflow_to_window():
        values_HW = dispatch.responses(
            plan, axes.x_W, y_H, response=response, class_index=class_index, output_OHW=output_OHW
        )
    return Grid(axes.x_W, axes.y_H, values_HW[0] if axes.y_H is None else values_HW)


def outputs(plan: AnyPlan, spec: GridSpec) -> Outputs:
    """Every output of a network at every cell of a grid.

    Raises:
        InvalidInput: see `evaluate`.
    """
    axes, plan, y_H = _plane(plan, spec)
    with attribute_overflow_to_window():
        values_OHW = dispatch.outputs(plan, axes.x_W, y_H)
    return Outputs(axes.x_W, axes.y_H, values_OHW[:, 0] if axes.y_H is None else values_OHW)


def evaluate_with_outputs(
    plan: AnyPlan, spec: GridSpec, *, response: AnyResponse, class_index: int
) -> tuple[Grid, Outputs]:
    """The results of `evaluate` and `outputs`, bit for bit, from one evaluation of a grid of the plane.

    For callers that need the logits as well, for example for lines. Other callers should use `evaluate`, which does not
    hold all outputs in memory.

    Raises:
        InvalidInput: see `evaluate`.
    """
    assert spec.height is not None, "a curve has no lines"
    output_OHW = np.empty((plan.outputs, spec.height, spec.width), np.float32)
    grid = evaluate(plan, spec, response=response, class_index=class_index, output_OHW=output_OHW)
    return grid, Outputs(grid.x_W, grid.y_H, output_OHW)


def axes_of(spec: GridSpec) -> GridAxes:
    """The coordinates of a grid's cells."""
    x_W = np.linspace(spec.x_min, spec.x_max, spec.width)
    if spec.height is None or spec.y_min is None or spec.y_max is None:
        return GridAxes(x_W, None)
    return GridAxes(x_W, np.linspace(spec.y_min, spec.y_max, spec.height))


def _plane(plan: AnyPlan, spec: GridSpec) -> tuple[GridAxes, AnyPlan, DoubleArray]:
    """The axes, a plan of two features and its rows: a curve becomes a grid of one row with an unused y."""
    check_features(plan.features, spec)
    axes = axes_of(spec)
    if axes.y_H is None:
        return axes, slices.with_unused_feature(plan), np.zeros(1)
    return axes, plan, axes.y_H


@contextmanager
def attribute_overflow_to_window() -> Iterator[None]:
    """Reports an overflow of the network as an error of the window, whose points caused it."""
    try:
        yield
    except InvalidInput:
        raise InvalidInput(
            "x_max", "must be smaller: in this window the output of the network overflows float32"
        ) from None


def padded_range(low: float, high: float, *, is_generated: bool, margin: float | None = None) -> tuple[float, float]:
    """One side of the default window: the range of a coordinate of the data, with a margin on both sides.

    Args:
        low: the least coordinate.
        high: the greatest coordinate.
        is_generated: whether the points come from a generator.
        margin: as a share of the range. By default it is `PADDING` for the points of a generator, as in the tutorial,
            and `PADDING_SHARE` of the range for other points. It does not apply to a constant coordinate, which has no
            range and always gets `PADDING`.
    """
    if low == high:  # adding 1 to a huge coordinate changes nothing in floating point
        added = max(PADDING, 1e-6 * abs(low))
    elif margin is None and is_generated:
        added = PADDING
    else:
        added = (PADDING_SHARE if margin is None else margin) * (high - low)
    return low - added, high + added


def check_features(features: int, spec: GridSpec) -> None:
    """Checks that a network's number of features fits a grid.

    Raises:
        InvalidInput: `features` is not 2, or not 1 for a curve.
    """
    needed = 1 if spec.is_curve else 2
    if features != needed:
        raise InvalidInput("model", f"must have {needed} features for this grid, but this one has {features}")
