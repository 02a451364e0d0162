"""The relevance of features to a network, as factors of its inputs.

Weight decay holds all inputs back alike. If the inputs that a network hardly uses are made smaller, and the others
larger, then a second training with the same weight decay holds useful features back less.
"""

import numpy as np

from models.datasets import DoubleArray
from models.networks.plans import Plan

LEAST = 0.03
"""The least factor, before all are scaled to a mean square of 1: a feature that was of no use may become useful."""

DIGITS = 3
"""Significant digits of the factors of a recipe, so that a person can read them."""


def norms(plan: Plan) -> DoubleArray:
    """The norm of the weights that take each input, float64 (I,)."""
    layers = [plan.layers[0], *([plan.skip] if plan.skip else [])]
    norm_I: DoubleArray = np.linalg.norm(
        np.concatenate([layer.weight_OI for layer in layers]).astype(np.float64), axis=0
    )
    return norm_I


def factors(norm_FD: DoubleArray) -> DoubleArray:
    """The factor of each feature, float64 (F, D), by the norms of its weights in several networks.

    It is the norm in units of the root mean square of all norms of the network. Of a network that uses no feature, all
    factors are 1.
    """
    return _normalized(np.maximum(_normalized(norm_FD), LEAST))


def combined(factor_FD: DoubleArray) -> tuple[float, ...]:
    """The factors of a recipe, from those in several networks: their root mean squares."""
    factor_D = _normalized(np.sqrt(np.square(factor_FD).mean(axis=0)))
    return tuple(float(f"{factor:.{DIGITS}g}") for factor in factor_D)


def _normalized(factor_FD: DoubleArray) -> DoubleArray:
    """The same ratios with a mean square of 1 in each row; zeros stay."""
    size_F1 = np.sqrt(np.square(factor_FD).mean(axis=-1, keepdims=True))
    normalized_FD: DoubleArray = factor_FD / np.where(size_F1 > 0, size_F1, 1.0)
    return normalized_FD
