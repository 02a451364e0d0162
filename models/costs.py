"""Which implementation trains a network faster, by what a step of each costs.

The constants were measured on one core, an AMD EPYC with AVX2. What they decide depends little on them: the kernel is
far ahead, but where it does in loops what torch does by matrix products.
"""

from models.kernel.structures import BLAS_FROM
from models.layouts import Layout
from models.specs import Implementation

TORCH_STEP_S = 180e-6
"""What a step of eager torch takes for nothing, the optimiser included."""

TORCH_LAYER_S = 110e-6
"""What it takes more for each layer."""

COMPILED_STEP_S = 1e-6
"""What a step of the kernel takes for nothing."""

BLAS_S = 0.08e-9
"""For each weight and point, three products by BLAS: forward, backward, and for the gradient."""

LOOPS_S = 0.16e-9
"""The same three in the kernel's loops."""


def faster(layout: Layout, points: int) -> Implementation:
    """The implementation that makes a step on that many points in less time."""
    return "compiled" if _compiled_s(layout, points) <= _torch_s(layout, points) else "torch"


def _compiled_s(layout: Layout, points: int) -> float:
    stack = [layer.inputs * layer.outputs for layer in layout.stack]
    in_loops = [weights for weights in stack if weights < BLAS_FROM]
    if layout.branch:
        in_loops.append(layout.branch.inputs * layout.branch.outputs)
    by_blas = sum(weights for weights in stack if weights >= BLAS_FROM)
    return COMPILED_STEP_S + points * (LOOPS_S * sum(in_loops) + BLAS_S * by_blas)


def _torch_s(layout: Layout, points: int) -> float:
    layers = len(layout.stack) + (layout.branch is not None)
    return TORCH_STEP_S + TORCH_LAYER_S * layers + points * BLAS_S * layout.weights
