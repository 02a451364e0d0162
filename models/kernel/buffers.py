"""Conversion of plans and points into the structures that the kernel's loops take, and memory for them."""

from functools import cache

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  # loads the BLAS that numba calls, so that threadpoolctl finds it
from threadpoolctl import threadpool_limits

from models.datasets import FloatArray, LabelledPoints
from models.kernel import activations
from models.kernel.structures import SPARE_ROWS, Net, Points, Workspace
from models.networks.plans import Plan

CACHED_VALUES = 2**15
"""Values of a tape, 128 KiB, that stay in the processor's cache together with their derivatives."""

MIN_BLOCK, MAX_BLOCK = 512, 4_096
"""Points of a block: fewer make matrix products slow, more bring nothing."""

SMALLEST = Plan((2, 1), ("identity",), has_skip=False, parameters=np.zeros(3, np.float32))
"""A plan to compile the kernel with."""


def net_of(plan: Plan) -> Net:
    """A plan as the kernel takes it. Its weights are the plan's own, not a copy."""
    _limit_blas_to_one_thread()
    codes = np.array([activations.CODES[activation] for activation in plan.activations], np.int64)
    return Net(np.array(plan.widths, np.int64), codes, plan.has_skip, plan.parameters)


@cache
def _limit_blas_to_one_thread() -> None:
    """For the whole process. More threads would change the order of sums, and are slower for small work."""
    threadpool_limits(1, user_api="blas")


def points_of(points: LabelledPoints, weight_K: FloatArray | None) -> Points:
    """Points as the kernel takes them: transposed and contiguous, with labels as float32.

    `weight_K`, float32 (K,), are the weights of the classes in the loss; None weighs all alike.
    """
    return Points(np.ascontiguousarray(points.xy_ND.T), points.label_N.astype(np.float32), _or_empty(weight_K))


def no_points(features: int, weight_K: FloatArray | None) -> Points:
    """An empty set of points."""
    return Points(np.empty((features, 0), np.float32), np.empty(0, np.float32), _or_empty(weight_K))


def unweighted(points: Points) -> Points:
    """The points with all classes of weight 1."""
    return points._replace(weight_K=_or_empty(None))


def _or_empty(weight_K: FloatArray | None) -> FloatArray:
    return np.empty(0, np.float32) if weight_K is None else weight_K


def workspace_for(net: Net, points: int, *, for_training: bool) -> Workspace:
    """Memory for at most `points` points at a time; with room for derivatives only `for_training`."""
    rows = int((net.widths + 1).sum()) - 1 + SPARE_ROWS
    block = min(max(CACHED_VALUES // rows, MIN_BLOCK), MAX_BLOCK, max(points, 1))
    size = rows * block
    empty = np.empty(0, np.float32)
    stores_slopes = not set(net.codes.tolist()).isdisjoint(activations.STORING_SLOPES)
    tape, tape_grad = _half_a_page_apart(size) if for_training else (np.empty(size, np.float32), empty)
    return Workspace(
        tape,
        tape_grad,
        slopes=np.empty(size, np.float32) if stores_slopes else empty,
        product=np.empty(net.weights.size, np.float32) if for_training else empty,
        block=block,
    )


def _half_a_page_apart(size: int) -> tuple[FloatArray, FloatArray]:
    """Two vectors whose addresses differ by half a memory page (512 numbers), modulo a page.

    At equal addresses modulo a page, a write to one delays reads of the other. That costs an eighth of an epoch.
    """
    page, half = 1_024, 512
    second = -(-size // page) * page + half
    both = np.empty(second + size, np.float32)
    return both[:size], both[second:]
