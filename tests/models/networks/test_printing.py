import pytest

from models.networks import printing
from models.networks.layouts import layout
from models.networks.modules import build
from models.specs import ACTIVATIONS, NETWORK_KINDS, Activation, NetworkKind, NetworkSpec

HIDDEN: dict[str, tuple[int, ...]] = {"logistic": (), "two_layer": (4,)}


@pytest.mark.parametrize("kind", NETWORK_KINDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_network_and_its_layers_are_printed_as_torch_prints_them(kind: NetworkKind, activation: Activation) -> None:
    spec = NetworkSpec(kind=kind, activation=activation, hidden=HIDDEN.get(kind, (4, 3)))
    network = build(spec, 2, 3, seed=0)
    parts = printing.parts(layout(spec, 2, 3))
    assert printing.text(kind, parts) == repr(network)
    modules = dict(network.named_modules())
    found = [part for part in parts if part.name in modules]
    assert [(part.text, part.kind) for part in found] == [
        (repr(modules[part.name]), type(modules[part.name]).__name__) for part in found
    ]
    leaves = [name for name, module in modules.items() if name and not [*module.children()]]
    assert [part.name for part in parts if part.name not in ("w", "w1", "w2")] == leaves
    assert sum(part.linear is not None for part in parts) == len(layout(spec, 2, 3).shapes) / 2
