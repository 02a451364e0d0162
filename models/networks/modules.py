"""The tutorial's networks as `nn.Module`s, with the state-dict keys that the tutorial's own script saves."""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn

from models.datasets import Array
from models.networks import activations, terms
from models.networks.layouts import LayerLayout, Layout, layout, member_states
from models.specs import ACTIVATIONS, Activation, NetworkSpec, output_count


def activation_module(activation: Activation) -> nn.Module:
    """A new module that computes an activation."""
    row = activations.TABLE[activation]
    module: nn.Module = getattr(nn, row.torch_module)(**row.torch_arguments)
    return module


class Logistic(nn.Module):
    """Logistic regression, a network of a single layer: `x @ w + b` with `w` (D, O) and `b` (O,)."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(features, outputs))
        self.b = nn.Parameter(torch.zeros(outputs))

    def forward(self, x_ND: Tensor) -> Tensor:
        """Logits (N, O)."""
        return x_ND @ self.w + self.b


class TwoLayer(nn.Module):
    """Two layers of raw parameters: `w1` (D, h), `b1` (h,), `w2` (h, O), `b2` (O,). The initial weights are small."""

    def __init__(self, features: int, hidden: int, outputs: int, activation: nn.Module) -> None:
        super().__init__()
        self.w1 = nn.Parameter(0.01 * torch.randn(features, hidden))
        self.b1 = nn.Parameter(torch.zeros(hidden))
        self.w2 = nn.Parameter(0.01 * torch.randn(hidden, outputs))
        self.b2 = nn.Parameter(torch.zeros(outputs))
        self.activation = activation

    def forward(self, x_ND: Tensor) -> Tensor:
        """Logits (N, O)."""
        hidden_NI: Tensor = self.activation(x_ND @ self.w1 + self.b1)
        return hidden_NI @ self.w2 + self.b2


class Residual(nn.Module):
    """The sum of two branches: `layer1`, a linear skip connection, and `layer2`, a stack with hidden layers."""

    def __init__(self, skip: nn.Linear, stack: nn.Sequential) -> None:
        super().__init__()
        self.layer1 = skip
        self.layer2 = stack

    def forward(self, x_ND: Tensor) -> Tensor:
        """Logits (N, O)."""
        x1_NO: Tensor = self.layer1(x_ND)
        x2_NO: Tensor = self.layer2(x_ND)
        return x1_NO + x2_NO


class Ensemble(nn.Module):
    """Several networks that answer with the mean of their probabilities. All take the same inputs.

    Attributes:
        members: the networks.
        outputs: the number of logits of each.
    """

    def __init__(self, members: Sequence[nn.Module], outputs: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.outputs = outputs

    def forward(self, x_ND: Tensor) -> Tensor:
        """The logits (N, O) of the mean probabilities, as `models.inference.ensembles.mean_logits` computes them."""
        logit_MNO = torch.stack([member(x_ND) for member in self.members]).to(torch.float64)
        if self.outputs == 1:  # of the attribute, since `torch.fx` knows no shapes
            above_NO = nn.functional.logsigmoid(logit_MNO).logsumexp(0)
            below_NO = nn.functional.logsigmoid(-logit_MNO).logsumexp(0)
            return (above_NO - below_NO).to(torch.float32)
        return (logit_MNO.log_softmax(2).logsumexp(0) - math.log(len(self.members))).to(torch.float32)


_GENERATOR = Lock()
"""Held while torch's random generator, of which all threads share one, has another state."""


def build(spec: NetworkSpec, features: int, classes: int, *, seed: int) -> nn.Module:
    """A new network for points of `features` coordinates. Equal seeds give equal weights.

    The state of torch's global random generator is not changed.
    """
    inputs, outputs = terms.count(spec.inputs, features), output_count(classes)
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed all GPUs, and is slow
        match spec.kind:
            case "logistic":
                return Logistic(inputs, outputs)
            case "two_layer":
                return TwoLayer(inputs, spec.widths[0], outputs, activation_module(spec.activation))
            case "sequential":
                return nn.Sequential(*_layers(spec, inputs, outputs))
            case "module":
                # named layers: `layer1` is linear, `layer2` its activation, and so on
                layers = enumerate(_layers(spec, inputs, outputs), start=1)
                return nn.Sequential(OrderedDict((f"layer{i}", layer) for i, layer in layers))
            case "residual":
                return Residual(nn.Linear(inputs, outputs), nn.Sequential(*_layers(spec, inputs, outputs)))


