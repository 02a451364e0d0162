"""Plans: networks as one vector of float32 numbers, which the kernel trains and which answer without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.datasets import FloatArray
from models.networks.derived import Derived
from models.networks.layouts import LayerLayout, Layout, check_shapes
from models.networks.transforms import IDENTITY, Transform
from models.specs import Activation, InvalidInput

TERM_WORK = 30
"""Cost of a derived input in multiplications of the kernel: 5 to 15 ns, in float64."""


MEAN_WORK = 100
"""Cost of the mean of probabilities, in multiplications for each network and class: some 50 ns for logarithms."""


@dataclass(frozen=True)
class Dense:
    """One dense layer: `activation(weight_OI @ x + bias_O1)`. The arrays are views of a plan's parameters."""

    weight_OI: FloatArray
    bias_O1: FloatArray
    activation: Activation


@dataclass(frozen=True, eq=False)
class Plan:
    """An input transform, a stack of dense layers, and optionally a linear skip connection from input to output.

    Plans are immutable and safe to share between threads. Each is equal only to itself, so that it can be the key of a
    cache.

    Attributes:
        widths: of the input, the hidden layers and the output.
        activations: one for each layer, including the last.
        has_skip: whether the skip connection is added to the output.
        parameters: float32 (P,). Layer by layer, the skip connection last: for each output the weights of its inputs,
            then its bias.
        transform: turns the coordinates of a point into the inputs of the first layer.
    """

    widths: tuple[int, ...]
    activations: tuple[Activation, ...]
    has_skip: bool
    parameters: FloatArray
    transform: Transform = IDENTITY

    @property
    def features(self) -> int:
        """Number of coordinates of a point."""
        return self.transform.features(self.inputs)

    @property
    def inputs(self) -> int:
        """Number of inputs of the first layer, which the transform makes from the coordinates."""
        return self.widths[0]

    @property
    def outputs(self) -> int:
        """Number of logits."""
        return self.widths[-1]

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.parameters.size

    @property
    def work(self) -> int:
        """Cost of evaluating a point, in multiplications."""
        return self.parameters.size + (TERM_WORK * self.inputs if isinstance(self.transform, Derived) else 0)

    @property
    def classes(self) -> int:
        """Number of classes: one logit separates two, more logits stand for one class each."""
        return max(2, self.widths[-1])

    @cached_property
    def layers(self) -> tuple[Dense, ...]:
        """The stack, first to last, without the skip connection."""
        layers = []
        start = 0
        for inputs, outputs, activation in zip(self.widths[:-1], self.widths[1:], self.activations, strict=True):
            layers.append(self._dense(start, inputs, outputs, activation))
            start += outputs * (inputs + 1)
        return tuple(layers)

    @cached_property
    def skip(self) -> Dense | None:
        """The skip connection, if the network has one."""
        inputs, outputs = self.widths[0], self.widths[-1]
        start = self.parameters.size - outputs * (inputs + 1)
        return self._dense(start, inputs, outputs, "identity") if self.has_skip else None

    def _dense(self, start: int, inputs: int, outputs: int, activation: Activation) -> Dense:
        end = start + outputs * (inputs + 1)
        matrix_OI1 = self.parameters[start:end].reshape(outputs, inputs + 1)
        return Dense(matrix_OI1[:, :-1], matrix_OI1[:, -1:], activation)


@dataclass(frozen=True, eq=False)
class EnsemblePlan:
    """Several networks for the same points, which answer with the mean of their probabilities.

    Attributes:
        members: two or more plans with the same shape and the same transform.
    """

    members: tuple[Plan, ...]

    @property
    def features(self) -> int:
        """Number of coordinates of a point."""
        return self.members[0].features

    @property
    def outputs(self) -> int:
        """Number of logits."""
        return self.members[0].outputs

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.members[0].classes

    @property
    def transform(self) -> Transform:
        """The input transform of all members."""
        return self.members[0].transform

    @property
    def work(self) -> int:
        """Cost of evaluating a point, in multiplications."""
        return len(self.members) * (self.members[0].work + MEAN_WORK * self.classes)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(member.size for member in self.members)


