"""Trainings that begin at the weights of another one, compared with one training and with torch."""

from typing import Any

import numpy as np
import pytest
import torch

from models.datasets import LabelledPoints, from_rows, generate
from models.inference import numpy_forward
from models.networks.modules import arrays_of, build, load_arrays
from models.networks.plans import plan_of
from models.networks.starting_weights import StartingWeights
from models.recipes import Recipe
from models.specs import DatasetSpec, InvalidInput, NetworkSpec, TrainingSpec
from models.training.restarts import train_best
from models.training.train import train

FLOWER = generate(DatasetSpec(n=60))
_rng = np.random.default_rng(0)
_XY = _rng.normal(size=(50, 3)) * (1.0, 1000.0, 1e-3) + (5.0, -3e4, 1.7e9)
FAR = from_rows(_XY.tolist(), [int(x > 5.0) for x in _XY[:, 0]])
"""Points in very different units, one coordinate of them far from zero."""


def trained(recipe: Recipe) -> dict[str, Any]:
    """The state dict, in data units, that a recipe gives."""
    points = recipe.points

    def network(seed: int) -> torch.nn.Module:
        made = build(recipe.network, points.features, len(points.classes), seed=seed)
        if recipe.initial_states:
            load_arrays(made, recipe.initial_states[0])
        return made

    best = train_best(network, recipe.scaling.inputs(points), recipe.training, threads=1).best
    assert best is not None
    return recipe.scaling.in_data_units(recipe.layout, arrays_of(best.network))


def start(recipe: Recipe, state: dict[str, Any]) -> StartingWeights:
    return StartingWeights(state, recipe.scaling.offset, recipe.scaling.divisor, "digest")


def outputs(recipe: Recipe, state: dict[str, Any]) -> Any:
    """The logits of a network in data units."""
    return numpy_forward.logits(plan_of(recipe.layout, state, recipe.scaling.transform), recipe.points.xy_ND)


@pytest.mark.parametrize("implementation", ["compiled", "torch"])
@pytest.mark.parametrize("kind", ["logistic", "two_layer", "sequential", "module", "residual"])
def test_two_trainings_with_plain_sgd_give_the_weights_of_one(kind: Any, implementation: Any) -> None:
    network = NetworkSpec(kind=kind)

    def spec(epochs: int) -> TrainingSpec:
        return TrainingSpec(epochs=epochs, learning_rate=0.3, implementation=implementation)

    whole = trained(Recipe(FLOWER, network, spec(25)))
    first = Recipe(FLOWER, network, spec(10))
    second = Recipe(FLOWER, network, spec(15), start=start(first, trained(first)))
    continued = trained(second)
    assert {key: value.tobytes() for key, value in continued.items()} == {
        key: value.tobytes() for key, value in whole.items()
    }


@pytest.mark.parametrize(
    ("points", "scale"),
    [(FLOWER, "none"), (FLOWER, "standard"), (FAR, "standard")],  # FAR is too far to train on without scaling
    ids=["flower-none", "flower-standard", "far-standard"],
)
@pytest.mark.parametrize("network", [{}, {"inputs": ("x1", "x2", "x1*x2")}, {"feature_weights": True}], ids=str)
@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_a_training_begins_with_the_predictions_of_the_version(
    points: LabelledPoints, scale: Any, network: dict[str, Any], temperature: float
) -> None:
    if "feature_weights" in network:
        network = {"feature_weights": np.geomspace(0.1, 3.0, points.features)}
    architecture = NetworkSpec(kind="residual", scale=scale, **network)
    spec = TrainingSpec(epochs=20, optimizer="adam", temperature=temperature)
    first = Recipe(points, architecture, spec)
    state = trained(first)
    second = Recipe(points, architecture, spec, start=start(first, state))
    undone = {key: value.copy() for key, value in second.initial_states[0].items()}
    last, skip = second.layout.stack[-1], second.layout.skip
    for layer in (last, *([skip] if skip else [])):
        undone[layer.weight] /= np.float32(temperature)
        undone[layer.bias] /= np.float32(temperature)
    before, after = outputs(first, state), outputs(second, second.scaling.in_data_units(second.layout, undone))
    is_scaled = (scale == "standard" and "inputs" not in network) or "feature_weights" in network
    if temperature == 1 and not is_scaled:  # to the bit
        assert before.tobytes() == after.tobytes()
    np.testing.assert_allclose(after, before, rtol=2e-5, atol=2e-5 * np.abs(before).max())


def test_a_warm_start_computes_the_same_function_when_the_range_of_the_data_has_changed() -> None:
    network, spec = NetworkSpec(scale="standard"), TrainingSpec(epochs=20)
    first = Recipe(FAR, network, spec)
    state = trained(first)
    moved = LabelledPoints(FAR.xy_ND + 2 * FAR.xy_ND.std(axis=0), FAR.label_N, FAR.classes)
    second = Recipe(moved, network, spec, start=start(first, state))
    assert second.scaling.transform == first.scaling.transform
    assert not np.allclose(second.scaling.mean_D[:2], first.scaling.mean_D[:2])
    in_training = numpy_forward.logits(
        plan_of(second.layout, second.initial_states[0]), second.scaling.inputs(moved).xy_ND
    )
    np.testing.assert_allclose(in_training, outputs(second, state), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_every_optimizer_goes_on_from_the_loss_of_the_version(optimizer: Any) -> None:
    network = NetworkSpec(kind="sequential")
    first = Recipe(FLOWER, network, TrainingSpec(epochs=60, optimizer="lbfgs"))
    state = trained(first)
    logit_N1 = torch.from_numpy(outputs(first, state))
    target_N1 = torch.from_numpy(FLOWER.label_N).float()[:, None]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logit_N1, target_N1).item()
    second = Recipe(FLOWER, network, TrainingSpec(epochs=1, optimizer=optimizer), start=start(first, state))
    made = build(network, 2, 2, seed=0)
    load_arrays(made, second.initial_states[0])
    seen: list[float] = []
    train(made, FLOWER, second.training, on_epochs=lambda epochs: seen.append(float(epochs.loss_E[0])))
    if optimizer == "lbfgs":  # it reports the loss after the epoch, and never increases it
        assert seen[0] <= loss + 1e-6
    else:
        assert seen[0] == pytest.approx(loss, abs=1e-6)


def test_the_digest_of_a_recipe_depends_on_the_starting_weights() -> None:
    recipe = Recipe(FLOWER, NetworkSpec(), TrainingSpec(epochs=1))
    state = trained(recipe)
    starts = [None, StartingWeights(state, (), (), "one"), StartingWeights(state, (), (), "other")]
    assert len({Recipe(FLOWER, NetworkSpec(), TrainingSpec(epochs=1), start=one).digest for one in starts}) == 3


def test_weights_that_overflow_in_training_are_refused() -> None:
    recipe = Recipe(FLOWER, NetworkSpec(scale="standard"), TrainingSpec(epochs=1))
    state = {key: np.full_like(value, 3e38) for key, value in trained(recipe).items()}
    with pytest.raises(InvalidInput, match="overflow float32"):
        Recipe(FLOWER, NetworkSpec(scale="standard"), TrainingSpec(epochs=1), start=start(recipe, state))
