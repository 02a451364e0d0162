"""Layouts: the state-dict keys, shapes and activations of a network of dense layers.

Every kind of network is a stack of dense layers. `residual` adds a skip connection, a linear layer from input to
output.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from models.datasets import FloatArray
from models.networks import terms
from models.specs import Activation, InvalidInput, NetworkSpec, output_count


@dataclass(frozen=True)
class LayerLayout:
    """A dense layer in a state dict.

    Attributes:
        weight, bias: keys.
        inputs, outputs: sizes.
        activation: applied to its output.
        input_major: whether the weight has the shape (inputs, outputs), as the tutorial's raw parameters have, or else
            (outputs, inputs), as in `nn.Linear`.
    """

    weight: str
    bias: str
    inputs: int
    outputs: int
    activation: Activation
    input_major: bool

    @property
    def name(self) -> str:
        """The name of its module, or that of its weight if the network has raw parameters."""
        return self.weight.removesuffix(".weight")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape by state-dict key."""
        weight = (self.inputs, self.outputs) if self.input_major else (self.outputs, self.inputs)
        return {self.weight: weight, self.bias: (self.outputs,)}


@dataclass(frozen=True)
class Layout:
    """The dense layers of a network, first to last, and the skip connection, if it has one."""

    stack: tuple[LayerLayout, ...]
    skip: LayerLayout | None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape by state-dict key, for the whole network, in the order of its state dict."""
        layers = (*([self.skip] if self.skip else []), *self.stack)
        return {key: shape for layer in layers for key, shape in layer.shapes.items()}

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the input, the hidden layers and the output."""
        return (self.stack[0].inputs, *(layer.outputs for layer in self.stack))

    @property
    def weights(self) -> int:
        """Number of parameters, including biases."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())


def layout(spec: NetworkSpec, features: int, classes: int) -> Layout:
    """The layout of a network for points of `features` coordinates in `classes` classes."""
    sizes = (terms.count(spec.inputs, features), *spec.widths, output_count(classes))
    stack = tuple(
        LayerLayout(
            *_key_names(spec, i),
            inputs=inputs,
            outputs=outputs,
            activation="identity" if i == len(spec.widths) else spec.activation,
            input_major=spec.kind in ("logistic", "two_layer"),
        )
        for i, (inputs, outputs) in enumerate(pairwise(sizes))
    )
    if spec.kind != "residual":
        return Layout(stack, None)
    skip = LayerLayout("layer1.weight", "layer1.bias", sizes[0], sizes[-1], "identity", input_major=False)
    return Layout(stack, skip)


def _key_names(spec: NetworkSpec, i: int) -> tuple[str, str]:
    """The state-dict keys of the i-th dense layer. Where torch numbers activations too, so does this."""
    if spec.kind == "logistic":
        return "w", "b"
    if spec.kind == "two_layer":
        return f"w{i + 1}", f"b{i + 1}"
    prefix = {"sequential": f"{2 * i}", "module": f"layer{2 * i + 1}", "residual": f"layer2.{2 * i}"}[spec.kind]
    return f"{prefix}.weight", f"{prefix}.bias"


MEMBER = "members.{}."
"""What the keys of a network begin with in the state dict of an ensemble; `{}` is its number, counted from 0."""


def member_states(state: Mapping[str, FloatArray]) -> list[dict[str, FloatArray]]:
    """The state dict of each network of an ensemble, or the only one."""
    members: list[dict[str, FloatArray]] = []
    while own := {key: state[key] for key in state if key.startswith(MEMBER.format(len(members)))}:
        prefix = MEMBER.format(len(members))
        members.append({key.removeprefix(prefix): array for key, array in own.items()})
    return members or [dict(state)]


def ensemble_state(members: Sequence[Mapping[str, FloatArray]]) -> dict[str, FloatArray]:
    """The state dict of an ensemble, from those of its networks."""
    return {MEMBER.format(i) + key: array for i, state in enumerate(members) for key, array in state.items()}


def check_shapes(expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> None:
    """Checks the keys and shapes of a state dict against those of a network.

    Raises:
        InvalidInput: a key is missing or unknown, or a shape differs.
    """
    if set(given) != set(expected):
        raise InvalidInput("state_dict", f"must have the keys {', '.join(expected)}")
    for key, shape in expected.items():
        if given[key] != shape:
            raise InvalidInput(f"state_dict.{key}", f"must be of shape {shape}")
