"""A network as one vector of float32 numbers: what the compiled kernel trains, and what answers without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.datasets import FloatArray
from models.networks.layouts import LayerLayout, Layout, check_shapes
from models.specs import Activation, InvalidInput


@dataclass(frozen=True)
class Dense:
    """One dense layer: `activation(weight_OI @ x + bias_O1)`, views of a plan's parameters."""

    weight_OI: FloatArray
    bias_O1: FloatArray
    activation: Activation


@dataclass(frozen=True, eq=False)
class Plan:
    """A stack of dense layers and perhaps a linear branch beside it. Immutable, safe to share between threads.

    Equal to itself alone, and so a key of what is made from it once.

    Attributes:
        widths: of the input, the hidden layers and the output.
        activations: of each layer, the last included.
        has_branch: whether a linear layer from input to output is added to the output.
        parameters: float32 (P,). Layer by layer, the branch last: for each output the weights of its inputs, then its
            bias.
    """

    widths: tuple[int, ...]
    activations: tuple[Activation, ...]
    has_branch: bool
    parameters: FloatArray

    @property
    def features(self) -> int:
        """Coordinates of a point."""
        return self.widths[0]

    @property
    def classes(self) -> int:
        """One logit tells two classes apart, more tell as many as they are."""
        return max(2, self.widths[-1])

    @cached_property
    def layers(self) -> tuple[Dense, ...]:
        """The stack, first to last, and the branch behind it, if there is one."""
        sizes = [*zip(self.widths[:-1], self.widths[1:], strict=True)]
        if self.has_branch:
            sizes.append((self.widths[0], self.widths[-1]))
        layers = []
        start = 0
        for (inputs, outputs), activation in zip(sizes, (*self.activations, "identity"), strict=False):
            end = start + outputs * (inputs + 1)
            matrix_OI1 = self.parameters[start:end].reshape(outputs, inputs + 1)
            layers.append(Dense(matrix_OI1[:, :-1], matrix_OI1[:, -1:], activation))
            start = end
        return tuple(layers)


def plan_of(layout: Layout, state: Mapping[str, FloatArray]) -> Plan:
    """The plan of a network from its state dict as arrays.

    Raises:
        InvalidInput: a key is missing or unknown, or an array has another shape, is not float32 or not finite.
    """
    check_shapes(layout.shapes, {key: array.shape for key, array in state.items()})
    check_values(state)
    parts = []
    for layer in _in_order(layout):
        weight_OI = state[layer.weight].T if layer.input_major else state[layer.weight]
        parts.append(np.column_stack([weight_OI, state[layer.bias]]).ravel())
    return Plan(
        widths=(layout.stack[0].inputs, *(layer.outputs for layer in layout.stack)),
        activations=tuple(layer.activation for layer in layout.stack),
        has_branch=layout.branch is not None,
        parameters=np.concatenate(parts),
    )


def state_of(layout: Layout, plan: Plan) -> dict[str, FloatArray]:
    """The state dict of a plan as arrays, contiguous copies, in the order of the network's own: `plan_of` undone."""
    state = {}
    for where, layer in zip(_in_order(layout), plan.layers, strict=True):
        weight = layer.weight_OI.T if where.input_major else layer.weight_OI
        state[where.weight] = weight.copy(order="C")
        state[where.bias] = layer.bias_O1[:, 0].copy()
    return {key: state[key] for key in layout.shapes}


def check_values(state: Mapping[str, FloatArray]) -> None:
    """Refuses a state dict that no training of ours leaves behind.

    Raises:
        InvalidInput: an array is not float32 or not finite.
    """
    for key, array in state.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise InvalidInput(f"state_dict.{key}", "must be finite float32")


def _in_order(layout: Layout) -> list[LayerLayout]:
    """The layers as they follow each other in a plan's parameters."""
    return [*layout.stack, *([layout.branch] if layout.branch else [])]
