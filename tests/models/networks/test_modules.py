import pytest
import torch

from models.datasets import generate
from models.networks.layouts import layout
from models.networks.modules import ACTIVATION_MODULES, build
from models.recipes import Recipe
from models.specs import ACTIVATIONS, NETWORK_KINDS, DatasetSpec, InvalidInput, NetworkKind, NetworkSpec, TrainingSpec

TUTORIAL_STATE = {
    "logistic": {"w": (2, 1), "b": (1,)},
    "two_layer": {"w1": (2, 4), "b1": (4,), "w2": (4, 1), "b2": (1,)},
    "sequential": {"0.weight": (4, 2), "0.bias": (4,), "2.weight": (1, 4), "2.bias": (1,)},
    "module": {"layer1.weight": (4, 2), "layer1.bias": (4,), "layer3.weight": (1, 4), "layer3.bias": (1,)},
    "residual": {
        "layer1.weight": (1, 2),
        "layer1.bias": (1,),
        "layer2.0.weight": (4, 2),
        "layer2.0.bias": (4,),
        "layer2.2.weight": (1, 4),
        "layer2.2.bias": (1,),
    },
}


def shapes(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


@pytest.mark.parametrize("kind", NETWORK_KINDS)
def test_a_default_network_has_the_tutorials_state_dict(kind: NetworkKind) -> None:
    assert shapes(build(NetworkSpec(kind=kind), 2, 2, seed=0)) == TUTORIAL_STATE[kind]


@pytest.mark.parametrize("kind", ["sequential", "module", "residual"])
@pytest.mark.parametrize("hidden", [(), (3,), (5, 7, 2)])
def test_the_layout_names_what_torch_names_at_any_depth(kind: NetworkKind, hidden: tuple[int, ...]) -> None:
    spec = NetworkSpec(kind=kind, hidden=hidden)
    network = build(spec, 6, 4, seed=0)
    assert shapes(network) == layout(spec, 6, 4).shapes
    assert layout(spec, 6, 4).weights == sum(p.numel() for p in network.parameters())
    assert network(torch.zeros(9, 6)).shape == (9, 4)


def test_the_layers_of_a_deeper_module_are_named_in_order() -> None:
    network = build(NetworkSpec(kind="module", hidden=(3, 3), activation="relu"), 2, 2, seed=0)
    kinds = [(name, type(layer).__name__) for name, layer in network.named_children()]
    assert kinds == [
        ("layer1", "Linear"),
        ("layer2", "ReLU"),
        ("layer3", "Linear"),
        ("layer4", "ReLU"),
        ("layer5", "Linear"),
    ]


def test_a_sequential_network_is_an_nn_sequential_whose_layers_have_indices() -> None:
    network = build(NetworkSpec(), 2, 2, seed=0)
    assert isinstance(network, torch.nn.Sequential)
    assert isinstance(network[1], torch.nn.Tanh)


def test_a_residual_network_adds_its_two_branches() -> None:
    network = build(NetworkSpec(kind="residual"), 2, 3, seed=0)
    x = torch.randn(5, 2)
    torch.testing.assert_close(network(x), network.layer1(x) + network.layer2(x))  # type: ignore[operator]


def test_raw_parameters_start_as_the_tutorial_starts_them() -> None:
    network = build(NetworkSpec(kind="two_layer", hidden=(1_000,)), 2, 2, seed=0)
    w1 = network.state_dict()["w1"]
    assert 0.009 < w1.std().item() < 0.011
    assert not network.state_dict()["b1"].any()
    assert not build(NetworkSpec(kind="logistic"), 2, 2, seed=0).state_dict()["b"].any()


def test_the_seed_decides_the_weights_and_torchs_own_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    once, again, other = (build(NetworkSpec(), 2, 2, seed=seed).state_dict()["0.weight"] for seed in (7, 7, 8))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(before, torch.get_rng_state())


def test_every_activation_on_offer_has_a_module() -> None:
    assert set(ACTIVATION_MODULES) == set(ACTIVATIONS)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "transformer"}, "network.kind"),
        ({"activation": "step"}, "network.activation"),
        ({"kind": "logistic", "hidden": (4,)}, "network.hidden"),
        ({"kind": "two_layer", "hidden": (4, 4)}, "network.hidden"),
        ({"kind": "two_layer", "hidden": ()}, "network.hidden"),
        ({"hidden": (4,) * 17}, "network.hidden"),
        ({"hidden": (4, 0)}, "network.hidden.1"),
        ({"hidden": (1_025,)}, "network.hidden.0"),
    ],
)
def test_a_network_out_of_bounds_is_refused_by_the_name_of_the_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        NetworkSpec(**change)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_data_network_and_settings_are_bounded_together_too() -> None:
    flower = generate(DatasetSpec())
    with pytest.raises(InvalidInput, match=r"network\.hidden"):
        Recipe(flower, NetworkSpec(hidden=(1_024,) * 6), TrainingSpec(epochs=1))
    with pytest.raises(InvalidInput, match=r"training\.epochs"):
        Recipe(flower, NetworkSpec(hidden=(512,) * 3), TrainingSpec(epochs=1_000_000))
    with pytest.raises(InvalidInput, match=r"training\.validation_fraction"):
        Recipe(flower, NetworkSpec(), TrainingSpec(validation_fraction=0.001))


def test_equal_recipes_have_equal_digests_and_any_change_another() -> None:
    flower, network, training = generate(DatasetSpec()), NetworkSpec(), TrainingSpec()
    recipes = [
        Recipe(flower, network, training),
        Recipe(generate(DatasetSpec(seed=2)), network, training),
        Recipe(flower, NetworkSpec(activation="relu"), training),
        Recipe(flower, network, TrainingSpec(seed=1)),
    ]
    assert len({recipe.digest for recipe in recipes}) == 4
    assert Recipe(generate(DatasetSpec(n=400)), NetworkSpec(hidden=(4,)), training).digest == recipes[0].digest
