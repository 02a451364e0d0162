"""A plan's answer for a handful of points, in plain Python: there a call of numpy costs more than its arithmetic.

`models.forward` does the same for more.
"""

import math
from collections.abc import Callable, Sequence
from operator import mul

from models.plans import Plan
from models.specs import Activation

MOST_WORK = 200
"""Multiplications, points times weights, up to which this is the faster way."""

CALM = 1e6
"""Largest sum of coordinates or logits that is answered for. Beyond, float32 may overflow: numpy is to judge."""


def probabilities(plan: Plan, points: Sequence[Sequence[float]]) -> list[list[float]] | None:
    """Class probabilities of N points of D coordinates each: N lists of K numbers that sum to 1.

    None if it is not for this module to say: points that do not fit the plan, or numbers that are very large.
    """
    features = plan.features
    answer = []
    try:
        for x_D in points:
            if len(x_D) != features or sum(map(abs, x_D)) > CALM:
                return None
            logit_O = _logits(plan, x_D)
            if not sum(map(abs, logit_O)) <= CALM:  # nor is a NaN
                return None
            answer.append(_of_two(logit_O[0]) if len(logit_O) == 1 else _softmax(logit_O))
    except OverflowError:  # an exponential that no double holds
        return None
    return answer


def _logits(plan: Plan, x_D: Sequence[float]) -> list[float]:
    a_I = list(x_D)
    for rows, name in zip(plan.rows, plan.activations, strict=False):  # the branch, behind them, has none
        z_O = [sum(map(mul, weight_I, a_I), bias) for weight_I, bias in rows]
        a_I = z_O if name == "identity" else list(map(_ACTIVATIONS[name], z_O))
    if not plan.has_branch:
        return a_I
    return [a + sum(map(mul, weight_D, x_D), bias) for a, (weight_D, bias) in zip(a_I, plan.rows[-1], strict=True)]


def _of_two(logit: float) -> list[float]:
    """The logistic function of either sign of the logit, of which the exponential never overflows."""
    small = math.exp(-abs(logit))
    less, more = small / (1 + small), 1 / (1 + small)
    return [less, more] if logit > 0 else [more, less]


def _softmax(logit_K: list[float]) -> list[float]:
    greatest = max(logit_K)
    exp_K = [math.exp(z - greatest) for z in logit_K]
    total = sum(exp_K)
    return [e / total for e in exp_K]


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def _gelu(z: float) -> float:
    """See `models.forward`."""
    return 0.5 * z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z * z * z)))


_ACTIVATIONS: dict[Activation, Callable[[float], float]] = {
    "relu": lambda z: max(z, 0.0),
    "leaky_relu": lambda z: max(z, 0.01 * z),
    "elu": lambda z: z if z > 0 else math.expm1(z),
    "silu": lambda z: z * _sigmoid(z),
    "gelu": _gelu,
    "softplus": lambda z: max(z, 0.0) + math.log1p(math.exp(-abs(z))),
    "tanh": math.tanh,
    "sigmoid": _sigmoid,
}
