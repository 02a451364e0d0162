"""The forward pass of a plan in NumPy, for small requests; probabilities, entropies and labels from logits."""

import numpy as np
import numpy.typing as npt

from models import interruption
from models.datasets import DoubleArray, FloatArray, IntArray, PointArray
from models.networks import activations
from models.networks.plans import Plan
from models.specs import InvalidInput

_MIN_EXPONENT = np.float32(-88)
"""Below it, e^x underflows float32."""

OVERFLOWS = "must be smaller numbers: the output of the network overflows float32"

BLOCK = 4_096
"""Points per block of a forward pass: few enough that the values of a narrow layer stay in the processor's cache."""


def logits(plan: Plan, xy_ND: PointArray) -> FloatArray:
    """The network's output for points (N, D): float32 (N, O), finite. Memory beyond the result does not grow with N.

    Raises:
        InvalidInput: the output for a point overflows float32.
    """
    out_NO = np.empty((len(xy_ND), plan.widths[-1]), dtype=np.float32)
    for start in range(0, len(xy_ND), BLOCK):
        block = slice(start, start + BLOCK)
        interruption.check()
        # points along the second axis, so that every operation reads contiguous memory
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            out_NO[block] = _forward(plan, np.ascontiguousarray(plan.transform.points(xy_ND[block]).T)).T
    finite_NO = np.isfinite(out_NO)
    if not finite_NO.all():
        first = finite_NO.all(axis=1).argmin()
        raise InvalidInput(f"points.{first}", OVERFLOWS)
    return out_NO


def _forward(plan: Plan, x_DN: FloatArray) -> FloatArray:
    a_IN = x_DN
    for layer in plan.layers:
        a_IN = activations.TABLE[layer.activation].of_array(layer.weight_OI @ a_IN + layer.bias_O1)
    if plan.skip:
        a_IN = a_IN + plan.skip.weight_OI @ x_DN + plan.skip.bias_O1
    return a_IN


def probabilities(logit_NO: FloatArray) -> FloatArray:
    """Class probabilities from logits: float32 (N, K). The logistic function for one logit, else softmax."""
    if logit_NO.shape[1] == 1:
        # each from its own exponential: 1 - p would lose small probabilities
        return np.reciprocal(_one_and_exponentials(logit_NO))
    with np.errstate(over="ignore"):  # where a difference overflows, the probability is 0 anyway
        exp_NK = np.exp(logit_NO - logit_NO.max(axis=1, keepdims=True))
    prob_NK: FloatArray = exp_NK / exp_NK.sum(axis=1, keepdims=True)
    return prob_NK


def log_loss(logit_NO: FloatArray | DoubleArray, label_N: IntArray) -> float:
    """Mean negative logarithm of the probability of each point's class, in nats, for logits (N, O).

    `label_N` are the indices of the classes, int64 (N,).
    """
    return float(-log_probabilities(logit_NO)[np.arange(len(label_N)), label_N].mean())


def log_probabilities(logit_NO: FloatArray | DoubleArray) -> DoubleArray:
    """Logarithms of the class probabilities, float64 (N, K), for logits (N, O). All are finite."""
    wide_NK = logit_NO.astype(np.float64)
    if wide_NK.shape[1] == 1:
        wide_NK = np.column_stack([np.zeros(len(wide_NK)), wide_NK])
    wide_NK -= wide_NK.max(axis=1, keepdims=True)
    log_prob_NK: DoubleArray = wide_NK - np.log(np.exp(wide_NK).sum(axis=1, keepdims=True))
    return log_prob_NK


def entropy(logit_NO: FloatArray) -> FloatArray:
    """Entropy of the class probabilities, in bits: float32 (N,), from 0 to log2 K.

    For two classes and the logit z, that is log(1 + e^-|z|) + |z| sigmoid(-|z|) nats. For more, log S - sum of p d,
    where d <= 0 is a logit less the greatest one and S the sum of e^d. All terms are positive, so nothing cancels.
    """
    if logit_NO.shape[1] == 1:
        z_N = np.abs(logit_NO[:, 0])
        exp_N = np.exp(-z_N)
        nats_N = np.log1p(exp_N) + z_N * (exp_N / (1 + exp_N))
    else:
        with np.errstate(over="ignore"):
            below_NO = logit_NO - logit_NO.max(axis=1, keepdims=True)
        below_NO = np.maximum(below_NO, _MIN_EXPONENT)  # 0 times infinity would be NaN
        exp_NO = np.exp(below_NO)
        sum_N = exp_NO.sum(axis=1)
        nats_N = np.log(sum_N) - (exp_NO * below_NO).sum(axis=1) / sum_N
    bits_N: FloatArray = nats_N * np.float32(1 / np.log(2))
    return bits_N


def predicted(prob_NK: FloatArray | DoubleArray, *, level: float = 0.0) -> IntArray:
    """The index of each point's class: int64 (N,). The most probable class, the first of equals.

    With two classes, the second one where its log-odds exceed `level`, a number between -80 and 80. The comparison is
    one of odds, which depend on the smaller probability: near 1, float32 is too coarse.
    """
    if prob_NK.shape[1] == 2:
        first_N, second_N = prob_NK.T
        if level:
            first_N, second_N = first_N.astype(np.float64), second_N.astype(np.float64)
            odds = np.exp(-abs(level))
            first_N, second_N = (first_N, second_N * odds) if level > 0 else (first_N * odds, second_N)
        is_second_N: npt.NDArray[np.bool_] = second_N > first_N
        return is_second_N.astype(np.int64)
    best_N: IntArray = prob_NK.argmax(axis=1)
    return best_N


def _one_and_exponentials(logit_N1: FloatArray) -> FloatArray:
    sum_N2 = np.empty((len(logit_N1), 2), np.float32)
    sum_N2[:, :1] = logit_N1
    np.negative(logit_N1, out=sum_N2[:, 1:])
    with np.errstate(over="ignore"):  # infinity beyond 88, where the probability is 0 in float32
        np.exp(sum_N2, out=sum_N2)
    sum_N2 += 1
    return sum_N2
