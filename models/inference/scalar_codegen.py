"""A small plan as one Python function, for a few points: there a single call of numpy costs more than the arithmetic.

`models.inference.numpy_forward` does the same for any plan and any number of points.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from models.networks.plans import Dense, Plan
from models.specs import Activation

MOST_WEIGHTS = 100
"""Of a plan that is written out."""

MOST_POINTS = 8
"""Points up to which this is the faster way."""

CALM = 1e6
"""Coordinates and logits of this size and more are not answered for: float32 may overflow, which numpy is to judge."""

Function = Callable[..., list[float]]
"""From the D coordinates of a point to the probabilities of its K classes, in double precision.

Raises TypeError for another number of coordinates, OverflowError for a number that is too large.
"""


@lru_cache(maxsize=1_000)
def function(plan: Plan) -> Function | None:
    """The plan written out, a line a neuron, unless it is large. The text is made of numbers and of names of ours."""
    if plan.parameters.size > MOST_WEIGHTS:
        return None
    names = [f"x{d}" for d in range(plan.features)]
    lines = [f"def answer({', '.join(names)}):", *_unless_calm(names)]
    inputs = values = plan.transform.expressions(names)
    for i, layer in enumerate(plan.layers):
        outputs = [f"a{i}_{o}" for o in range(len(layer.bias_O1))]
        for name, term in zip(outputs, _sums(layer, values), strict=True):
            lines.append(f"    {name} = {term if layer.activation == 'identity' else f'{layer.activation}({term})'}")
        values = outputs
    if plan.skip:
        lines += [f"    {a} += {term}" for a, term in zip(values, _sums(plan.skip, inputs), strict=True)]
    lines += _unless_calm(values)
    lines.append(
        f"    return of_two({values[0]})" if len(values) == 1 else f"    return softmax([{', '.join(values)}])"
    )
    functions: dict[str, Any] = {str(name): activation for name, activation in _ACTIVATIONS.items()}
    functions |= {"of_two": _of_two, "softmax": _softmax}
    exec("\n".join(lines), functions)
    answer: Function = functions["answer"]
    return answer


def _unless_calm(values: list[str]) -> list[str]:
    calm = " and ".join(f"-{CALM} < {value} < {CALM}" for value in values)  # a NaN is neither
    return [f"    if not ({calm}):", "        raise OverflowError"]


def _sums(layer: Dense, values: list[str]) -> list[str]:
    return [
        " + ".join([repr(bias), *(f"{weight!r} * {value}" for weight, value in zip(weight_I, values, strict=True))])
        for weight_I, bias in zip(layer.weight_OI.tolist(), layer.bias_O1[:, 0].tolist(), strict=True)
    ]


def _of_two(logit: float) -> list[float]:
    """The logistic function of either sign of the logit, of which the exponential never overflows."""
    small = math.exp(-abs(logit))
    less, more = small / (1 + small), 1 / (1 + small)
    return [less, more] if logit > 0 else [more, less]


def _softmax(logit_K: Sequence[float]) -> list[float]:
    greatest = max(logit_K)
    exp_K = [math.exp(z - greatest) for z in logit_K]
    total = sum(exp_K)
    return [e / total for e in exp_K]


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def _gelu(z: float) -> float:
    """See `models.inference.numpy_forward`."""
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
"""What the text calls; the identity is not written."""
