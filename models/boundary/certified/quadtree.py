"""Labels of a large grid, exact by proof: most cells are proven in blocks, the others, near the boundary, computed.

Level by level, the blocks of grid points that are still open are enclosed (`models.boundary.certified.bounds`); those that are proven
to have one label are done, the others are split in four. What is open at the last level is computed cell by cell. So
the cost grows with the length of the boundary, in cells, and not with the area.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.boundary.certified.bounds import certain, labels_at
from models.datasets import DoubleArray, FloatArray, IntArray
from models.limits import MAX_ANSWER_WORK
from models.networks.plans import Plan
from models.specs import InvalidInput

LabelArray = npt.NDArray[np.uint8]

OPEN = 255
"""In the place of a label: not known yet. Classes are 100 at most."""

LEAF = 8
"""Cells along an edge of the smallest block."""

FIRST_BLOCKS = 16
"""About how many blocks there are along the longer edge of the grid at first."""

WORTH = 0.01
"""Share of the blocks twice as large that must be proven for the smallest ones, most of all, to be tried."""

CELLS = 2**18
"""Cells computed at once: their points and probabilities then take some MiB."""


@dataclass(frozen=True)
class AdaptiveLabels:
    """Labels on a grid, and what they took.

    Attributes:
        values_HW: uint8 (H, W), the index of the class of each cell.
        evaluated: cells whose answer the network computed.
        enclosed: blocks whose answers were enclosed.
    """

    values_HW: LabelArray
    evaluated: int
    enclosed: int


def labels(plan: Plan, x_W: DoubleArray, y_H: DoubleArray, *, level: float = 0.0) -> AdaptiveLabels:
    """The label at each point of a grid, of a plan of two features; `x_W` and `y_H` ascend.

    With one output, class 1 is where the logit is greater than `level`, which is within 80 of 0; with several, the
    greatest decides alone. Every cell has the label that the network answers in float32, be it proven or computed.
    Only where float32's rounding decides, because the logits, or logit and level, are that close, may another way to
    compute it, or another order of its sums, answer otherwise.

    Raises:
        InvalidInput: it would take more than `MAX_ANSWER_WORK` multiplications, or the output of a point overflows
            float32.
    """
    work = _Work(plan)
    size = LEAF
    while size * FIRST_BLOCKS < max(len(x_W), len(y_H)):
        size *= 2
    label_hw = np.full((_blocks(y_H, size), _blocks(x_W, size)), OPEN, np.uint8)
    while True:
        row_M, column_M = np.nonzero(label_hw == OPEN)
        work.enclose(len(row_M))
        low_M2 = np.column_stack([x_W[column_M * size], y_H[row_M * size]])
        high_M2 = np.column_stack([_last(x_W, column_M, size), _last(y_H, row_M, size)])
        label_M = certain(plan, low_M2, high_M2, level=level)
        label_hw[row_M, column_M] = label_M.astype(np.uint8)  # -1 becomes `OPEN`
        if size == LEAF or (size == 2 * LEAF and (label_M >= 0).sum() < WORTH * len(label_M)):
            break
        size //= 2
        label_hw = _magnified(label_hw, 2, _blocks(y_H, size), _blocks(x_W, size))

    row_M, column_M = np.nonzero(label_hw == OPEN)
    work.evaluate(int(_cells_within(y_H, row_M, size) @ _cells_within(x_W, column_M, size)))
    values_HW = _magnified(label_hw, size, len(y_H), len(x_W))
    step = CELLS // size**2
    for start in range(0, len(row_M), step):
        block = slice(start, start + step)
        row_N, column_N = _cells(values_HW.shape, row_M[block], column_M[block], size)
        xy_N2 = np.column_stack([x_W[column_N], y_H[row_N]]).astype(np.float32)
        values_HW[row_N, column_N] = _computed(plan, xy_N2, level)
    return AdaptiveLabels(values_HW, work.evaluated, work.enclosed)


class _Work:
    """Counts what a grid takes, before it is done."""

    def __init__(self, plan: Plan) -> None:
        self._weights = plan.parameters.size
        # for each weight those of a block's centre, reaches and radius; one in float64 takes as long as two
        self._products = 2 * (plan.features + 2)
        self.evaluated = 0
        self.enclosed = 0

    def enclose(self, blocks: int) -> None:
        self.enclosed += blocks
        self._check()

    def evaluate(self, cells: int) -> None:
        self.evaluated += cells
        self._check()

    def _check(self) -> None:
        if self._weights * (self.evaluated + self._products * self.enclosed) > MAX_ANSWER_WORK:
            raise InvalidInput(
                "resolution",
                f"would take more than {MAX_ANSWER_WORK:,} multiplications: ask for fewer cells, or for a window "
                "in which there is less boundary",
            )


def _blocks(axis: DoubleArray, size: int) -> int:
    return -(-len(axis) // size)


def _last(axis: DoubleArray, block_M: IntArray, size: int) -> DoubleArray:
    """The last coordinate of each block; those at the grid's edge end there."""
    last_M: DoubleArray = axis[np.minimum((block_M + 1) * size, len(axis)) - 1]
    return last_M


def _cells_within(axis: DoubleArray, block_M: IntArray, size: int) -> IntArray:
    """Cells along an edge of each block."""
    cells_M: IntArray = np.minimum(len(axis) - block_M * size, size)
    return cells_M


def _magnified(label_hw: LabelArray, times: int, height: int, width: int) -> LabelArray:
    """Each label as a square of labels; what juts out of (height, width) is cut off."""
    wide_hW = np.repeat(label_hw, times, axis=1)[:, :width]
    return np.repeat(wide_hW, times, axis=0)[:height]


def _cells(shape: tuple[int, ...], row_M: IntArray, column_M: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of the cells of blocks that lie in the grid."""
    inside = np.arange(size)
    row_Mss, column_Mss = np.broadcast_arrays(
        row_M[:, None, None] * size + inside[:, None], column_M[:, None, None] * size + inside
    )
    is_cell_Mss = (row_Mss < shape[0]) & (column_Mss < shape[1])
    return row_Mss[is_cell_Mss], column_Mss[is_cell_Mss]


def _computed(plan: Plan, xy_N2: FloatArray, level: float) -> IntArray:
    try:
        return labels_at(plan, xy_N2, level=level)
    except InvalidInput:
        raise InvalidInput("x_max", "this window is too wide for the network: its output overflows float32") from None
