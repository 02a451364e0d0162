"""The decision boundary as lines: where two classes are equally probable, or a probability has some level.

Lines are found in log-odds, which are far straighter than probabilities: between two points of a grid a probability
jumps where its log-odds walk, so that linear interpolation meets the level much more closely.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from contourpy import LineType, contour_generator

from models.boundary.grids import Outputs
from models.datasets import DoubleArray, FloatArray, IntArray
from models.limits import MAX_LINE_VERTICES
from models.specs import InvalidInput

VERTICES_AT_ONCE = 10_000
"""At which all logits are held: some ten megabytes for 100 classes."""


@dataclass(frozen=True)
class Line:
    """One line of a decision boundary.

    Attributes:
        xy_V2: float64 (V, 2), its vertices, V >= 2, in data units.
        classes: the indices of the two classes that it parts; of the one class whose probability it is a level of,
            where there are more than two.
        level: the probability along it; None where two of several classes are equally probable, whatever that is.
        closed: whether it is a ring: the last vertex is then the first.
    """

    xy_V2: DoubleArray
    classes: tuple[int, ...]
    level: float | None
    closed: bool


def at_levels(logits: Outputs, class_index: int, levels: Sequence[float]) -> list[Line]:
    """The lines on which the probability of a class has one of some levels, each in (0, 1), level after level.

    `logits` are those of a network on a grid of the plane: (1, H, W) for two classes, else (K, H, W).

    Raises:
        InvalidInput: the lines have too many vertices.
    """
    odds_HW = _log_odds(logits.values_OHW, class_index)
    classes = (0, 1) if len(logits.values_OHW) == 1 else (class_index,)
    x_W, y_H = _axes(logits)
    lines: list[Line] = []
    vertices = 0
    for level in levels:
        traced = _traced(x_W, y_H, odds_HW, math.log(level / (1 - level)))
        vertices = _checked(vertices, traced)
        lines += [Line(xy_V2, classes, level, _is_ring(xy_V2)) for xy_V2 in traced]
    return lines


def between_classes(logits: Outputs) -> list[Line]:
    """The lines between each pair of classes that meet, pairs in ascending order: the edges of the labels' regions.

    For two classes they are the line of a probability of 0.5. For more, each pair that meets anywhere has the
    difference of its logits contoured at 0, which is smooth, and the line is cut off where a third class is more
    probable than both.

    Raises:
        InvalidInput: the lines have too many vertices.
    """
    if len(logits.values_OHW) == 1:
        return at_levels(logits, 1, [0.5])
    x_W, y_H = _axes(logits)
    lines: list[Line] = []
    vertices = 0
    for i, j, rows, columns in _meeting_pairs(logits.values_OHW.argmax(axis=0), len(logits.values_OHW)):
        part_OHW = logits.values_OHW[:, rows, columns]
        difference_HW = part_OHW[i].astype(np.float64) - part_OHW[j]
        traced = _traced(x_W[columns], y_H[rows], difference_HW, 0.0)
        vertices = _checked(vertices, traced)
        for whole_V2 in traced:
            lead_V = _lead(part_OHW, x_W[columns], y_H[rows], whole_V2, (i, j))
            lines += [Line(xy_V2, (i, j), None, _is_ring(xy_V2)) for xy_V2 in _kept(whole_V2, lead_V)]
    return lines


def _axes(logits: Outputs) -> tuple[DoubleArray, DoubleArray]:
    assert logits.y_H is not None, "lines are drawn in the plane"
    return logits.x_W, logits.y_H


def _log_odds(logit_OHW: FloatArray, k: int) -> DoubleArray:
    """Of class k against all others: z_k - log of the sum of exp z_j over the others."""
    if len(logit_OHW) == 1:
        odds_HW: DoubleArray = logit_OHW[0].astype(np.float64)
        return odds_HW if k == 1 else -odds_HW
    others = [j for j in range(len(logit_OHW)) if j != k]
    greatest_HW = np.full(logit_OHW.shape[1:], -np.inf)
    for j in others:
        np.maximum(greatest_HW, logit_OHW[j], out=greatest_HW)
    sum_HW = np.zeros_like(greatest_HW)
    for j in others:  # one after the other: all of them in float64 would need twice the room of the grid
        sum_HW += np.exp(logit_OHW[j] - greatest_HW)
    return np.asarray(logit_OHW[k] - greatest_HW - np.log(sum_HW))


def _traced(x_W: DoubleArray, y_H: DoubleArray, values_HW: DoubleArray, level: float) -> list[DoubleArray]:
    traced = contour_generator(x_W, y_H, values_HW, name="serial", line_type=LineType.Separate).lines(level)
    return [np.asarray(xy_V2) for xy_V2 in traced if len(xy_V2) > 1]


def _is_ring(xy_V2: DoubleArray) -> bool:
    return len(xy_V2) > 3 and bool((xy_V2[0] == xy_V2[-1]).all())


def _checked(vertices: int, traced: list[DoubleArray]) -> int:
    """How many vertices there are with those just traced."""
    vertices += sum(map(len, traced))
    if vertices > MAX_LINE_VERTICES:
        raise InvalidInput("resolution", f"its lines have more than {MAX_LINE_VERTICES:,} vertices: ask for less")
    return vertices


def _meeting_pairs(label_HW: IntArray, classes: int) -> Iterator[tuple[int, int, slice, slice]]:
    """Pairs of classes that two corners of some square of the grid belong to, and the rows and columns of all of them.

    One row and column more are taken on each side, since a line may bend around a corner there.
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
        if len(of_pair) == 0:  # one class alone has no pair
            return
        i, j = divmod(int(code_M[of_pair[0]]), classes)
        h_m, w_m = h_M[of_pair], w_M[of_pair]
        yield (
            i,
            j,
            slice(max(int(h_m.min()) - 1, 0), min(int(h_m.max()) + 3, height)),
            slice(max(int(w_m.min()) - 1, 0), min(int(w_m.max()) + 3, width)),
        )


