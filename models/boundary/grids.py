"""The decision boundary as a map: a network's answer on a regular grid of the plane, or along a line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from models.boundary import slices
from models.boundary.certified import quadtree
from models.datasets import DoubleArray, FloatArray, IntArray
from models.inference import dispatch
from models.inference.numpy_forward import BLOCK
from models.networks.plans import Plan
from models.specs import GridSpec, InvalidInput, ResponseKind

Values = FloatArray | IntArray | quadtree.LabelArray

PADDING = 1.0
"""What the tutorial adds to the data's range on each side of its pictures, in data units."""


@dataclass(frozen=True)
class Grid:
    """A response on a grid, or on a curve, which has no ordinates and whose values are (W,).

    Attributes:
        x_W: float64 (W,), the abscissa of each column, ascending.
        y_H: float64 (H,), the ordinate of each row, ascending: row 0 lies at `y_min`. None of a curve.
        values_HW: float32 for probabilities, logits and bits of entropy, int64 for labels (the index of the most
            probable class).
    """

    x_W: DoubleArray
    y_H: DoubleArray | None
    values_HW: Values


@dataclass(frozen=True)
class AdaptiveGrid(Grid):
    """Labels on a grid, as uint8, most of them proven; see `adaptive.AdaptiveLabels` for the counts."""

    evaluated: int
    enclosed: int


@dataclass(frozen=True)
class Outputs:
    """All outputs on a grid, or on a curve, where they are (O, W): float32 `values_OHW`; for the rest see `Grid`."""

    x_W: DoubleArray
    y_H: DoubleArray | None
    values_OHW: FloatArray


def evaluate(plan: Plan, spec: GridSpec, *, response: ResponseKind, class_index: int) -> Grid:
    """A network's response at every cell of a grid. Memory beyond the answer does not grow with H.

    `class_index` says whose probability or logit; for a network of two classes, or with one output of another kind, the
    logit of class 0 is the negative of that of class 1. It plays no part for labels and entropies.

    Raises:
        InvalidInput: the network's points have not two coordinates, for a curve one (see `models.boundary.slices`), or it
            overflows float32 in that window.
    """
    check_features(plan.features, spec)
    x_W, y_H = _places(spec)
    with _names_the_window():
        if y_H is None:
            on_line = slices.widened(plan)
            return Grid(
                x_W, None, dispatch.responses(on_line, x_W, _ONE, response=response, class_index=class_index)[0]
            )
        return Grid(x_W, y_H, dispatch.responses(plan, x_W, y_H, response=response, class_index=class_index))


def labels(plan: Plan, spec: GridSpec) -> AdaptiveGrid:
    """A network's labels at every cell of a grid of the plane, at a cost that grows with the boundary's length.

    Raises:
        InvalidInput: the network overflows float32 in that window, or takes too many multiplications.
    """
    x_W, y_H = _places(spec)
    assert y_H is not None
    found = quadtree.labels(plan, x_W, y_H)
    return AdaptiveGrid(x_W, y_H, found.values_HW, found.evaluated, found.enclosed)


def outputs(plan: Plan, spec: GridSpec) -> Outputs:
    """Every output of a network at every cell of a grid.

    Raises:
        InvalidInput: see `evaluate`.
    """
    check_features(plan.features, spec)
    x_W, y_H = _places(spec)
    with _names_the_window():
        if y_H is None:
            return Outputs(x_W, None, dispatch.outputs(slices.widened(plan), x_W, _ONE)[:, 0])
        return Outputs(x_W, y_H, dispatch.outputs(plan, x_W, y_H))


def response_of(outputs: Outputs, *, response: ResponseKind, class_index: int) -> Grid:
    """The response on the grid whose logits are given, for callers that need the logits too, such as for lines.

    The values are those of `evaluate`, except for the last bits where the kernel computes these with its own
    exponential. A caller that needs no logits uses `evaluate`: it is faster and never holds all outputs in memory.
    """
    values_ON = outputs.values_OHW.reshape(len(outputs.values_OHW), -1)
    values_N = np.empty(values_ON.shape[1], dtype=np.int64 if response == "label" else np.float32)
    for start in range(0, len(values_N), BLOCK):
        block = slice(start, start + BLOCK)
        values_N[block] = dispatch.respond(np.ascontiguousarray(values_ON[:, block].T), response, class_index)
    return Grid(outputs.x_W, outputs.y_H, values_N.reshape(outputs.values_OHW.shape[1:]))


_ONE = np.zeros(1)
"""The ordinate of a curve's only row, which plays no part."""


def _places(spec: GridSpec) -> tuple[DoubleArray, DoubleArray | None]:
    x_W = np.linspace(spec.x_min, spec.x_max, spec.width)
    if spec.height is None or spec.y_min is None or spec.y_max is None:
        return x_W, None
    return x_W, np.linspace(spec.y_min, spec.y_max, spec.height)


@contextmanager
def _names_the_window() -> Iterator[None]:
    """Has an overflow blamed on the window, which made the points."""
    try:
        yield
    except InvalidInput:
        raise InvalidInput("x_max", "this window is too wide for the network: its output overflows float32") from None


def padded(least: float, greatest: float) -> tuple[float, float]:
    """One side of the tutorial's window: the range of a coordinate of the data and `PADDING` around it."""
    # beside coordinates that are huge, 1 is nothing to floating point
    padding = max(PADDING, 1e-6 * max(abs(least), abs(greatest)))
    return least - padding, greatest + padding


def check_features(features: int, spec: GridSpec) -> None:
    """Refuses networks whose points are not where the grid is.

    Raises:
        InvalidInput: `features` is not 2, or not 1 for a curve.
    """
    needed = 1 if spec.is_curve else 2
    if features != needed:
        raise InvalidInput("model", f"this needs a network of {needed} features, this one has {features}")
