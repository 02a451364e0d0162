from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from models.datasets import generate
from models.networks import activations
from models.networks.layouts import layout
from models.networks.modules import Builder, activation_module, arrays_of, build, layout_of
from models.recipes import Recipe
from models.specs import (
    ACTIVATIONS,
    NETWORK_KINDS,
    Activation,
    DatasetSpec,
    InvalidInput,
    NetworkKind,
    NetworkSpec,
    TrainingSpec,
)

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


@pytest.mark.parametrize("kind", NETWORK_KINDS)
@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
@pytest.mark.parametrize(("features", "classes"), [(2, 2), (1, 3), (30, 5)])
def test_weights_without_modules_are_those_of_the_modules_to_the_bit(
    kind: NetworkKind, seed: int, features: int, classes: int
) -> None:
    deep = kind in ("sequential", "module", "residual")
    builder = Builder(NetworkSpec(kind=kind, hidden=(5, 17) if deep else None), features, classes)
    expected = arrays_of(builder(seed))
    found = builder.weights(seed)
    assert list(found) == list(expected)
    for key, array in expected.items():
        assert (found[key].dtype, found[key].tobytes()) == (array.dtype, array.tobytes())


def test_networks_that_several_threads_build_are_those_of_their_seeds() -> None:
    builder = Builder(NetworkSpec(hidden=(64, 64)), 8, 3)
    before = torch.random.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(lambda seed: arrays_of(builder(seed)), range(40)))
    assert torch.equal(torch.random.get_rng_state(), before)
    for seed, state in enumerate(states):
        assert all((state[key] == array).all() for key, array in builder.weights(seed).items())


@pytest.mark.parametrize("kind", ["sequential", "module", "residual"])
@pytest.mark.parametrize("hidden", [(), (3,), (5, 7, 2)])
def test_the_layout_has_the_state_dict_keys_of_torch_at_any_depth(kind: NetworkKind, hidden: tuple[int, ...]) -> None:
    spec = NetworkSpec(kind=kind, hidden=hidden)
    network = build(spec, 6, 4, seed=0)
    assert shapes(network) == layout(spec, 6, 4).shapes
    assert layout(spec, 6, 4).weights == sum(p.numel() for p in network.parameters())
    assert network(torch.zeros(9, 6)).shape == (9, 4)


def test_the_layers_of_a_deep_module_network_are_named_in_order() -> None:
    network = build(NetworkSpec(kind="module", hidden=(3, 3), activation="relu"), 2, 2, seed=0)
    kinds = [(name, type(layer).__name__) for name, layer in network.named_children()]
    assert kinds == [
        ("layer1", "Linear"),
        ("layer2", "ReLU"),
        ("layer3", "Linear"),
        ("layer4", "ReLU"),
        ("layer5", "Linear"),
    ]


def test_a_sequential_network_is_an_nn_sequential() -> None:
    network = build(NetworkSpec(), 2, 2, seed=0)
    assert isinstance(network, torch.nn.Sequential)
    assert isinstance(network[1], torch.nn.Tanh)


@pytest.mark.slow
def test_a_residual_network_is_the_sum_of_its_skip_connection_and_its_stack() -> None:
    network = build(NetworkSpec(kind="residual"), 2, 3, seed=0)
    x = torch.randn(5, 2)
    torch.testing.assert_close(network(x), network.layer1(x) + network.layer2(x))  # type: ignore[operator]


def test_raw_parameters_have_the_initial_values_of_the_tutorial() -> None:
    network = build(NetworkSpec(kind="two_layer", hidden=(1_000,)), 2, 2, seed=0)
    w1 = network.state_dict()["w1"]
    assert 0.009 < w1.std().item() < 0.011
    assert not network.state_dict()["b1"].any()
    assert not build(NetworkSpec(kind="logistic"), 2, 2, seed=0).state_dict()["b"].any()


def test_the_seed_determines_the_weights_and_torchs_generator_is_not_changed() -> None:
    before = torch.get_rng_state()
    once, again, other = (build(NetworkSpec(), 2, 2, seed=seed).state_dict()["0.weight"] for seed in (7, 7, 8))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_a_module_that_the_layout_recognizes(activation: Activation) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), activation_module(activation), torch.nn.Linear(3, 1))
    layout = layout_of(network)
    assert layout is not None
    assert [layer.activation for layer in layout.stack] == [activation, "identity"]


def test_the_table_of_activations_has_a_row_for_each_name() -> None:
    assert set(activations.TABLE) == set(ACTIVATIONS)


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
def test_a_network_out_of_bounds_is_refused_with_the_name_of_the_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        NetworkSpec(**change)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_a_recipe_is_refused_if_the_combination_is_out_of_bounds() -> None:
    flower = generate(DatasetSpec())
    with pytest.raises(InvalidInput, match=r"network\.hidden"):
        Recipe(flower, NetworkSpec(hidden=(1_024,) * 6), TrainingSpec(epochs=1))
    with pytest.raises(InvalidInput, match=r"training\.epochs"):
        Recipe(flower, NetworkSpec(hidden=(512,) * 3), TrainingSpec(epochs=1_000_000))
    with pytest.raises(InvalidInput, match=r"training\.validation_fraction"):
        Recipe(flower, NetworkSpec(), TrainingSpec(validation_fraction=0.001))


def test_recipes_have_equal_digests_only_if_they_are_equal() -> None:
    flower, network, training = generate(DatasetSpec()), NetworkSpec(), TrainingSpec()
    recipes = [
        Recipe(flower, network, training),
        Recipe(generate(DatasetSpec(seed=2)), network, training),
        Recipe(flower, NetworkSpec(activation="relu"), training),
        Recipe(flower, network, TrainingSpec(seed=1)),
    ]
    assert len({recipe.digest for recipe in recipes}) == 4
    assert Recipe(generate(DatasetSpec(n=400)), NetworkSpec(hidden=(4,)), training).digest == recipes[0].digest
