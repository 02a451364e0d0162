"""The tutorial's networks as `nn.Module`s, each with the state-dict keys that the tutorial's own script would save."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.specs import Activation, NetworkSpec, output_count

ACTIVATION_MODULES: dict[Activation, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": lambda: nn.GELU(approximate="tanh"),
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


class Logistic(nn.Module):
    """Logistic regression, a network of one layer: `x @ w + b` with `w` (D, O) and `b` (O,)."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(features, outputs))
        self.b = nn.Parameter(torch.zeros(outputs))

    def forward(self, x_ND: Tensor) -> Tensor:
        """Logits (N, O)."""
        return x_ND @ self.w + self.b


class TwoLayer(nn.Module):
    """Two layers from raw parameters: `w1` (D, h), `b1` (h,), `w2` (h, O), `b2` (O,); weights start small."""

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


class Named(nn.Module):
    """Layers by name: `layer1` is linear, `layer2` its activation, and so on to the last, a linear one."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        for i, layer in enumerate(layers, start=1):
            self.add_module(f"layer{i}", layer)

    def forward(self, x_ND: Tensor) -> Tensor:
        """Logits (N, O)."""
        for layer in self.children():
            x_ND = layer(x_ND)
        return x_ND


class Residual(nn.Module):
    """Two branches added: `layer1`, linear, and `layer2`, a stack with hidden layers, both from the input."""

    def __init__(self, branch: nn.Linear, stack: nn.Sequential) -> None:
        super().__init__()
        self.layer1 = branch
        self.layer2 = stack

    def forward(self, x_ND: Tensor) -> Tensor:
        """Logits (N, O)."""
        x1_NO: Tensor = self.layer1(x_ND)
        x2_NO: Tensor = self.layer2(x_ND)
        return x1_NO + x2_NO


def build(spec: NetworkSpec, features: int, classes: int, *, seed: int) -> nn.Module:
    """A new network for points of `features` coordinates; the same seed gives the same weights.

    torch's global generator is left as it was.
    """
    outputs = output_count(classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        match spec.kind:
            case "logistic":
                return Logistic(features, outputs)
            case "two_layer":
                return TwoLayer(features, spec.widths[0], outputs, ACTIVATION_MODULES[spec.activation]())
            case "sequential":
                return nn.Sequential(*_layers(spec, features, outputs))
            case "module":
                return Named(_layers(spec, features, outputs))
            case "residual":
                return Residual(nn.Linear(features, outputs), nn.Sequential(*_layers(spec, features, outputs)))


def _layers(spec: NetworkSpec, features: int, outputs: int) -> list[nn.Module]:
    """Linear, activation, linear, activation, ..., linear."""
    layers: list[nn.Module] = []
    inputs = features
    for width in spec.widths:
        layers += [nn.Linear(inputs, width), ACTIVATION_MODULES[spec.activation]()]
        inputs = width
    return [*layers, nn.Linear(inputs, outputs)]
