"""Calibration: one number, the temperature, by which logits are divided so that probabilities mean what they say.

A network that fits its training points closely is often too sure of itself, and one with much weight decay not sure
enough. Division by a temperature changes no label (Guo, Pleiss, Sun and Weinberger, 2017).

If all held-out points are classified correctly, certainty would be best. Therefore the targets are not 0 and 1 but, as
in Platt's method (1999), what one more point of each class would make of them.
"""

import numpy as np

from models.datasets import DoubleArray, FloatArray, IntArray
from models.inference import numpy_forward
from models.limits import MAX_TEMPERATURE, MIN_TEMPERATURE


def losses(logit_NO: FloatArray | DoubleArray, label_N: IntArray) -> DoubleArray:
    """The cross-entropy of each point with Platt's targets, in nats, float64 (N,), for logits (N, O).

    With N points of K classes, the target is (N + 1) / (N + K) for the class of the point and 1 / (N + K) for others.
    """
    log_prob_NK = numpy_forward.log_probabilities(logit_NO)
    count, classes = log_prob_NK.shape
    own_N = log_prob_NK[np.arange(count), label_N]
    found_N: DoubleArray = -(count * own_N + log_prob_NK.sum(axis=1)) / (count + classes)
    return found_N


def temperature(logit_NO: FloatArray, label_N: IntArray) -> float:
    """The temperature with the least mean loss, to three digits, for logits (N, O) of points outside the training."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return float(losses(logit_NO.astype(np.float64) / np.exp(log_temperature), label_N).mean())

    # the loss is convex in 1 / temperature, so it has one minimum
    found = minimize_scalar(loss, bounds=(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)), method="bounded")
    return float(f"{np.exp(found.x):.3g}")
