"""Generates Python code for small plans: for a few points, a single NumPy call costs more than the arithmetic.

`models.inference.numpy_forward` evaluates any plan for any number of points.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from models.limits import MAX_COORDINATE
from models.networks import activations
from models.networks.plans import AnyPlan, Dense, EnsemblePlan

MAX_PARAMETERS = 100
"""Largest plan for which code is generated."""

MAX_POINTS = 8
"""Largest number of points for which the generated function is faster than NumPy."""

MAX_SIZE = 1e6
"""Inputs and logits must be smaller than this. Larger ones may overflow float32, which NumPy has to decide."""

Function = Callable[..., list[float]]
"""Takes the D coordinates of a point, returns the probabilities of its K classes, in float64.

Raises TypeError for a wrong number of coordinates, OverflowError for a number that is too large.
"""


@lru_cache(maxsize=1_000)
def function(plan: AnyPlan) -> Function | None:
    """A function for a small plan, else None. Its source consists of numbers and of names chosen here."""
    if isinstance(plan, EnsemblePlan) or max(plan.parameters.size, plan.features) > MAX_PARAMETERS:
        return None
    names = [f"x{d}" for d in range(plan.features)]
    lines = [f"def answer({', '.join(names)}):"]
    statements, inputs = plan.transform.statements(list(names))
    if inputs != names:  # otherwise, the check of the inputs is enough
        lines += _check_size(names, MAX_COORDINATE)
    lines += [f"    {statement}" for statement in statements]
    lines += _check_size(inputs, MAX_SIZE)
    values = inputs
    for i, layer in enumerate(plan.layers):
        outputs = [f"a{i}_{o}" for o in range(len(layer.bias_O1))]
        for name, term in zip(outputs, _sums(layer, values), strict=True):
            lines.append(f"    {name} = {term if layer.activation == 'identity' else f'{layer.activation}({term})'}")
        values = outputs
    if plan.skip:
        lines += [f"    {a} += {term}" for a, term in zip(values, _sums(plan.skip, inputs), strict=True)]
    lines += _check_size(values, MAX_SIZE)
    lines.append(
        f"    return of_two({values[0]})" if len(values) == 1 else f"    return softmax([{', '.join(values)}])"
    )
    functions: dict[str, Any] = {str(name): row.of_float for name, row in activations.TABLE.items()}
    functions |= {"of_two": _of_two, "softmax": _softmax, "sin": math.sin, "cos": math.cos}
    exec("\n".join(lines), functions)
    answer: Function = functions["answer"]
    return answer


def _check_size(values: list[str], most: float) -> list[str]:
    in_range = " and ".join(f"-{most} < {value} < {most}" for value in values)  # false for a NaN
    return [f"    if not ({in_range}):", "        raise OverflowError"]


def _sums(layer: Dense, values: list[str]) -> list[str]:
    return [
        " + ".join([repr(bias), *(f"{weight!r} * {value}" for weight, value in zip(weight_I, values, strict=True))])
        for weight_I, bias in zip(layer.weight_OI.tolist(), layer.bias_O1[:, 0].tolist(), strict=True)
    ]


def _of_two(logit: float) -> list[float]:
    """The logistic function of minus the logit and of the logit. The exponential never overflows."""
    exp = math.exp(-abs(logit))
    smaller, larger = exp / (1 + exp), 1 / (1 + exp)
    return [smaller, larger] if logit > 0 else [larger, smaller]


def _softmax(logit_K: Sequence[float]) -> list[float]:
    greatest = max(logit_K)
    exp_K = [math.exp(z - greatest) for z in logit_K]
    total = sum(exp_K)
    return [e / total for e in exp_K]
