"""Networks that are written without layers: matrices and vectors named `w` and `b`, or `w1`, `b1`, `w2`, `b2`, ..."""

import re
from collections.abc import Mapping
from typing import Any

from models.imports.chains import Affine, Chain, Function, Step
from models.imports.notes import FILE, Notes, quoted
from models.imports.options import ImportOptions
from models.imports.tensors import Weights, shape_of
from models.specs import InvalidInput, NetworkKind

_NAME = re.compile(r"([wWbB])_?([0-9]{0,2})")
_KINDS: dict[int, NetworkKind] = {1: "logistic", 2: "two_layer"}


def chain_of(tensors: Mapping[str, Any], options: ImportOptions, weights: Weights, notes: Notes) -> Chain | None:
    """The layers of such a network; None if the keys have other names.

    The matrices have the shape (inputs, outputs), as in the tutorial, unless only (outputs, inputs) fits.

    Raises:
        InvalidInput: a matrix or a vector is missing, the shapes do not fit, or the activation is not given.
    """
    names = {key: match for key in tensors if (match := _NAME.fullmatch(key))}
    if len(names) < len(tensors):
        return None
    numbers = sorted({int(match[2] or 0) for match in names.values()})
    by_role = {(match[1].lower(), int(match[2] or 0)): key for key, match in names.items()}
    for number in numbers:
        for role, what in (("w", "weight"), ("b", "bias")):
            if (role, number) not in by_role:
                raise InvalidInput(
                    FILE, f"must have the {what} '{role}{number or ''}' beside {quoted(next(iter(names)))}"
                )
    pairs = [(by_role["w", number], by_role["b", number]) for number in numbers]
    is_input_major = _fits(tensors, pairs, 0)
    if not is_input_major and not _fits(tensors, pairs, 1):
        shapes = ", ".join(f"{quoted(key)} {tuple(shape_of(tensors[key]))}" for pair in pairs for key in pair)
        raise InvalidInput(FILE, f"must have weights (inputs, outputs) that follow each other, but has {shapes}")
    steps: list[Step] = []
    for i, (weight, bias) in enumerate(pairs):
        matrix = weights.array(weight, tensors[weight])
        steps.append(Affine(weight, matrix.T if is_input_major else matrix, weights.array(bias, tensors[bias]).ravel()))
        if i < len(pairs) - 1:
            if options.activation is None:
                raise InvalidInput(
                    "activation",
                    "must be given, such as tanh or relu: a state dict does not contain the hidden activation",
                )
            steps.append(Function(weight, options.activation))
    order = "(inputs, outputs)" if is_input_major else "(outputs, inputs)"
    notes.understood.append(f"The file has raw parameters of the shape {order}, for {len(pairs)} layers.")
    return Chain(tuple(steps), kind=_KINDS.get(len(pairs)))


def _fits(tensors: Mapping[str, Any], pairs: list[tuple[str, str]], input_axis: int) -> bool:
    """Whether the matrices follow each other if this axis is the axis of the inputs."""
    before: int | None = None
    for weight, bias in pairs:
        shape, bias_shape = shape_of(tensors[weight]), shape_of(tensors[bias])
        if len(shape) != 2 or [size for size in bias_shape if size != 1] not in ([shape[1 - input_axis]], []):
            return False
        if (max(bias_shape, default=0) != shape[1 - input_axis]) or before not in (None, shape[input_axis]):
            return False
        before = shape[1 - input_axis]
    return True
