"""A network that was trained on scaled points answers for points in data units, on every path."""

from typing import Any

import numpy as np
import pytest
import torch

from models import specs
from models.datasets import LabelledPoints, from_rows
from models.inference import compiled, numpy_forward, scalar_codegen
from models.networks.layouts import layout
from models.networks.modules import arrays_of, build, load_arrays
from models.networks.plans import Plan, plan_of, state_of
from models.networks.scaling import Scaling
from models.networks.transforms import IDENTITY, Shift
from models.recipes import Recipe
from models.specs import NETWORK_KINDS, InvalidInput, NetworkKind, NetworkSpec, Scale, TrainingSpec

PLACES = {
    "measurements": ([5.8, 3.0], [0.8, 0.4]),
    "micrometres": ([2e-6, -3e-6], [5e-7, 1e-6]),
    "UTM metres": ([692_000.0, 5_334_000.0], [3.0, 2.0]),
    "beside a Unix time": ([0.5, 1_700_000_000.0], [0.2, 40.0]),
    "a constant": ([4.0, 7.0], [1.0, 0.0]),
}
"""Mean and deviation of two coordinates."""


def points_at(place: str) -> LabelledPoints:
    mean, deviation = PLACES[place]
    xy_N2 = np.random.default_rng(3).normal(mean, deviation, (300, 2))
    return from_rows(xy_N2.tolist(), [int(x > mean[0]) for x in xy_N2[:, 0]])


WEIGHTS = {"alike": None, "weighted": (0.3, 4.0)}
"""Weights of two features."""


def plans(
    kind: NetworkKind, points: LabelledPoints, weights: tuple[float, ...] | None = None
) -> tuple[Plan, Plan, Scaling]:
    """The plan of a network in training, and of the finished network."""
    spec = NetworkSpec(kind=kind, hidden=() if kind == "logistic" else (5,))
    shape, scaling = layout(spec, 2, 2), Scaling.standard(points).weighted(weights)
    rng = np.random.default_rng(4)
    state = {
        key: rng.normal(size=array.shape).astype(np.float32)
        for key, array in arrays_of(build(spec, 2, 2, seed=4)).items()
    }
    return plan_of(shape, state), plan_of(shape, scaling.in_data_units(shape, state), scaling.transform), scaling


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", NETWORK_KINDS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_finished_network_answers_as_the_one_in_training_does_for_scaled_points(
    kind: NetworkKind, place: str, weights: str
) -> None:
    points = points_at(place)
    trained, finished, scaling = plans(kind, points, WEIGHTS[weights])
    inputs_N2 = scaling.inputs(points).xy_ND
    expected_N1 = numpy_forward.logits(trained, inputs_N2)
    assert np.ptp(expected_N1) > 0.5
    np.testing.assert_allclose(numpy_forward.logits(finished, points.xy_ND), expected_N1, atol=2e-3)
    np.testing.assert_allclose(
        compiled.probabilities(finished, points.xy_ND), numpy_forward.probabilities(expected_N1), atol=1e-3
    )
    answer = scalar_codegen.function(finished)
    assert answer is not None
    one_by_one_NK = [answer(*point) for point in points.xy_ND.tolist()]
    np.testing.assert_allclose(one_by_one_NK, numpy_forward.probabilities(expected_N1), atol=1e-3)


@pytest.mark.parametrize("place", PLACES)
def test_scaled_coordinates_have_mean_0_and_deviation_1_unless_they_are_constant(place: str) -> None:
    points = points_at(place)
    inputs_N2 = Scaling.standard(points).inputs(points).xy_ND
    assert inputs_N2.dtype == np.float32
    np.testing.assert_allclose(inputs_N2.mean(axis=0), 0, atol=1e-5)
    expected = [1, 0] if place == "a constant" else [1, 1]
    np.testing.assert_allclose(inputs_N2.std(axis=0), expected, atol=1e-5)


def test_only_coordinates_far_from_zero_have_an_offset_and_need_double_precision() -> None:
    for place in ("measurements", "micrometres", "a constant"):
        points = points_at(place)
        assert points.xy_ND.dtype == np.float32
        assert Scaling.standard(points).transform == IDENTITY
    for place, has_offset in (("UTM metres", (True, True)), ("beside a Unix time", (False, True))):
        points = points_at(place)
        assert points.xy_ND.dtype == np.float64
        transform = Scaling.standard(points).transform
        assert isinstance(transform, Shift)
        assert tuple(offset != 0 for offset in transform.offset) == has_offset


