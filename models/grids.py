"""The decision boundary as a map: a network's answer on a regular grid of the plane."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models import answers
from models.datasets import DoubleArray, FloatArray, IntArray
from models.plans import Plan
from models.specs import GridSpec, InvalidInput, ResponseKind

PADDING = 1.0
"""What the tutorial adds to the data's range on each side of its pictures, in data units."""


@dataclass(frozen=True)
class Grid:
    """A response on a grid.

    Attributes:
        x_W: float64 (W,), the abscissa of each column, ascending.
        y_H: float64 (H,), the ordinate of each row, ascending: row 0 lies at `y_min`.
        values_HW: float32 for probabilities and logits, int64 for labels (the index of the most probable class).
    """

    x_W: DoubleArray
    y_H: DoubleArray
    values_HW: FloatArray | IntArray


def evaluate(plan: Plan, spec: GridSpec, *, response: ResponseKind, class_index: int) -> Grid:
    """A network's response at every cell of a grid. Memory beyond the answer does not grow with H.

    `class_index` says whose probability or logit; for a network of two
    classes the logit of class 0 is the negative of that of class 1. It plays no part for labels.

    Raises:
        InvalidInput: the network does not take points of two coordinates, or overflows float32 in that window.
    """
    check_plane(plan.features)
    x_W = np.linspace(spec.x_min, spec.x_max, spec.width)
    y_H = np.linspace(spec.y_min, spec.y_max, spec.height)
    try:
        values_HW = answers.responses(plan, x_W, y_H, response=response, class_index=class_index)
    except InvalidInput:
        raise InvalidInput("x_max", "this window is too wide for the network: its output overflows float32") from None
    return Grid(x_W, y_H, values_HW)


def padded_window(low: Sequence[float], high: Sequence[float]) -> tuple[float, float, float, float]:
    """The tutorial's window, `x_min, x_max, y_min, y_max`: the range of the data and `PADDING` around it."""
    edges = []
    for least, greatest in zip(low, high, strict=True):
        # beside coordinates that are huge, 1 is nothing to floating point
        padding = max(PADDING, 1e-6 * max(abs(least), abs(greatest)))
        edges += [least - padding, greatest + padding]
    return edges[0], edges[1], edges[2], edges[3]


def check_plane(features: int) -> None:
    """Refuses networks whose points are not in the plane.

    Raises:
        InvalidInput: `features` is not 2.
    """
    if features != 2:
        raise InvalidInput("model", f"a boundary grid needs a model of 2 features, this one has {features}")