AnyPlan = Plan | EnsemblePlan
"""What a version answers with."""


def members_of(plan: AnyPlan) -> tuple[Plan, ...]:
    """The networks of an ensemble, or the only one."""
    return plan.members if isinstance(plan, EnsemblePlan) else (plan,)


def single(plan: AnyPlan, *, field: str, what: str) -> Plan:
    """The plan of a single network.

    Args:
        plan: of a version.
        field: the field of the request that asks for `what`.
        what: what only a single network has.

    Raises:
        InvalidInput: the plan is an ensemble.
    """
    if isinstance(plan, Plan):
        return plan
    count = len(plan.members)
    raise InvalidInput(field, f"{what} needs a single network, but this version is an ensemble of {count} networks")


def ensemble(plan: AnyPlan, *, field: str) -> EnsemblePlan:
    """The plan of an ensemble, whose networks have a spread. `field` of the request asks for it.

    Raises:
        InvalidInput: the plan is a single network.
    """
    if isinstance(plan, EnsemblePlan):
        return plan
    raise InvalidInput(
        field, "spread needs an ensemble, but this version is a single network. Train one with training.ensemble"
    )


def of_members(plans: Sequence[Plan]) -> AnyPlan:
    """The ensemble of some plans, or the only one."""
    return plans[0] if len(plans) == 1 else EnsemblePlan(tuple(plans))


def plan_of(layout: Layout, state: Mapping[str, FloatArray], transform: Transform = IDENTITY) -> Plan:
    """The plan of a network, from its state dict as arrays and its input transform.

    Raises:
        InvalidInput: a key is missing or unknown, or an array has the wrong shape or dtype, or is not finite.
    """
    check_shapes(layout.shapes, {key: array.shape for key, array in state.items()})
    check_values(state)
    layers = []
    for layer in _in_order(layout):
        weight_OI = state[layer.weight].T if layer.input_major else state[layer.weight]
        layers.append(Dense(weight_OI, state[layer.bias][:, None], layer.activation))
    return Plan(
        widths=layout.widths,
        activations=tuple(layer.activation for layer in layout.stack),
        has_skip=layout.skip is not None,
        parameters=parameters_of(layers),
        transform=transform,
    )


def parameters_of(layers: Sequence[Dense]) -> FloatArray:
    """The parameters of layers in a plan's order, the skip connection last: contiguous float32 (P,)."""
    parameters: FloatArray = np.concatenate(
        [np.column_stack([layer.weight_OI, layer.bias_O1]).ravel() for layer in layers]
    )
    return parameters


def state_of(layout: Layout, plan: Plan) -> dict[str, FloatArray]:
    """The state dict of a plan: the inverse of `plan_of`. Contiguous copies, in the key order of the torch network."""
    state = {}
    layers: Sequence[Dense] = [*plan.layers, plan.skip] if plan.skip else plan.layers
    for where, layer in zip(_in_order(layout), layers, strict=True):
        weight = layer.weight_OI.T if where.input_major else layer.weight_OI
        state[where.weight] = weight.copy(order="C")
        state[where.bias] = layer.bias_O1[:, 0].copy()
    return {key: state[key] for key in layout.shapes}


def check_values(state: Mapping[str, FloatArray]) -> None:
    """Checks that all arrays of a state dict are finite float32.

    Raises:
        InvalidInput: one is not.
    """
    for key, array in state.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise InvalidInput(f"state_dict.{key}", "must be finite float32")


def _in_order(layout: Layout) -> list[LayerLayout]:
    """The layers in the order of a plan's parameters."""
    return [*layout.stack, *([layout.skip] if layout.skip else [])]
