"""A training that is repeated up to an epoch has, to the bit, the weights that the whole training had then."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.datasets import FloatArray, LabelledPoints, generate
from models.inference import numpy_forward
from models.networks.modules import arrays_of, build
from models.networks.plans import plan_of
from models.recipes import Recipe
from models.specs import DatasetSpec, InvalidInput, NetworkSpec, TrainingSpec
from models.training.replay import weights_after
from models.training.restarts import Observer, Trained, train_best
from models.training.runs import Epochs

FLOWER = generate(DatasetSpec(n=90))
THREE = generate(DatasetSpec(dataset="gaussians", n_classes=3, n=90, noise=1.5))

SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"momentum": 0.9, "learning_rate": 0.1},
    "adam": {"optimizer": "adam"},
    "mini-batches of sgd": {"batch_size": 20, "learning_rate": 0.3},
    "mini-batches of adam": {"optimizer": "adam", "batch_size": 25, "weight_decay": 0.01},
    "held out": {"validation_fraction": 0.3, "batch_size": 16, "momentum": 0.5, "learning_rate": 0.1},
    "class weights": {"class_weight": "balanced", "optimizer": "adam"},
    "temperature": {"temperature": 1.7},
}
CASES = [(implementation, name) for implementation in ("compiled", "torch") for name in SETTINGS]
CASES += [("auto", name) for name in ("lbfgs", "lbfgs with decay")]
SETTINGS |= {"lbfgs": {"optimizer": "lbfgs"}, "lbfgs with decay": {"optimizer": "lbfgs", "weight_decay": 0.01}}


def recipe_of(implementation: str, name: str, **settings: Any) -> Recipe:
    points = THREE if name in ("class weights", "mini-batches of adam") else FLOWER
    network = NetworkSpec(kind="residual", hidden=(5, 5)) if "adam" in name else NetworkSpec(scale="standard")
    spec = TrainingSpec(**({"epochs": 2000, "implementation": implementation, "seed": 3} | SETTINGS[name] | settings))
    return Recipe(points, network, spec)


def trained(recipe: Recipe, observer: Observer | None = None) -> tuple[Trained, dict[str, FloatArray]]:
    """The result of the whole training, and the published weights."""
    points = recipe.points
    result = train_best(
        lambda seed: build(recipe.network, points.features, len(points.classes), seed=seed),
        recipe.scaling.inputs(points),
        recipe.training,
        validation=recipe.scaling.inputs(recipe.validation) if recipe.validation else None,
        threads=1,
        observer=observer or Observer(),
    )
    assert result.best is not None
    return result, recipe.scaling.in_data_units(recipe.layout, arrays_of(result.best.network))


def assert_same_bits(one: dict[str, FloatArray], other: dict[str, FloatArray]) -> None:
    assert one.keys() == other.keys()
    for key, array in one.items():
        assert array.dtype == other[key].dtype == np.float32
        np.testing.assert_array_equal(array.view(np.int32), other[key].view(np.int32))


@pytest.mark.parametrize(("implementation", "name"), CASES, ids=str)
def test_the_weights_after_an_epoch_are_those_of_a_longer_training_that_was_stopped_there(
    implementation: str, name: str
) -> None:
    epoch = 33 if implementation == "compiled" else 6
    # no loss improves by 1,000, so that patience stops the training of 2,000 epochs after exactly this one
    stopped = recipe_of(implementation, name, patience=epoch - 1, min_delta=1000.0)
    result, weights = trained(stopped)
    assert result.best is not None
    assert (result.best.outcome.stop_reason, result.best.outcome.epochs) == ("early_stopped", epoch)
    assert_same_bits(weights_after(recipe_of(implementation, name), restart=0, epoch=epoch), weights)
    assert_same_bits(weights_after(stopped, restart=0, epoch=epoch), weights)


@pytest.mark.slow
@pytest.mark.parametrize(("implementation", "name"), CASES, ids=str)
def test_the_validation_losses_of_a_whole_training_are_those_of_the_weights_after_each_epoch(
    implementation: str, name: str
) -> None:
    validation = replace(THREE if name in ("class weights", "mini-batches of adam") else FLOWER)
    recipe = recipe_of(implementation, name, epochs=24, validation_fraction=0.0, class_weight=None, temperature=1.0)
    recipe = Recipe(recipe.points, recipe.network, recipe.training, validation)
    losses: list[float] = []

    class Recorder(Observer):
        def on_epochs(self, _: int, epochs: Epochs) -> None:
            assert epochs.validation_loss_E is not None
            losses.extend(epochs.validation_loss_E)

    result, _ = trained(recipe, Recorder())
    ran = result.restarts[0].epochs
    assert len(losses) == ran > 15
    for epoch in (1, ran // 2, ran - 1):
        found = loss_of(weights_after(recipe, restart=0, epoch=epoch), recipe, validation)
        assert found == pytest.approx(losses[epoch - 1], rel=2e-6)
        assert found != pytest.approx(losses[epoch], rel=4e-6), "one epoch later the loss is another one"


def loss_of(weights: dict[str, FloatArray], recipe: Recipe, points: LabelledPoints) -> float:
    plan = plan_of(recipe.layout, weights, recipe.scaling.transform)
    return numpy_forward.log_loss(numpy_forward.logits(plan, points.xy_ND), points.label_N)


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["compiled", "torch"])
@pytest.mark.parametrize("settings", [{}, {"optimizer": "adam"}, {"momentum": 0.9, "learning_rate": 0.1}], ids=str)
def test_snapshots_of_a_running_training_are_the_weights_after_their_epochs(
    implementation: str, settings: dict[str, Any]
) -> None:
    spec = TrainingSpec(epochs=1500 if implementation == "compiled" else 30, implementation=implementation, **settings)
    recipe = Recipe(FLOWER, NetworkSpec(scale="standard"), spec)
    seen: dict[int, dict[str, FloatArray]] = {}

    class Watcher(Observer):
        def wants_weights(self) -> bool:
            return True

        def on_weights(self, _: int, epoch: int, weights: dict[str, FloatArray]) -> None:
            seen[epoch] = recipe.scaling.in_data_units(recipe.layout, weights)

    trained(recipe, Watcher())
    assert len(seen) >= 3
    for epoch in sorted(seen)[:: max(1, len(seen) // 6)]:
        assert_same_bits(weights_after(recipe, restart=0, epoch=epoch), seen[epoch])


def test_mini_batches_by_torch_are_those_of_a_loop_of_plain_torch() -> None:
    spec = TrainingSpec(epochs=900, implementation="torch", optimizer="adam", batch_size=25, seed=11)
    recipe = Recipe(FLOWER, NetworkSpec(), spec)
    network = build(recipe.network, 2, 2, seed=11)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    order, x_N2 = np.random.default_rng(11), torch.from_numpy(FLOWER.xy_ND)
    target_N = torch.from_numpy(FLOWER.label_N).float()
    for _ in range(8):
        for index in torch.from_numpy(order.permutation(90)).split(25):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(x_N2[index])[:, 0], target_N[index]).backward()
            optimizer.step()
    assert_same_bits(weights_after(recipe, restart=0, epoch=8), arrays_of(network))


@pytest.mark.slow
@pytest.mark.parametrize(("implementation", "name"), CASES, ids=str)
def test_epoch_0_are_the_initial_weights_and_the_last_epoch_the_published_ones(implementation: str, name: str) -> None:
    recipe = recipe_of(implementation, name, epochs=20, patience=15)
    result, weights = trained(recipe)
    assert_same_bits(weights_after(recipe, restart=0, epoch=result.restarts[0].epochs), weights)
    points = recipe.points
    initial = build(recipe.network, points.features, len(points.classes), seed=3)
    state = recipe.scaling.in_data_units(recipe.layout, arrays_of(initial))
    if name == "temperature":
        for key in ("2.weight", "2.bias"):
            state[key] = state[key] / np.float32(1.7)
    assert_same_bits(weights_after(recipe, restart=0, epoch=0), state)


def test_a_restart_is_the_training_of_its_seed() -> None:
    recipe = recipe_of("compiled", "held out", epochs=40, restarts=4)
    result, weights = trained(recipe)
    assert result.best is not None
    assert_same_bits(weights_after(recipe, restart=result.best.restart, epoch=40), weights)
    others = [weights_after(recipe, restart=i, epoch=25) for i in range(4)]
    assert len({state["0.weight"].tobytes() for state in others}) == 4


def test_derived_inputs_and_separate_validation_points_are_those_of_the_recipe() -> None:
    network = NetworkSpec(kind="logistic", scale="standard", inputs=("squares", "x1*x2"))
    spec = TrainingSpec(epochs=3000, optimizer="adam", patience=20, min_delta=1000.0)
    recipe = Recipe(FLOWER, network, spec, generate(DatasetSpec(n=40, seed=8)))
    result, weights = trained(recipe)
    assert result.restarts[0].epochs == 21
    assert_same_bits(weights_after(recipe, restart=0, epoch=21), weights)


def test_an_epoch_that_the_training_does_not_reach_is_refused() -> None:
    with pytest.raises(InvalidInput, match="epoch: must be smaller"):
        weights_after(recipe_of("compiled", "sgd", patience=5, min_delta=1000.0), restart=0, epoch=50)
    with pytest.raises(InvalidInput, match="epoch: must be smaller"):
        weights_after(recipe_of("compiled", "sgd", learning_rate=1000.0, weight_decay=50.0), restart=0, epoch=50)
