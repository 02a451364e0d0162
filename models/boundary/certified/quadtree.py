"""Labels of a large grid by a quadtree: most cells are certified in nodes of many cells, the rest are computed.

A node is a square of grid cells. Level by level, the certified bounds of all undecided nodes are computed
(`models.boundary.certified.bounds`). Nodes with a proven label are decided, the others are split in four. The cells of
nodes that are undecided at the last level are computed one by one. So the cost grows with the length of the boundary in
cells, not with the area of the grid.
"""

from dataclasses import dataclass

import numpy as np

from models import interruption
from models.boundary.certified.bounds import certified_labels, computed_labels
from models.boundary.grids import Grid, GridAxes, LabelArray, attribute_overflow_to_window
from models.datasets import DoubleArray, IntArray
from models.limits import MAX_ANSWER_WORK
from models.networks.plans import Plan
from models.specs import InvalidInput

UNDECIDED = 255
"""Stands for a label that is not known yet; class indices are below 100."""

LEAF_SIZE = 8
"""Cells along an edge of the smallest node."""

ROOTS = 16
"""Approximate number of nodes along the longer edge of the grid at the first level."""

MIN_CERTIFIED_SHARE = 0.01
"""Share of the nodes of twice the leaf size that must be certified for the leaves, the most numerous, to be tried."""

BLOCK_CELLS = 2**18
"""Cells computed at once: their points and probabilities take a few MiB."""


@dataclass(frozen=True)
class AdaptiveGrid(Grid):
    """Labels on a grid, as uint8, and what they cost.

    Attributes:
        evaluated: cells whose label was computed.
        bounded: nodes whose certified bounds were computed.
    """

    evaluated: int
    bounded: int


def labels(plan: Plan, axes: GridAxes, *, level: float = 0.0) -> AdaptiveGrid:
    """The labels of a network of two features on a grid of the plane.

    With one output, the label is 1 where the logit is greater than `level`, which is within 80 of 0; with several, it
    is the greatest output. Every cell has the label that the network computes in float32, whether certified or
    computed. Another implementation, or another order of its sums, can give another label only where logits, or logit
    and level, are so close that float32 rounding decides.

    Raises:
        InvalidInput: it needs more than `MAX_ANSWER_WORK` multiplications, or the output of a point overflows
            float32.
    """
    x_W, y_H = axes.x_W, axes.y_H
    assert y_H is not None, "a curve has no quadtree"
    label_hw, size, bounded = _certify(plan, x_W, y_H, level)
    row_M, column_M = np.nonzero(label_hw == UNDECIDED)
    evaluated = int(_cells_along(y_H, row_M, size) @ _cells_along(x_W, column_M, size))
    _check_work(plan, evaluated=evaluated, bounded=bounded)
    label_HW = _upsample(label_hw, size, len(y_H), len(x_W))
    step = BLOCK_CELLS // size**2
    for start in range(0, len(row_M), step):
        block = slice(start, start + step)
        row_N, column_N = _cells_of(label_HW.shape, row_M[block], column_M[block], size)
        xy_N2 = np.column_stack([x_W[column_N], y_H[row_N]])
        interruption.check()
        with attribute_overflow_to_window():
            label_HW[row_N, column_N] = computed_labels(plan, xy_N2, level=level)
    return AdaptiveGrid(x_W, y_H, label_HW, evaluated, bounded)


def _certify(plan: Plan, x_W: DoubleArray, y_H: DoubleArray, level: float) -> tuple[LabelArray, int, int]:
    """Bounds the nodes level by level.

    Returns:
        The labels of the nodes of the last level, `UNDECIDED` where unproven; the size of these nodes; and the number
        of nodes of all levels whose certified bounds were computed.
    """
    bounded = 0
    size = LEAF_SIZE
    while size * ROOTS < max(len(x_W), len(y_H)):
        size *= 2
    label_hw = np.full((_nodes_along(y_H, size), _nodes_along(x_W, size)), UNDECIDED, np.uint8)
    while True:
        row_M, column_M = np.nonzero(label_hw == UNDECIDED)
        bounded += len(row_M)
        _check_work(plan, evaluated=0, bounded=bounded)
        low_M2 = np.column_stack([x_W[column_M * size], y_H[row_M * size]])
        high_M2 = np.column_stack([_last_in(x_W, column_M, size), _last_in(y_H, row_M, size)])
        label_M = certified_labels(plan, low_M2, high_M2, level=level)
        label_hw[row_M, column_M] = label_M.astype(np.uint8)  # -1 becomes `UNDECIDED`
        few_certified = (label_M >= 0).sum() < MIN_CERTIFIED_SHARE * len(label_M)
        if size == LEAF_SIZE or (size == 2 * LEAF_SIZE and few_certified):
            return label_hw, size, bounded
        size //= 2
        label_hw = _upsample(label_hw, 2, _nodes_along(y_H, size), _nodes_along(x_W, size))


def _check_work(plan: Plan, *, evaluated: int, bounded: int) -> None:
    """Refuses too much work before it is done."""
    # for each weight: a node's center, coefficients and radius, in float64, which takes as long as two float32
    products_per_node = 2 * (plan.features + 2)
    if plan.parameters.size * (evaluated + products_per_node * bounded) > MAX_ANSWER_WORK:
        raise InvalidInput(
            "resolution",
            f"needs more than {MAX_ANSWER_WORK:,} multiplications: ask for fewer cells, or for a window with less "
            "boundary in it",
        )


def _nodes_along(axis: DoubleArray, size: int) -> int:
    return -(-len(axis) // size)


def _last_in(axis: DoubleArray, node_M: IntArray, size: int) -> DoubleArray:
    """The last coordinate of each node; a node at the edge of the grid ends there."""
    last_M: DoubleArray = axis[np.minimum((node_M + 1) * size, len(axis)) - 1]
    return last_M


def _cells_along(axis: DoubleArray, node_M: IntArray, size: int) -> IntArray:
    """The number of cells along an edge of each node."""
    cells_M: IntArray = np.minimum(len(axis) - node_M * size, size)
    return cells_M


def _upsample(label_hw: LabelArray, times: int, height: int, width: int) -> LabelArray:
    """Repeats each label along both axes, and crops the result to (height, width)."""
    wide_hW = np.repeat(label_hw, times, axis=1)[:, :width]
    return np.repeat(wide_hW, times, axis=0)[:height]


def _cells_of(shape: tuple[int, ...], row_M: IntArray, column_M: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """The rows and columns of the cells of nodes, without those outside the grid."""
    inside = np.arange(size)
    row_Mss, column_Mss = np.broadcast_arrays(
        row_M[:, None, None] * size + inside[:, None], column_M[:, None, None] * size + inside
    )
    is_cell_Mss = (row_Mss < shape[0]) & (column_Mss < shape[1])
    return row_Mss[is_cell_Mss], column_Mss[is_cell_Mss]