@dataclass(frozen=True)
class Builder:
    """Builds networks of one architecture. `weights` returns those of a new network without its modules."""

    spec: NetworkSpec
    features: int
    classes: int

    def __call__(self, seed: int) -> nn.Module:
        """A new network, see `build`."""
        return build(self.spec, self.features, self.classes, seed=seed)

    @cached_property
    def layout(self) -> Layout:
        """The layout of the networks."""
        return layout(self.spec, self.features, self.classes)

    def weights(self, seed: int) -> dict[str, Array]:
        """The state dict of a new network as arrays, bit for bit equal to the one of `build`."""
        generator = torch.Generator().manual_seed(seed)
        state: dict[str, Array] = {}
        for layer in ([self.layout.skip] if self.layout.skip else []) + [*self.layout.stack]:
            shapes = layer.shapes
            if layer.input_major:
                size = 1.0 if self.spec.kind == "logistic" else 0.01
                state[layer.weight] = (size * torch.randn(shapes[layer.weight], generator=generator)).numpy()
                state[layer.bias] = np.zeros(shapes[layer.bias], np.float32)
                continue
            # as `nn.Linear.reset_parameters` draws them: Kaiming's uniform distribution with a slope of sqrt(5)
            bounds = math.sqrt(3.0) * (math.sqrt(2.0 / (1 + math.sqrt(5) ** 2)) / math.sqrt(layer.inputs))
            bounds_of = {layer.weight: bounds, layer.bias: 1 / math.sqrt(layer.inputs)}
            for key, bound in bounds_of.items():
                state[key] = torch.empty(shapes[key]).uniform_(-bound, bound, generator=generator).numpy()
        return state


def _layers(spec: NetworkSpec, inputs: int, outputs: int) -> list[nn.Module]:
    """Linear, activation, linear, activation, ..., linear."""
    layers: list[nn.Module] = []
    for width in spec.widths:
        layers += [nn.Linear(inputs, width), activation_module(spec.activation)]
        inputs = width
    return [*layers, nn.Linear(inputs, outputs)]


def arrays_of(network: nn.Module) -> dict[str, Array]:
    """The state dict of a network as arrays: contiguous copies."""
    return {key: value.detach().numpy().copy() for key, value in network.state_dict().items()}


def load_arrays(network: nn.Module, arrays: Mapping[str, Array]) -> None:
    """Copies a state dict of arrays into a network."""
    network.load_state_dict({key: torch.tensor(array) for key, array in arrays.items()})


def of_state(spec: NetworkSpec, features: int, classes: int, state: Mapping[str, Array]) -> nn.Module:
    """The network, or the `Ensemble`, with the weights of a state dict, in evaluation mode."""
    states = member_states(state)
    members = [build(spec, features, classes, seed=0) for _ in states]
    for member, own in zip(members, states, strict=True):
        load_arrays(member, own)
    network = members[0] if len(members) == 1 else Ensemble(members, output_count(classes))
    return network.eval()


def layout_of(network: nn.Module) -> Layout | None:
    """The layout of a network that consists of dense layers only, else None.

    Recognizes the networks of this module, and every plain `nn.Sequential` of `nn.Linear` and known activations that
    starts with a linear layer. All layers must have biases, and all parameters must be float32, trainable and not
    shared.
    """
    parameters = list(network.parameters())
    plain = all(value.requires_grad and value.dtype == torch.float32 for value in parameters)
    if not plain or len(parameters) != len(network.state_dict()):
        return None
    # type() rather than isinstance(): a subclass may compute something else
    if type(network) is Logistic:
        return Layout((_raw_layer("w", "b", network.w, "identity"),), None)
    if type(network) is TwoLayer:
        activation = _activation_of(network.activation)
        first = activation and _raw_layer("w1", "b1", network.w1, activation)
        return Layout((first, _raw_layer("w2", "b2", network.w2, "identity")), None) if first else None
    if type(network) is Residual:
        return _residual(network)
    if type(network) is nn.Sequential:
        stack = _stack("", network._modules)
        return Layout(stack, None) if stack else None
    return None


def _residual(network: Residual) -> Layout | None:
    if type(network.layer2) is not nn.Sequential:
        return None
    skip, stack = _stack("", {"layer1": network.layer1}), _stack("layer2.", network.layer2._modules)
    if not skip or not stack:
        return None
    ends = stack[0].inputs, stack[-1].outputs
    # an activation at the end of the stack would be applied before the sum, not after it
    fits = ends == (skip[0].inputs, skip[0].outputs) and stack[-1].activation == "identity"
    return Layout(stack, skip[0]) if fits else None


def _raw_layer(weight: str, bias: str, parameter: nn.Parameter, activation: Activation) -> LayerLayout:
    inputs, outputs = parameter.shape
    return LayerLayout(weight, bias, inputs, outputs, activation, input_major=True)


def _stack(prefix: str, modules: Mapping[str, nn.Module | None]) -> tuple[LayerLayout, ...] | None:
    """The layers of a chain of linear modules, each followed by at most one activation; None if it is anything else."""
    layers: list[LayerLayout] = []
    may_get_activation = False
    for name, child in modules.items():
        if type(child) is nn.Linear and child.bias is not None:
            key = f"{prefix}{name}"
            names = f"{key}.weight", f"{key}.bias"
            layers.append(LayerLayout(*names, child.in_features, child.out_features, "identity", input_major=False))
            may_get_activation = True
            continue
        activation = _activation_of(child) if child else None
        if activation is None or not may_get_activation:
            return None
        layers[-1] = replace(layers[-1], activation=activation)
        may_get_activation = False
    fits = all(above.outputs == below.inputs for above, below in pairwise(layers))
    return tuple(layers) if layers and fits else None


def _activation_of(module: nn.Module) -> Activation | None:
    """The activation that a module computes, if it has the same settings."""
    return _KNOWN.get((type(module), module.extra_repr()))


_KNOWN = {(type(module), module.extra_repr()): name for name in ACTIVATIONS for module in [activation_module(name)]}
