"""The layers of a network, by index and by name, and in torch's print form. This module needs no torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.networks import activations
from models.networks.layouts import LayerLayout, Layout
from models.specs import Activation, NetworkKind


@dataclass(frozen=True)
class Part:
    """A layer as torch lists it: a linear one, or an activation.

    Attributes:
        name: of the module. Raw parameters have none; their layer has the name of its weight.
        linear: where a linear layer is in the state dict; None for an activation.
        activation: what an activation computes; None for a linear layer.
        units: the length of its output.
    """

    name: str
    linear: LayerLayout | None
    activation: Activation | None
    units: int

    @property
    def kind(self) -> str:
        """The name of its class in `torch.nn`."""
        return activations.TABLE[self.activation].torch_module if self.activation else "Linear"

    @property
    def text(self) -> str:
        """The layer as torch prints it."""
        if self.linear:
            return f"Linear(in_features={self.linear.inputs}, out_features={self.units}, bias=True)"
        return f"{self.kind}({_SETTINGS.get(self.kind, '')})"


_SETTINGS = {
    "LeakyReLU": "negative_slope=0.01",
    "ELU": "alpha=1.0",
    "GELU": "approximate='tanh'",
    "Softplus": "beta=1.0, threshold=20.0",
}
"""What torch prints of the activations that have settings."""


def parts(layout: Layout) -> list[Part]:
    """The layers in the order in which torch lists them: the skip connection first."""
    found = [_linear(layout.skip)] if layout.skip else []
    for layer in layout.stack[:-1]:
        linear = _linear(layer)
        found += [linear, Part(_next(linear.name), None, layer.activation, layer.outputs)]
    return [*found, _linear(layout.stack[-1])]


def _linear(layer: LayerLayout) -> Part:
    return Part(layer.name, layer, None, layer.outputs)


def _next(name: str) -> str:
    """The name of the activation after a linear layer. torch numbers both."""
    if name == "w1":
        return "activation"
    return re.sub(r"\d+$", lambda number: str(int(number[0]) + 1), name)


def text(kind: NetworkKind, found: Sequence[Part]) -> str:
    """The network as torch prints it. Raw parameters are not modules, so torch does not print them."""
    modules = {part.name: part.text for part in found}
    match kind:
        case "logistic":
            return "Logistic()"
        case "two_layer":
            return _block("TwoLayer", {"activation": modules["activation"]})
        case "residual":
            inner = {name.removeprefix("layer2."): line for name, line in modules.items() if name != "layer1"}
            return _block("Residual", {"layer1": modules["layer1"], "layer2": _block("Sequential", inner)})
        case _:
            return _block("Sequential", modules)


def _block(name: str, modules: dict[str, str]) -> str:
    lines = [f"({key}): {value}".replace("\n", "\n  ") for key, value in modules.items()]
    return f"{name}(\n" + "".join(f"  {line}\n" for line in lines) + ")"