def _lead(
    logit_OHW: FloatArray, x_W: DoubleArray, y_H: DoubleArray, xy_V2: DoubleArray, pair: tuple[int, int]
) -> DoubleArray:
    """By how much a pair's logits, which are equal there, are above all others at each vertex: float64 (V,)."""
    parts = []
    for start in range(0, len(xy_V2), VERTICES_AT_ONCE):
        logit_OV = _at_vertices(logit_OHW, x_W, y_H, xy_V2[start : start + VERTICES_AT_ONCE])
        own_V = logit_OV[pair[0]].copy()
        logit_OV[list(pair)] = -np.inf
        parts.append(own_V - logit_OV.max(axis=0))
    return np.concatenate(parts)


def _at_vertices(logit_OHW: FloatArray, x_W: DoubleArray, y_H: DoubleArray, xy_V2: DoubleArray) -> DoubleArray:
    """Float64 (O, V), bilinear: along the grid's lines, where the vertices are, as linear as contours take it to be."""
    left_V, x_share_V = _squares(x_W, xy_V2[:, 0])
    below_V, y_share_V = _squares(y_H, xy_V2[:, 1])
    low_OV, high_OV = (
        logit_OHW[:, row_V, left_V] * (1 - x_share_V) + logit_OHW[:, row_V, left_V + 1] * x_share_V
        for row_V in (below_V, below_V + 1)
    )
    logit_OV: DoubleArray = low_OV * (1 - y_share_V) + high_OV * y_share_V
    return logit_OV


def _squares(places_W: DoubleArray, at_V: DoubleArray) -> tuple[IntArray, DoubleArray]:
    """In which interval of an axis each vertex is, and how far along it, from 0 to 1."""
    left_V = np.clip(np.searchsorted(places_W, at_V, side="right") - 1, 0, len(places_W) - 2)
    return left_V, (at_V - places_W[left_V]) / (places_W[left_V + 1] - places_W[left_V])


def _kept(xy_V2: DoubleArray, lead_V: DoubleArray) -> Iterator[DoubleArray]:
    """The parts of a line on which the lead is not negative; between two vertices it is taken to change linearly."""
    keep_V = lead_V >= 0
    if keep_V.all():
        yield xy_V2
        return
    if _is_ring(xy_V2):  # begin where nothing is kept, so that no part runs over the ring's end
        start = int(np.flatnonzero(~keep_V)[0])
        order = np.r_[start : len(xy_V2) - 1, 0 : start + 1]
        xy_V2, lead_V, keep_V = xy_V2[order], lead_V[order], keep_V[order]
    changes = np.flatnonzero(np.diff(np.r_[False, keep_V, False].astype(np.int8)))
    for first, end in changes.reshape(-1, 2):
        parts = [xy_V2[first:end]]
        if first > 0 and lead_V[first] > 0:
            parts.insert(0, _crossing(xy_V2, lead_V, first - 1))
        if end < len(xy_V2) and lead_V[end - 1] > 0:
            parts.append(_crossing(xy_V2, lead_V, end - 1))
        part_V2 = np.concatenate(parts)
        if len(part_V2) > 1:
            yield part_V2


def _crossing(xy_V2: DoubleArray, lead_V: DoubleArray, v: int) -> DoubleArray:
    """Where between the vertices v and v + 1 the lead is 0: (1, 2)."""
    share = lead_V[v] / (lead_V[v] - lead_V[v + 1])
    crossing_12: DoubleArray = xy_V2[v : v + 1] + share * (xy_V2[v + 1 : v + 2] - xy_V2[v : v + 1])
    return crossing_12
