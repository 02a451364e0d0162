"""The search for network and settings."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.datasets import LabelledPoints, generate, split
from models.inference import numpy_forward
from models.networks.modules import arrays_of, build
from models.networks.plans import plan_of
from models.recipes import Recipe
from models.selection.candidates import BATCH_SIZE, BATCH_STEPS, LARGE, WEIGHT_DECAYS, Architecture, Given
from models.selection.cross_validation import cross_validated
from models.selection.search import Choice, Score, choose
from models.specs import DatasetSpec, InvalidInput, NetworkSpec, TrainingSpec
from models.training.compiled_run import CompiledRun
from models.training.evaluation import Evaluation

MOONS = generate(DatasetSpec(dataset="moons", n=120, noise=0.15))
_rng = np.random.default_rng(0)
_XY = _rng.normal(size=(700, 20)).astype(np.float32)
RING = LabelledPoints(_XY, (np.square(_XY[:, :2]).sum(axis=1) > 1.4).astype(np.int64), ("in", "out"))
"""Two features decide on the class, and 18 are useless."""
STANDARD = {"scale": "standard"}


def chosen(points: LabelledPoints = MOONS, threads: int = 1, **training: Any) -> Choice:
    choice = choose(points, Given(STANDARD, training), threads=threads)
    assert choice is not None
    return choice


def test_curved_classes_get_a_hidden_layer_and_a_straight_boundary_none() -> None:
    rng = np.random.default_rng(0)
    xy_ND = rng.normal(size=(150, 2)).astype(np.float32)
    label_N = (rng.random(150) < 1 / (1 + np.exp(-2 * xy_ND.sum(axis=1)))).astype(np.int64)
    straight = LabelledPoints(xy_ND, label_N, (0, 1))
    assert chosen().network.widths
    assert chosen(straight).network.kind == "logistic"


def test_the_winner_is_hardly_worse_than_the_best_candidate() -> None:
    search = chosen().search
    assert search is not None
    losses = [candidate["loss"] for candidate in search["candidates"]]
    assert len(losses) > 3
    assert losses[search["winner"]] == pytest.approx(min(losses), rel=0.1)


def test_of_candidates_that_are_equally_good_the_simplest_wins() -> None:
    """Without any weight on the coordinates, all networks predict the same."""
    same = replace(MOONS, xy_ND=np.zeros_like(MOONS.xy_ND))
    choice = chosen(same)
    assert choice.network.kind == "logistic"


def test_the_score_is_that_of_networks_that_did_not_see_the_points() -> None:
    """Labels that mean nothing can be learned by heart, but not predicted."""
    noise = replace(MOONS, label_N=np.random.default_rng(1).permutation(MOONS.label_N))
    evaluation = chosen(noise).cross_validation
    assert evaluation is not None
    assert evaluation["accuracy"] < 0.65
    assert evaluation["log_loss"] == pytest.approx(np.log(2), abs=0.03)


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    assert chosen(threads=1) == chosen(threads=3)


def test_given_settings_are_kept() -> None:
    given = Given(
        {**STANDARD, "kind": "module", "hidden": [5], "activation": "relu"}, {"weight_decay": 0.02, "seed": 7}
    )
    choice = choose(MOONS, given, threads=1)
    assert choice is not None
    assert (choice.network.kind, choice.network.widths, choice.network.activation) == ("module", (5,), "relu")
    assert (choice.training.weight_decay, choice.training.seed) == (0.02, 7)
    assert len(choice.search["candidates"]) == 1


def test_a_given_kind_is_tried_with_several_widths() -> None:
    choice = choose(MOONS, Given({**STANDARD, "kind": "two_layer"}, {}), threads=1)
    assert choice is not None
    assert {candidate["kind"] for candidate in choice.search["candidates"]} == {"two_layer"}
    assert len({tuple(candidate["hidden"]) for candidate in choice.search["candidates"]}) > 1


@pytest.mark.parametrize(
    ("network", "hidden"),
    [({}, (16,)), ({"kind": "two_layer"}, (16,)), ({"kind": "logistic"}, ()), ({"hidden": [3]}, (3,))],
)
def test_few_points_get_the_first_architecture_with_hidden_units(
    network: dict[str, Any], hidden: tuple[int, ...]
) -> None:
    points = generate(DatasetSpec(n=12))
    assert Given(STANDARD | network, {}).default(points).network.widths == hidden


@pytest.mark.parametrize(
    ("training", "optimizer"),
    [({}, "lbfgs"), ({"momentum": 0.9}, "sgd"), ({"learning_rate": 0.1}, "adam"), ({"batch_size": 32}, "adam")],
)
def test_settings_of_an_optimizer_choose_it(training: dict[str, Any], optimizer: str) -> None:
    candidate = Given(STANDARD, training).candidate(Architecture("sequential", (4,)), 0.01, count=400)
    assert candidate.training.optimizer == optimizer


@pytest.mark.parametrize("count", [LARGE + 1, 20_000, 100_000])
def test_hidden_layers_for_many_points_are_trained_on_batches_for_the_same_number_of_steps(count: int) -> None:
    given = Given(STANDARD, {})
    logistic, hidden = given.architectures(count)
    training = given.candidate(hidden, 0.001, count=count).training
    assert (training.optimizer, training.batch_size, training.weight_decay) == ("adam", BATCH_SIZE, 0.001)
    assert training.epochs * count / BATCH_SIZE == pytest.approx(BATCH_STEPS, rel=0.05)
    assert given.candidate(logistic, 0.001, count=count).training.optimizer == "lbfgs"


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"optimizer": "lbfgs"}, ("lbfgs", None, 200)),
        ({"optimizer": "adam", "batch_size": None}, ("adam", None, 500)),
        ({"batch_size": 1_000}, ("adam", 1_000, 400)),
        ({"epochs": 3, "learning_rate": 0.01}, ("adam", BATCH_SIZE, 3)),
    ],
)
def test_given_settings_are_kept_for_many_points_too(training: dict[str, Any], expected: tuple[Any, ...]) -> None:
    found = Given(STANDARD, training).candidate(Architecture("sequential", (8,)), 0.001, count=20_000).training
    assert (found.optimizer, found.batch_size, found.epochs) == expected
    assert all(getattr(found, name) == value for name, value in training.items())


def test_batches_learn_many_points_with_several_classes() -> None:
    points = generate(DatasetSpec(dataset="gaussians", n=13_000, n_classes=3))
    choice = choose(points, Given(STANDARD, {"epochs": 2, "weight_decay": 0.0003}), threads=1)
    assert choice is not None
    assert [one["optimizer"] for one in choice.search["candidates"]] == ["lbfgs", "adam"]
    assert choice.search["candidates"][1]["accuracy"] > 0.9


def accuracy(points: LabelledPoints, network: NetworkSpec, training: TrainingSpec, held_out: LabelledPoints) -> float:
    """The accuracy on other points of a network with these settings."""
    recipe = Recipe(points, network, training)
    plan = plan_of(recipe.layout, arrays_of(build(network, points.features, len(points.classes), seed=training.seed)))
    run = CompiledRun(plan, recipe.scaling.inputs(points), None, training, order_seed=training.seed)
    while run.advance()[1] is None:
        pass
    logit_NO = numpy_forward.logits(replace(plan, parameters=run.weights), recipe.scaling.inputs(held_out).xy_ND)
    return Evaluation.of_logits(logit_NO, held_out.label_N).accuracy


@pytest.mark.slow
def test_useless_features_get_small_weights_and_the_accuracy_on_other_points_rises() -> None:
    kept, held_out = split(RING, fraction=0.5, seed=0)
    assert held_out is not None
    choice = chosen(kept)
    weight_D = np.array(choice.network.feature_weights)
    assert weight_D[:2].min() > 3 * weight_D[2:].max()
    assert np.square(weight_D).mean() == pytest.approx(1, rel=0.01)
    assert [float(f"{weight:.3g}") for weight in weight_D] == weight_D.tolist()
    alike = replace(choice.network, feature_weights=None)
    with_weights, without = (accuracy(kept, one, choice.training, held_out) for one in (choice.network, alike))
    assert with_weights > without + 0.1


@pytest.mark.slow
def test_features_are_weighted_again_as_long_as_the_loss_clearly_decreases() -> None:
    search = chosen(RING).search
    assert search is not None
    weighted = [one for one in search["candidates"] if "feature_weights" in one]
    losses = [one["loss"] for one in weighted]
    assert 2 < len(losses) <= 5
    assert losses[:-1] == sorted(losses[:-1], reverse=True)
    largest = [max(one["feature_weights"]) for one in weighted]
    assert largest == sorted(largest), "the relevance of the same two features grows"


@pytest.mark.slow
def test_the_last_candidates_repeat_the_best_hidden_layers_with_weighted_features() -> None:
    points = replace(RING, xy_ND=RING.xy_ND[:300, :3], label_N=RING.label_N[:300])
    choice = chosen(points)
    assert choice.search is not None
    candidates = choice.search["candidates"]
    are_weighted = ["feature_weights" in one for one in candidates]
    assert are_weighted == sorted(are_weighted)
    plain = [one for one in candidates if one["hidden"] and "feature_weights" not in one]
    best = min(plain, key=lambda one: one["loss"])
    for one in candidates[are_weighted.index(True) :]:
        assert len(one["feature_weights"]) == 3
        same = ("kind", "hidden", "activation", "optimizer", "weight_decay")
        assert [one[name] for name in same] == [best[name] for name in same]
    won = candidates[choice.search["winner"]].get("feature_weights")
    assert choice.network.feature_weights == (won and tuple(won))
    assert chosen(points, threads=3) == choice


@pytest.mark.parametrize(
    ("features", "network", "expected"),
    [
        (2, {}, [None]),
        (3, {"kind": "logistic"}, [None]),
        (3, {"inputs": ("x1", "x2", "x3")}, [None]),
        (3, {"feature_weights": (1.0, 2.0, 0.5)}, [[1.0, 2.0, 0.5]]),
    ],
)
def test_features_are_not_weighted_if_they_are_few_or_the_request_decides(
    features: int, network: dict[str, Any], expected: list[Any]
) -> None:
    points = replace(RING, xy_ND=RING.xy_ND[:60, :features], label_N=RING.label_N[:60])
    choice = choose(points, Given(STANDARD | network, {}), threads=1)
    assert choice is not None
    found = [one.get("feature_weights") for one in choice.search["candidates"]]
    assert [one for i, one in enumerate(found) if one not in found[:i]] == expected


def test_validation_points_take_no_part_in_the_search() -> None:
    kept, held_out = split(MOONS, fraction=0.25, seed=0)
    assert held_out is not None
    with_validation, without = chosen(validation_fraction=0.25), chosen(kept)
    assert with_validation.search == without.search
    assert with_validation.training.validation_fraction == 0.25


def test_the_temperature_of_the_winner_is_part_of_the_training() -> None:
    choice = chosen()
    assert choice.training.temperature == choice.search["candidates"][choice.search["winner"]]["temperature"]


def test_a_search_stops_when_asked_to() -> None:
    scores: list[Score] = []
    stopped = choose(
        MOONS, Given(STANDARD, {}), threads=1, should_stop=lambda: len(scores) >= 2, on_score=scores.append
    )
    assert stopped is None
    assert len(scores) == 2


@pytest.mark.parametrize(
    "points",
    [
        LabelledPoints(np.array([[0, 0], [1, 1], [0, 1], [1, 0]], np.float32), np.array([0, 0, 1, 1]), ("a", "b")),
        LabelledPoints(np.eye(30, dtype=np.float32), np.arange(30), tuple(range(30))),
    ],
    ids=["four points", "one point of each class"],
)
def test_too_few_points_are_trained_with_hidden_units_and_nothing_is_compared(points: LabelledPoints) -> None:
    choice = chosen(points)
    assert choice.search is not None
    assert choice.search["winner"] is None
    assert choice.cross_validation is None
    assert choice.network.widths
    Recipe(points, choice.network, choice.training)  # can be trained


def test_networks_that_cannot_be_trained_on_all_points_are_not_compared() -> None:
    validation = replace(MOONS, xy_ND=np.resize(MOONS.xy_ND, (100_000, 2)), label_N=np.resize(MOONS.label_N, 100_000))
    given = Given(STANDARD, {"restarts": 100, "epochs": 500})
    choice = choose(MOONS, given, validation=validation, threads=1)
    assert choice is not None
    assert {tuple(candidate["hidden"]) for candidate in choice.search["candidates"]} == {(), (16,)}
    assert (64,) in {tuple(candidate["hidden"]) for candidate in choose(MOONS, given, threads=1).search["candidates"]}
    Recipe(MOONS, choice.network, choice.training, validation)  # can be trained


def test_too_large_networks_are_not_compared() -> None:
    given = Given({**STANDARD, "hidden": [1024, 1024]}, {"epochs": 20, "optimizer": "lbfgs"})
    choice = choose(generate(DatasetSpec(n=20_000)), given, threads=1)
    assert choice is not None
    assert choice.search["candidates"] == []
    assert choice.network.widths == (1024, 1024)


@pytest.mark.parametrize(
    ("network", "training"),
    [({"hidden": [0]}, {}), ({}, {"weight_decay": -1}), ({}, {"epochs": 10**6, "restarts": 999})],
)
def test_given_settings_out_of_bounds_are_refused(network: dict[str, Any], training: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Given(network, training).default(generate(DatasetSpec(n=100_000)))


def test_weight_decays_are_tried_in_order() -> None:
    assert list(WEIGHT_DECAYS) == sorted(WEIGHT_DECAYS, reverse=True)


def test_a_cross_validation_evaluates_each_point_once() -> None:
    network, training = NetworkSpec(scale="standard"), TrainingSpec(epochs=200, validation_folds=4)
    evaluation = cross_validated(Recipe(MOONS, network, training), threads=2)
    assert evaluation is not None
    assert evaluation.points_K.tolist() == [60, 60]
    assert evaluation.accuracy > 0.8


def test_a_cross_validation_stops_when_asked_to() -> None:
    recipe = Recipe(MOONS, NetworkSpec(), TrainingSpec(epochs=10, validation_folds=4))
    assert cross_validated(recipe, threads=1, should_stop=lambda: True) is None


def test_a_given_temperature_is_kept() -> None:
    choice = chosen(temperature=2.5, weight_decay=0.01)
    assert choice.training.temperature == 2.5
    assert choice.search is not None
    assert {candidate["temperature"] for candidate in choice.search["candidates"]} == {2.5}


def test_a_cross_validation_divides_the_logits_by_the_given_temperature() -> None:
    sharp, flat = (
        cross_validated(
            Recipe(MOONS, NetworkSpec(), TrainingSpec(epochs=50, validation_folds=2, temperature=t)), threads=1
        )
        for t in (1.0, 50.0)
    )
    assert sharp is not None
    assert flat is not None
    assert flat.confusion_KK.tolist() == sharp.confusion_KK.tolist()
    assert flat.log_loss == pytest.approx(np.log(2), abs=0.05)
    assert sharp.log_loss < 0.6
