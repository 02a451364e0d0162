"""Decision boundaries as lines: where two classes are equally probable, or where a probability has a given level.

Lines are traced by marching squares (contourpy) on log-odds. Along a grid edge log-odds are far closer to linear than
probabilities, so linear interpolation between cells finds the level much more accurately.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from contourpy import LineType, contour_generator

from models.boundary.grids import GridAxes, Outputs
from models.datasets import DoubleArray, FloatArray, IntArray
from models.limits import MAX_LINE_VERTICES
from models.specs import InvalidInput

VERTICES_AT_ONCE = 10_000
"""Vertices whose logits are held at a time: about 10 MB for 100 classes."""


@dataclass(frozen=True)
class Line:
    """One line of a decision boundary.

    Attributes:
        xy_V2: float64 (V, 2), its vertices, V >= 2, in data units.
        classes: the indices of the two classes that it separates. For a level of one of more than two classes, the
            index of that class alone.
        level: the probability along the line; None if it varies, between two of more than two classes.
        closed: whether the line is a ring, whose last vertex equals its first.
    """

    xy_V2: DoubleArray
    classes: tuple[int, ...]
    level: float | None
    closed: bool


def at_levels(logits: Outputs, class_index: int, levels: Sequence[float]) -> list[Line]:
    """The lines along which the probability of a class equals one of some levels, in the order of the levels.

    Args:
        logits: a network's outputs on a grid of the plane: (1, H, W) for two classes, else (K, H, W).
        class_index: the class whose probability it is.
        levels: probabilities, each in (0, 1).

    Raises:
        InvalidInput: the lines have too many vertices.
    """
    odds_HW = _log_odds(logits.values_OHW, class_index)
    classes = (0, 1) if len(logits.values_OHW) == 1 else (class_index,)
    tracer = _Tracer(logits)
    return [
        Line(xy_V2, classes, level, _is_ring(xy_V2))
        for level in levels
        for xy_V2 in tracer.trace(odds_HW, math.log(level / (1 - level)))
    ]


def between_classes(logits: Outputs) -> list[Line]:
    """The lines between each pair of classes that meet, pairs in ascending order: the edges of the label regions.

    With two classes they are the lines of probability 0.5. With more, the difference of the logits of each pair that
    meets is traced at level 0, since it is smooth. Each line is then clipped to where no third class is more probable.

    Raises:
        InvalidInput: the lines have too many vertices.
    """
    if len(logits.values_OHW) == 1:
        return at_levels(logits, 1, [0.5])
    tracer = _Tracer(logits)
    lines: list[Line] = []
    for i, j, rows, columns in _adjacent_pairs(logits.values_OHW.argmax(axis=0), len(logits.values_OHW)):
        part_OHW = logits.values_OHW[:, rows, columns]
        difference_HW = part_OHW[i].astype(np.float64) - part_OHW[j]
        for whole_V2 in tracer.trace(difference_HW, 0.0, rows, columns):
            margin_V = _margin(part_OHW, tracer.x_W[columns], tracer.y_H[rows], whole_V2, (i, j))
            lines += [Line(xy_V2, (i, j), None, _is_ring(xy_V2)) for xy_V2 in _clip(whole_V2, margin_V)]
    return lines


class _Tracer:
    """Traces lines on a grid, and counts their vertices."""

    def __init__(self, axes: GridAxes) -> None:
        assert axes.y_H is not None, "a curve has no lines"
        self.x_W, self.y_H = axes.x_W, axes.y_H
        self._vertices = 0

    def trace(
        self, values_HW: DoubleArray, level: float, rows: slice = slice(None), columns: slice = slice(None)
    ) -> list[DoubleArray]:
        """The lines, (V, 2), along which values on some rows and columns of the grid have a level.

        Raises:
            InvalidInput: together with all earlier lines they have too many vertices.
        """
        x_w, y_h = self.x_W[columns], self.y_H[rows]
        lines = contour_generator(x_w, y_h, values_HW, name="serial", line_type=LineType.Separate).lines(level)
        traced = [np.asarray(xy_V2) for xy_V2 in lines if len(xy_V2) > 1]
        self._vertices += sum(map(len, traced))
        if self._vertices > MAX_LINE_VERTICES:
            message = f"must be smaller: the lines have more than {MAX_LINE_VERTICES:,} vertices"
            raise InvalidInput("resolution", message)
        return traced


def _log_odds(logit_OHW: FloatArray, k: int) -> DoubleArray:
    """The log-odds of class k against all others: z_k - log of the sum of exp z_j over the others."""
    if len(logit_OHW) == 1:
        odds_HW: DoubleArray = logit_OHW[0].astype(np.float64)
        return odds_HW if k == 1 else -odds_HW
    others = [j for j in range(len(logit_OHW)) if j != k]
    greatest_HW = np.full(logit_OHW.shape[1:], -np.inf)
    for j in others:
        np.maximum(greatest_HW, logit_OHW[j], out=greatest_HW)
    sum_HW = np.zeros_like(greatest_HW)
    for j in others:  # one at a time: all of them in float64 would take twice the memory of the logits
        sum_HW += np.exp(logit_OHW[j] - greatest_HW)
    return np.asarray(logit_OHW[k] - greatest_HW - np.log(sum_HW))


def _is_ring(xy_V2: DoubleArray) -> bool:
    return len(xy_V2) > 3 and bool((xy_V2[0] == xy_V2[-1]).all())


def _adjacent_pairs(label_HW: IntArray, classes: int) -> Iterator[tuple[int, int, slice, slice]]:
    """The pairs of classes that share a square of the grid, and the rows and columns of all squares they share.

    A square has four neighboring cells as its corners. The rows and columns include one more on each side, since a
    line may bend around a corner there.
    """
    height, width = label_HW.shape
    codes, rows, columns = [], [], []
    for one_hw, other_hw in (
        (label_HW[:, :-1], label_HW[:, 1:]),
        (label_HW[:-1], label_HW[1:]),
        (label_HW[:-1, :-1], label_HW[1:, 1:]),
        (label_HW[:-1, 1:], label_HW[1:, :-1]),
    ):
        h_M, w_M = np.nonzero(one_hw != other_hw)
        pair_2M = np.sort([one_hw[h_M, w_M], other_hw[h_M, w_M]], axis=0)
        codes.append(pair_2M[0] * classes + pair_2M[1])
        rows.append(h_M)
        columns.append(w_M)
    code_M, h_M, w_M = map(np.concatenate, (codes, rows, columns))
    order_M = np.argsort(code_M, kind="stable")
    for of_pair in np.split(order_M, np.flatnonzero(np.diff(code_M[order_M])) + 1):
        if len(of_pair) == 0:  # a single class has no pair
            return
        i, j = divmod(int(code_M[of_pair[0]]), classes)
        yield i, j, _extent(h_M[of_pair], height), _extent(w_M[of_pair], width)


def _extent(first_m: IntArray, size: int) -> slice:
    """The rows, or columns, of squares that begin at those given, and one more on each side."""
    return slice(max(int(first_m.min()) - 1, 0), min(int(first_m.max()) + 3, size))


def _margin(
    logit_OHW: FloatArray, x_W: DoubleArray, y_H: DoubleArray, xy_V2: DoubleArray, pair: tuple[int, int]
) -> DoubleArray:
    """The logit of a pair, equal on its line, minus the greatest of all other logits: float64 (V,)."""
    parts = []
    for start in range(0, len(xy_V2), VERTICES_AT_ONCE):
        logit_OV = _interpolate(logit_OHW, x_W, y_H, xy_V2[start : start + VERTICES_AT_ONCE])
        own_V = logit_OV[pair[0]].copy()
        logit_OV[list(pair)] = -np.inf
        parts.append(own_V - logit_OV.max(axis=0))
    return np.concatenate(parts)


def _interpolate(logit_OHW: FloatArray, x_W: DoubleArray, y_H: DoubleArray, xy_V2: DoubleArray) -> DoubleArray:
    """Bilinear interpolation: float64 (O, V). Vertices lie on grid edges, where marching squares is linear too."""
    left_V, x_share_V = _intervals(x_W, xy_V2[:, 0])
    below_V, y_share_V = _intervals(y_H, xy_V2[:, 1])
    low_OV, high_OV = (
        logit_OHW[:, row_V, left_V] * (1 - x_share_V) + logit_OHW[:, row_V, left_V + 1] * x_share_V
        for row_V in (below_V, below_V + 1)
    )
    logit_OV: DoubleArray = low_OV * (1 - y_share_V) + high_OV * y_share_V
    return logit_OV


def _intervals(axis_W: DoubleArray, at_V: DoubleArray) -> tuple[IntArray, DoubleArray]:
    """The interval of an axis in which each coordinate lies, and the position within it, from 0 to 1."""
    left_V = np.clip(np.searchsorted(axis_W, at_V, side="right") - 1, 0, len(axis_W) - 2)
    return left_V, (at_V - axis_W[left_V]) / (axis_W[left_V + 1] - axis_W[left_V])


def _clip(xy_V2: DoubleArray, margin_V: DoubleArray) -> Iterator[DoubleArray]:
    """The parts of a line where the margin is not negative, assuming it is linear between two vertices."""
    inside_V = margin_V >= 0
    if inside_V.all():
        yield xy_V2
        return
    if _is_ring(xy_V2):  # start at a vertex that is outside, so that no part spans the ends of the ring
        start = int(np.flatnonzero(~inside_V)[0])
        order = np.r_[start : len(xy_V2) - 1, 0 : start + 1]
        xy_V2, margin_V, inside_V = xy_V2[order], margin_V[order], inside_V[order]
    changes = np.flatnonzero(np.diff(np.r_[False, inside_V, False].astype(np.int8)))
    for first, end in changes.reshape(-1, 2):
        parts = [xy_V2[first:end]]
        if first > 0 and margin_V[first] > 0:
            parts.insert(0, _zero_crossing(xy_V2, margin_V, first - 1))
        if end < len(xy_V2) and margin_V[end - 1] > 0:
            parts.append(_zero_crossing(xy_V2, margin_V, end - 1))
        part_V2 = np.concatenate(parts)
        if len(part_V2) > 1:
            yield part_V2


def _zero_crossing(xy_V2: DoubleArray, margin_V: DoubleArray, v: int) -> DoubleArray:
    """The point between vertices v and v + 1 where the margin is 0: (1, 2)."""
    share = margin_V[v] / (margin_V[v] - margin_V[v + 1])
    crossing_12: DoubleArray = xy_V2[v : v + 1] + share * (xy_V2[v + 1 : v + 2] - xy_V2[v : v + 1])
    return crossing_12
