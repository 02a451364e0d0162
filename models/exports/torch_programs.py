"""A version as files of torch: the pickled module, and a program of `torch.export`. This module imports torch.

Both load with plain torch. TorchScript is not offered: torch 2.13 calls it deprecated and names `torch.export` instead.
"""

import io

import orjson
import torch
from torch import Tensor, fx, nn

from models.exports.exported import DESCRIPTION_KEY, Exported
from models.networks.derived import Derived
from models.networks.modules import of_state
from models.networks.terms import Term
from models.networks.transforms import IDENTITY, Shift, Transform

EXAMPLE_POINTS = 2
"""`torch.export` traces with this many points; 1 would become a constant of the program."""


def encode_module(exported: Exported) -> bytes:
    """The whole network, as `torch.save(network)` pickles it. It returns logits; for an ensemble, of the mean.

    A network that is an `nn.Sequential` and takes the coordinates as they are is pickled as such. Others become an
    `fx.GraphModule`, which contains its code, because plain torch does not have the classes of `models.networks`. It
    takes points in data units. Its attribute `separatrix` is the description of the network.
    """
    network = _network(exported)
    if exported.plan.transform != IDENTITY or not isinstance(network, nn.Sequential):
        whole = _Whole(_Inputs(exported.plan.transform), network)
        network = fx.GraphModule(whole, fx.Tracer().trace(whole), class_name="Network")
    setattr(network, DESCRIPTION_KEY, orjson.dumps(exported.description()).decode())
    content = io.BytesIO()
    torch.save(network, content)
    return content.getvalue()


def encode_program(exported: Exported) -> bytes:
    """A program of `torch.export`, which takes points in data units, float64 (N, D), and returns probabilities (N, K).

    N may be any number. The description of the network is one of the program's extra files.
    """
    program = _Probabilities(_Inputs(exported.plan.transform), _network(exported))
    example_ND = torch.zeros(EXAMPLE_POINTS, exported.card.features, dtype=torch.float64)
    traced = torch.export.export(program, (example_ND,), dynamic_shapes=({0: torch.export.Dim("N")},))
    for node in traced.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names files of this machine
    content = io.BytesIO()
    description = orjson.dumps(exported.description()).decode()
    torch.export.save(traced, content, extra_files={DESCRIPTION_KEY: description})
    return content.getvalue()


def _network(exported: Exported) -> nn.Module:
    card = exported.card
    return of_state(card.network, card.features, len(card.classes), exported.state)


class _Inputs(nn.Module):
    """An input transform: from points (N, D), float32 or float64, to float32 (N, I)."""

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self._terms = transform.terms if isinstance(transform, Derived) else None
        self.offset_D = _buffer(transform.offset) if isinstance(transform, Shift | Derived) else None
        self.divisor_D = _buffer(transform.divisor) if isinstance(transform, Derived) else None

    def forward(self, points_ND: Tensor) -> Tensor:
        """The inputs of the first layer. Coordinates are subtracted and divided in float64."""
        values_ND = points_ND
        if self.offset_D is not None:
            values_ND = values_ND.to(torch.float64) - self.offset_D
        if self.divisor_D is not None:
            values_ND = values_ND / self.divisor_D
        if self._terms is not None:
            values_ND = torch.stack([_term(term, values_ND) for term in self._terms], dim=1)
        return values_ND.to(torch.float32)


def _buffer(values: tuple[float, ...]) -> Tensor:
    return nn.Buffer(torch.tensor(values, dtype=torch.float64))


def _term(term: Term, scaled_ND: Tensor) -> Tensor:
    """A derived input (N,)."""
    columns = [scaled_ND[:, d] for d in term.of]
    if term.function == "product":
        return columns[0] * columns[1] if len(columns) == 2 else columns[0]
    return torch.sin(columns[0]) if term.function == "sin" else torch.cos(columns[0])


class _Whole(nn.Module):
    """A module of an input transform and a network. It registers the network's layers and parameters as its own."""

    def __init__(self, inputs: _Inputs, network: nn.Module) -> None:
        super().__init__()
        self.inputs = inputs
        self._network = (network,)  # in a tuple, it is not a module of this one
        for name, child in network.named_children():
            self.add_module(name, child)
        for name, parameter in network.named_parameters(recurse=False):
            self.register_parameter(name, parameter)

    def forward(self, points_ND: Tensor) -> Tensor:
        """Logits (N, O)."""
        logit_NO: Tensor = self._network[0].forward(self.inputs(points_ND))
        return logit_NO


class _Probabilities(nn.Module):
    """An input transform, a network, and the class probabilities (N, K) from its logits."""

    def __init__(self, inputs: _Inputs, network: nn.Module) -> None:
        super().__init__()
        self.inputs = inputs
        self.network = network

    def forward(self, points_ND: Tensor) -> Tensor:
        """See `models.inference.numpy_forward.probabilities`, which computes the same."""
        logit_NO = self.network(self.inputs(points_ND))
        if logit_NO.shape[1] > 1:
            return torch.softmax(logit_NO, dim=1)
        return torch.reciprocal(1 + torch.exp(torch.cat([logit_NO, -logit_NO], dim=1)))
