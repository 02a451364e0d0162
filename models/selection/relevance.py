"""The relevance of features to a network, as factors of its inputs.

Weight decay restrains the weights of all inputs alike. A second training with the same weight decay restrains useful
features less if their inputs are made larger, and the inputs that the first network hardly uses smaller.
"""

import numpy as np

from models.datasets import DoubleArray
from models.networks.plans import Plan

MIN_FACTOR = 0.03
"""Smallest factor, before normalization. It is not 0: a feature that one network does not use may help the next one."""

DIGITS = 3
"""Significant digits of the factors of a recipe. Few digits are easy to read and to copy."""


def norms(plan: Plan) -> DoubleArray:
    """The Euclidean norm of the weights of each input, float64 (I,): in the first layer and in the skip connection."""
    layers = [plan.layers[0], *([plan.skip] if plan.skip else [])]
    norm_I: DoubleArray = np.linalg.norm(
        np.concatenate([layer.weight_OI for layer in layers]).astype(np.float64), axis=0
    )
    return norm_I


def factors(norm_FD: DoubleArray) -> DoubleArray:
    """The factor of each feature for each of several networks, float64 (F, D), from the `norms` of the networks.

    A factor is the norm divided by the root mean square of all norms of the network. It is at least about `MIN_FACTOR`.
    If a network uses no feature, all its factors are 1.
    """
    return _normalized(np.maximum(_normalized(norm_FD), MIN_FACTOR))


def combined(factor_FD: DoubleArray) -> tuple[float, ...]:
    """The factors of a recipe: the root mean squares of the factors for several networks, with `DIGITS` digits."""
    factor_D = _normalized(np.sqrt(np.square(factor_FD).mean(axis=0)))
    return tuple(float(f"{factor:.{DIGITS}g}") for factor in factor_D)


def _normalized(factor_FD: DoubleArray) -> DoubleArray:
    """Scales each row to a mean square of 1. A row of zeros stays as it is."""
    size_F1 = np.sqrt(np.square(factor_FD).mean(axis=-1, keepdims=True))
    normalized_FD: DoubleArray = factor_FD / np.where(size_F1 > 0, size_F1, 1.0)
    return normalized_FD
