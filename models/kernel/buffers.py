"""What the kernel works on: plans, points and memory in the form that its loops take."""

from functools import cache

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  # the BLAS that numba multiplies with, loaded so that it can be told:
from threadpoolctl import threadpool_limits

from models.datasets import FloatArray, LabelledPoints
from models.kernel import structures
from models.kernel.structures import Memory, Net, Points
from models.networks.plans import Plan
from models.specs import Activation

CACHED_VALUES = 2**15
"""Values of a tape, 128 KiB, that stay near the processor with their derivatives beside them."""

LEAST_BLOCK, MOST_BLOCK = 512, 4_096
"""Points of a block: fewer make matrix products slow, more gain nothing."""

_CODES: dict[Activation, int] = {
    "identity": structures.IDENTITY,
    "relu": structures.RELU,
    "leaky_relu": structures.LEAKY_RELU,
    "elu": structures.ELU,
    "silu": structures.SILU,
    "gelu": structures.GELU,
    "softplus": structures.SOFTPLUS,
    "tanh": structures.TANH,
    "sigmoid": structures.SIGMOID,
}

SMALLEST = Plan((2, 1), ("identity",), has_skip=False, parameters=np.zeros(3, np.float32))
"""What the kernel is tried on, to have it compiled."""


def net_of(plan: Plan) -> Net:
    """A plan as the kernel takes it; its weights are the plan's own, not a copy."""
    _one_blas_thread()
    codes = np.array([_CODES[activation] for activation in plan.activations], np.int64)
    return Net(np.array(plan.widths, np.int64), codes, plan.has_skip, plan.parameters)


@cache
def _one_blas_thread() -> None:
    """For the whole process: BLAS would sum in another order with more threads, and be slower for small work."""
    threadpool_limits(1, user_api="blas")


def points_of(points: LabelledPoints) -> Points:
    """Points as the kernel takes them: transposed and contiguous, with labels as float32."""
    return Points(np.ascontiguousarray(points.xy_ND.T), points.label_N.astype(np.float32))


def no_points(features: int) -> Points:
    """An empty set of points."""
    return Points(np.empty((features, 0), np.float32), np.empty(0, np.float32))


def memory_for(net: Net, points: int, *, learns: bool) -> Memory:
    """Room for `points` at most at a time; without derivatives if it is not for learning."""
    rows = int((net.widths + 1).sum()) - 1 + structures.SPARE_ROWS
    block = min(max(CACHED_VALUES // rows, LEAST_BLOCK), MOST_BLOCK, max(points, 1))
    nothing = np.empty(0, np.float32)
    tape, backs = _apart(rows * block) if learns else (np.empty(rows * block, np.float32), nothing)
    has_slopes = np.isin(net.codes, (structures.SILU, structures.GELU)).any()
    return Memory(
        tape,
        backs,
        np.empty(rows * block, np.float32) if has_slopes else nothing,
        np.empty(net.weights.size, np.float32) if learns else nothing,
        block,
    )


def _apart(size: int) -> tuple[FloatArray, FloatArray]:
    """Two vectors half a memory page (1,024 numbers) apart, modulo a page.

    At the same place in their pages, a write to one would hold up reads of the other: an eighth of the time, measured.
    """
    page, half = 1_024, 512
    second = -(-size // page) * page + half
    both = np.empty(second + size, np.float32)
    return both[:size], both[second:]
