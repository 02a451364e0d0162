"""Predicts which implementation trains a network faster, from the cost of a step of each.

The constants were measured on one core of an AMD EPYC with AVX2. The decision depends little on them: the kernel is far
ahead, except where it loops over what torch computes as matrix products.
"""

import math

from models.kernel.structures import BLAS_FROM
from models.networks.layouts import Layout
from models.specs import Implementation, TrainingSpec

LBFGS_STEPS = 2
"""Steps of an epoch of L-BFGS, of which nearly all take one, and the loops of its memory."""

TORCH_STEP_S = 180e-6
"""Fixed cost of a step of eager torch, including the optimizer."""

TORCH_LAYER_S = 110e-6
"""Additional cost of each layer in torch."""

COMPILED_STEP_S = 1e-6
"""Fixed cost of a step of the kernel."""

BLAS_S = 0.08e-9
"""Per weight and point, for the three matrix products of a step by BLAS: forward, backward, and gradient."""

LOOPS_S = 0.16e-9
"""The same three products in the kernel's loops."""

TORCH_VALUE_S = 4e-9
"""Per point and output of a layer, for activation and derivative in torch. Higher when values leave the cache."""

COMPILED_VALUE_S = 1e-9
"""The same in the kernel."""


def implementation(layout: Layout, count: int, training: TrainingSpec) -> Implementation:
    """Chooses the kernel or torch for a network that the kernel can train, on `count` points."""
    if training.optimizer == "lbfgs":
        return "compiled"
    if training.implementation == "auto":
        return faster(layout, min(training.batch_size or count, count))
    return training.implementation


def faster(layout: Layout, points: int) -> Implementation:
    """The implementation that needs less time for a step on `points` points."""
    return "compiled" if compiled_step_s(layout, points) <= _torch_s(layout, points) else "torch"


def epoch_s(
    layout: Layout, points: int, held_out: int, training: TrainingSpec, implementation: Implementation
) -> float:
    """The time of an epoch, in seconds.

    Args:
        layout: of the network.
        points: number of points to train on.
        held_out: number of validation points.
        training: the settings.
        implementation: what trains.
    """
    step_s = compiled_step_s if implementation == "compiled" else _torch_s
    batch = min(training.batch_size or points, points)
    steps = LBFGS_STEPS if training.optimizer == "lbfgs" else math.ceil(points / batch)
    validation_s = step_s(layout, held_out) if held_out else 0.0
    return steps * step_s(layout, batch) + validation_s


def compiled_step_s(layout: Layout, points: int) -> float:
    """The time of a step of the kernel on `points` points, in seconds."""
    stack = [layer.inputs * layer.outputs for layer in layout.stack]
    in_loops = [weights for weights in stack if weights < BLAS_FROM]
    if layout.skip:
        in_loops.append(layout.skip.inputs * layout.skip.outputs)
    by_blas = sum(weights for weights in stack if weights >= BLAS_FROM)
    point_s = LOOPS_S * sum(in_loops) + BLAS_S * by_blas + COMPILED_VALUE_S * _values(layout)
    return COMPILED_STEP_S + points * point_s


def _torch_s(layout: Layout, points: int) -> float:
    layers = len(layout.stack) + (layout.skip is not None)
    point_s = BLAS_S * layout.weights + TORCH_VALUE_S * _values(layout)
    return TORCH_STEP_S + TORCH_LAYER_S * layers + points * point_s


def _values(layout: Layout) -> int:
    return sum(layer.outputs for layer in layout.stack)
