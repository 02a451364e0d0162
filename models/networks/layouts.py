"""Layouts: the state-dict keys, shapes and activations of a network of dense layers.

Every kind of network is a stack of dense layers. `residual` adds a skip connection, a linear layer from input to
output.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise, takewhile

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
        """The name of its module, or of its weight if the network has raw parameters."""
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
        """Widths of the input, the hidden layers and the output."""
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


_MEMBER_KEY = re.compile(r"members\.(0|[1-9][0-9]{0,8})\.")


def member_states(state: Mapping[str, FloatArray]) -> list[dict[str, FloatArray]]:
    """The state dict of each network of an ensemble, or the only one."""
    members: dict[int, dict[str, FloatArray]] = {}
    for key, array in state.items():
        if found := _MEMBER_KEY.match(key):
            members.setdefault(int(found[1]), {})[key[found.end() :]] = array
    return [members[i] for i in takewhile(members.__contains__, count())] or [dict(state)]


def states_of(state: Mapping[str, FloatArray], networks: int) -> list[dict[str, FloatArray]]:
    """The state dict of each of `networks` networks.

    Raises:
        InvalidInput: there are more or fewer, or other keys beside theirs.
    """
    members = member_states(state) if networks > 1 else [dict(state)]
    if len(members) != networks or sum(map(len, members)) != len(state):
        raise InvalidInput("state_dict", f"must have the keys of {networks} networks")
    return members


def prefixes(networks: int) -> tuple[str, ...]:
    """What the keys of each network begin with in the state dict of several; the keys of one alone have no prefix."""
    return tuple(MEMBER.format(i) for i in range(networks)) if networks > 1 else ("",)


def joined_state(members: Sequence[Mapping[str, FloatArray]]) -> dict[str, FloatArray]:
    """The state dict of an ensemble, from the state dicts of its networks, or of the only one."""
    return {
        prefix + key: array
        for prefix, state in zip(prefixes(len(members)), members, strict=True)
        for key, array in state.items()
    }


def check_shapes(expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> None:
    """Checks the keys and shapes of a state dict against a network.

    Raises:
        InvalidInput: a key is missing or unknown, or a shape differs.
    """
    if set(given) != set(expected):
        raise InvalidInput("state_dict", f"must have the keys {', '.join(expected)}")
    for key, shape in expected.items():
        if given[key] != shape:
            raise InvalidInput(f"state_dict.{key}", f"must be of shape {shape}")