@pytest.mark.parametrize("scale", ["standard", "none"])
def test_feature_weights_multiply_the_scaled_coordinates_during_the_training(scale: Scale) -> None:
    points, weights = points_at("UTM metres"), (0.25, 2.0)
    weighted, alike = (
        Recipe(points, NetworkSpec(scale=scale, feature_weights=given), TrainingSpec()).scaling
        for given in (weights, None)
    )
    expected_N2 = alike.inputs(points).xy_ND * np.array(weights, np.float32)
    np.testing.assert_array_equal(weighted.inputs(points).xy_ND, expected_N2)
    assert weighted.transform == alike.transform


def test_feature_weights_change_the_digest_of_a_recipe_and_their_absence_does_not() -> None:
    points = from_rows([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]], ["a", "b", "b"])
    recipe = Recipe(points, NetworkSpec(), TrainingSpec())
    assert recipe.digest == "bc9b15a18282cfaa0fd51fa5da71bb006168814cd4a8453f512d7cda1bdddef8"
    assert "feature_weights" not in specs.asdict(recipe.network)
    given = ((1, 1), (1.0, 1.0), (1, 2))
    weighted = [Recipe(points, NetworkSpec(feature_weights=one), TrainingSpec()) for one in given]
    assert len({one.digest for one in (recipe, *weighted)}) == 3


@pytest.mark.parametrize(
    ("network", "field"),
    [
        ({"feature_weights": (1.0,)}, "network.feature_weights"),
        ({"feature_weights": (1.0, 1.0, 1.0)}, "network.feature_weights"),
        ({"feature_weights": ()}, "network.feature_weights"),
        ({"feature_weights": (1.0, -1.0)}, "network.feature_weights.1"),
        ({"feature_weights": (0.0, 1.0)}, "network.feature_weights.0"),
        ({"feature_weights": (1.0, float("nan"))}, "network.feature_weights.1"),
        ({"feature_weights": (1.0, 1001.0)}, "network.feature_weights.1"),
        ({"feature_weights": (1.0, 2.0), "inputs": ("x", "y")}, "network.feature_weights"),
    ],
)
def test_feature_weights_of_a_wrong_number_or_out_of_bounds_are_refused(network: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Recipe(points_at("measurements"), NetworkSpec(**network), TrainingSpec())
    assert refused.value.field == field


def test_without_scaling_no_weight_changes() -> None:
    spec = NetworkSpec(hidden=(3,))
    state = arrays_of(build(spec, 2, 2, seed=0))
    unscaled = Scaling.none(2).in_data_units(layout(spec, 2, 2), state)
    assert all(unscaled[key].tobytes() == array.tobytes() for key, array in state.items())


def test_only_points_that_are_not_held_out_decide_the_scale() -> None:
    points = points_at("measurements")
    recipe = Recipe(points, NetworkSpec(scale="standard"), TrainingSpec(validation_fraction=0.3))
    whole = Recipe(points, NetworkSpec(scale="standard"), TrainingSpec())
    assert not np.array_equal(recipe.scaling.mean_D, whole.scaling.mean_D)
    assert Recipe(points, NetworkSpec(), TrainingSpec()).scaling.mean_D.tolist() == [0, 0]


def test_a_plain_torch_script_subtracts_the_offset_and_gives_the_same_answers() -> None:
    points = points_at("UTM metres")
    _, finished, scaling = plans("sequential", points)
    spec = NetworkSpec(hidden=(5,))
    net = build(spec, 2, 2, seed=4)
    load_arrays(net, state_of(layout(spec, 2, 2), finished))
    xy_N2 = torch.tensor(points.xy_ND, dtype=torch.float64)
    with torch.no_grad():
        logit_N1 = net((xy_N2 - torch.tensor(scaling.offset_D)).float()).numpy()
    np.testing.assert_allclose(logit_N1, numpy_forward.logits(finished, points.xy_ND), atol=1e-5)
