"""A network as plain float32 arrays, and its forward pass in numpy: what answers predictions, without torch.

Every network of ours is a stack of dense layers, to which `residual` adds a linear branch from input to output.
`layout` names the state-dict keys of that stack; `plan_of` turns a state dict into a `Plan`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.datasets import FloatArray, IntArray
from models.specs import Activation, InvalidInput, NetworkSpec, output_count

BLOCK = 4_096
"""Points per block of a forward pass: the activations of a narrow layer then stay in the processor's cache."""


@dataclass(frozen=True)
class LayerLayout:
    """Where a dense layer lies in a state dict: its keys, its sizes, and which way round its weight is stored."""

    weight: str
    bias: str
    inputs: int
    outputs: int
    activation: Activation
    input_major: (
        bool  # weight of shape (inputs, outputs), as the tutorial's raw parameters; else torch's (outputs, inputs)
    )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape by state-dict key."""
        weight = (self.inputs, self.outputs) if self.input_major else (self.outputs, self.inputs)
        return {self.weight: weight, self.bias: (self.outputs,)}


@dataclass(frozen=True)
class Layout:
    """The dense layers of a network, first to last, and the linear branch beside them, if it has one."""

    stack: tuple[LayerLayout, ...]
    branch: LayerLayout | None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape by state-dict key, of the whole network, in the order of the network's own state dict."""
        layers = (*([self.branch] if self.branch else []), *self.stack)
        return {key: shape for layer in layers for key, shape in layer.shapes.items()}

    @property
    def weights(self) -> int:
        """How many numbers the network is made of, biases included."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())


def layout(spec: NetworkSpec, features: int, classes: int) -> Layout:
    """The state-dict keys and shapes of a network of that kind for points of `features` coordinates."""
    sizes = (features, *spec.widths, output_count(classes))
    last = len(sizes) - 2
    names = [_key_names(spec, i) for i in range(last + 1)]
    stack = tuple(
        LayerLayout(
            *names[i],
            inputs=sizes[i],
            outputs=sizes[i + 1],
            activation="identity" if i == last else spec.activation,
            input_major=spec.kind in ("logistic", "two_layer"),
        )
        for i in range(last + 1)
    )
    if spec.kind != "residual":
        return Layout(stack, None)
    branch = LayerLayout("layer1.weight", "layer1.bias", sizes[0], sizes[-1], "identity", input_major=False)
    return Layout(stack, branch)


def _key_names(spec: NetworkSpec, i: int) -> tuple[str, str]:
    """The state-dict keys of the i-th dense layer; activations count as layers where torch counts them."""
    if spec.kind == "logistic":
        return "w", "b"
    if spec.kind == "two_layer":
        return f"w{i + 1}", f"b{i + 1}"
    prefix = {"sequential": f"{2 * i}", "module": f"layer{2 * i + 1}", "residual": f"layer2.{2 * i}"}[spec.kind]
    return f"{prefix}.weight", f"{prefix}.bias"


@dataclass(frozen=True)
class Dense:
    """One dense layer: `activation(weight_OI @ x + bias_O1)`, float32, contiguous."""

    weight_OI: FloatArray
    bias_O1: FloatArray
    activation: Activation


@dataclass(frozen=True)
class Plan:
    """A network ready to answer: immutable, safe to share between threads."""

    stack: tuple[Dense, ...]
    branch: Dense | None
    features: int
    classes: int
    weights: int


def plan_of(spec: NetworkSpec, features: int, classes: int, state: Mapping[str, FloatArray]) -> Plan:
    """The plan of a network from its state dict as arrays.

    Raises:
        InvalidInput: a key is missing or unknown, or an array has another shape, is not float32 or not finite.
    """
    where = layout(spec, features, classes)
    check_shapes(where.shapes, {key: array.shape for key, array in state.items()})
    check_values(state)
    branch = _dense(where.branch, state) if where.branch else None
    return Plan(tuple(_dense(layer, state) for layer in where.stack), branch, features, classes, where.weights)


def check_shapes(expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> None:
    """Holds the keys and shapes of a state dict against those that a network has.

    Raises:
        InvalidInput: a key is missing or unknown, or a shape differs.
    """
    if set(given) != set(expected):
        raise InvalidInput("state_dict", f"must have the keys {', '.join(expected)}")
    for key, shape in expected.items():
        if given[key] != shape:
            raise InvalidInput(f"state_dict.{key}", f"must be of shape {shape}")


def check_values(state: Mapping[str, FloatArray]) -> None:
    """Refuses a state dict that no training of ours leaves behind.

    Raises:
        InvalidInput: an array is not float32 or not finite.
    """
    for key, array in state.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise InvalidInput(f"state_dict.{key}", "must be finite float32")


def _dense(layer: LayerLayout, state: Mapping[str, FloatArray]) -> Dense:
    weight = state[layer.weight].T if layer.input_major else state[layer.weight]
    return Dense(np.ascontiguousarray(weight), state[layer.bias].reshape(-1, 1).copy(), layer.activation)


def logits(plan: Plan, xy_ND: FloatArray) -> FloatArray:
    """The network's output for each point: float32 (N, O), finite. Memory beyond the answer does not grow with N.

    Raises:
        InvalidInput: the output of a point overflows float32.
    """
    out_NO = np.empty((len(xy_ND), output_count(plan.classes)), dtype=np.float32)
    for start in range(0, len(xy_ND), BLOCK):
        block = slice(start, start + BLOCK)
        # Points run along the second axis, so that every operation walks contiguous memory.
        with np.errstate(over="ignore", invalid="ignore"):  # answered for below
            out_NO[block] = _forward(plan, np.ascontiguousarray(xy_ND[block].T)).T
    if not np.isfinite(out_NO).all():
        raise InvalidInput("points", "too large for this network: its output overflows float32")
    return out_NO


def _forward(plan: Plan, x_DN: FloatArray) -> FloatArray:
    a_IN = x_DN
    for layer in plan.stack:
        a_IN = _ACTIVATIONS[layer.activation](layer.weight_OI @ a_IN + layer.bias_O1)
    if plan.branch:
        a_IN = a_IN + plan.branch.weight_OI @ x_DN + plan.branch.bias_O1
    return a_IN


def probabilities(logit_NO: FloatArray) -> FloatArray:
    """Class probabilities from logits: float32 (N, K), each row summing to 1. Sigmoid for one logit, else softmax."""
    if logit_NO.shape[1] == 1:
        # each side from its own exponential: 1 - p would lose the small probabilities
        return np.concatenate([_sigmoid(-logit_NO), _sigmoid(logit_NO)], axis=1)
    with np.errstate(over="ignore"):  # a difference that overflows has a probability of 0 all the same
        exp_NK = np.exp(logit_NO - logit_NO.max(axis=1, keepdims=True))
    prob_NK: FloatArray = exp_NK / exp_NK.sum(axis=1, keepdims=True)
    return prob_NK


def predicted(prob_NK: FloatArray) -> IntArray:
    """The index of the most probable class of each point, the first of equals: int64 (N,)."""
    best_N: IntArray = prob_NK.argmax(axis=1)
    return best_N


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
