"""A plan's forward pass in numpy: enough for small answers, and nothing to load first.

`models.inference.compiled` does the same for large ones.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from models.datasets import DoubleArray, FloatArray, IntArray
from models.networks.plans import Plan
from models.specs import Activation, InvalidInput

_LEAST_EXPONENT = np.float32(-88)
"""Below it float32 has no more than a rest of e^x."""

BLOCK = 4_096
"""Points per block of a forward pass: the activations of a narrow layer then stay in the processor's cache."""


def logits(plan: Plan, xy_ND: DoubleArray | FloatArray) -> FloatArray:
    """The network's output for each point: float32 (N, O), finite. Memory beyond the answer does not grow with N.

    Raises:
        InvalidInput: the output of a point overflows float32.
    """
    out_NO = np.empty((len(xy_ND), plan.widths[-1]), dtype=np.float32)
    for start in range(0, len(xy_ND), BLOCK):
        block = slice(start, start + BLOCK)
        # Points run along the second axis, so that every operation walks contiguous memory.
        with np.errstate(over="ignore", invalid="ignore"):  # answered for below
            out_NO[block] = _forward(plan, np.ascontiguousarray(plan.transform.points(xy_ND[block]).T)).T
    if not np.isfinite(out_NO).all():
        raise InvalidInput("points", "too large for this network: its output overflows float32")
    return out_NO


def _forward(plan: Plan, x_DN: FloatArray) -> FloatArray:
    a_IN = x_DN
    for layer in plan.layers:
        a_IN = _ACTIVATIONS[layer.activation](layer.weight_OI @ a_IN + layer.bias_O1)
    if plan.skip:
        a_IN = a_IN + plan.skip.weight_OI @ x_DN + plan.skip.bias_O1
    return a_IN


def probabilities(logit_NO: FloatArray) -> FloatArray:
    """Class probabilities from logits: float32 (N, K), each row summing to 1. Sigmoid for one logit, else softmax."""
    if logit_NO.shape[1] == 1:
        # each side from its own exponential: 1 - p would lose the small probabilities
        return np.reciprocal(_one_and_exponentials(logit_NO))
    with np.errstate(over="ignore"):  # a difference that overflows has a probability of 0 all the same
        exp_NK = np.exp(logit_NO - logit_NO.max(axis=1, keepdims=True))
    prob_NK: FloatArray = exp_NK / exp_NK.sum(axis=1, keepdims=True)
    return prob_NK


def entropy(logit_NO: FloatArray) -> FloatArray:
    """How unsure the class probabilities are, in bits: float32 (N,), from 0 to log2 K.

    All terms are positive, so that nothing cancels. Of two classes, from the logit z, it is log(1 + e^-|z|) +
    |z| sigmoid(-|z|) nats; of more, log S - sum of p d, with d <= 0 what a logit lacks to the greatest and S the sum of
    e^d.
    """
    if logit_NO.shape[1] == 1:
        z_N = np.abs(logit_NO[:, 0])
        exp_N = np.exp(-z_N)
        nats_N = np.log1p(exp_N) + z_N * (exp_N / (1 + exp_N))
    else:
        with np.errstate(over="ignore"):
            below_NO = logit_NO - logit_NO.max(axis=1, keepdims=True)
        below_NO = np.maximum(below_NO, _LEAST_EXPONENT)  # 0 times what overflows would be no number
        exp_NO = np.exp(below_NO)
        sum_N = exp_NO.sum(axis=1)
        nats_N = np.log(sum_N) - (exp_NO * below_NO).sum(axis=1) / sum_N
    bits_N: FloatArray = nats_N * np.float32(1 / np.log(2))
    return bits_N


def predicted(prob_NK: FloatArray, *, level: float = 0.0) -> IntArray:
    """The index of each point's class: int64 (N,). The most probable, the first of equals.

    Of two classes, the second where its log-odds are greater than `level`, within 80 of 0. They are compared as odds,
    for which the smaller probability, exact to its last digits, is decisive: near 1 float32 tells too little.
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
    with np.errstate(over="ignore"):  # infinite beyond 88, where the probability is 0 in float32
        np.exp(sum_N2, out=sum_N2)
    sum_N2 += 1
    return sum_N2


def _sigmoid(x: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):  # exp overflows to infinity below -88, where the answer is 0 in float32
        y: FloatArray = np.float32(1) / (np.float32(1) + np.exp(-x))
    return y


def _silu(x: FloatArray) -> FloatArray:
    return x * _sigmoid(x)


def _gelu(x: FloatArray) -> FloatArray:
    """The tanh form, Hendrycks and Gimpel 2016, equation 2; torch's ``nn.GELU(approximate="tanh")``."""
    scale = np.float32(np.sqrt(2 / np.pi))
    y: FloatArray = np.float32(0.5) * x * (1 + np.tanh(scale * (x + np.float32(0.044715) * x * x * x)))
    return y


_ACTIVATIONS: dict[Activation, Callable[[FloatArray], Any]] = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.maximum(x, np.float32(0.01) * x),
    "elu": lambda x: np.maximum(x, np.expm1(np.minimum(x, 0))),
    "silu": _silu,
    "gelu": _gelu,
    "softplus": lambda x: np.logaddexp(x, np.float32(0)),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "identity": lambda x: x,
}
