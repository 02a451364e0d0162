import numpy as np
import pytest
import torch
from torch import nn

from models.boundary import embeddings, grids, slices
from models.checkpoints.cards import Card
from models.inference import numpy_forward
from models.networks.layouts import layout
from models.networks.modules import build
from models.networks.plans import Plan, plan_of
from models.specs import ACTIVATIONS, Activation, GridSpec, InvalidInput, NetworkKind, NetworkSpec
from tests.models.checkpoints.test_checkpoints import card_for

POINTS = np.random.default_rng(5).normal(0, 2, (200, 5)).astype(np.float32)


def network_and_plan(kind: NetworkKind, activation: Activation = "tanh", features: int = 5) -> tuple[nn.Module, Plan]:
    hidden = {"logistic": (), "two_layer": (6,)}.get(kind, (6, 4))
    spec = NetworkSpec(kind=kind, hidden=hidden, activation=activation)
    network = build(spec, features, 3, seed=9)
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    return network, plan_of(layout(spec, features, 3), state)


@pytest.mark.parametrize("kind", ["logistic", "two_layer", "residual"])
@pytest.mark.parametrize("axes", [(0, 1), (4, 2), (3,), (2, 0, 1, 4, 3)])
def test_a_slice_equals_the_network_with_the_other_features_fixed(kind: NetworkKind, axes: tuple[int, ...]) -> None:
    network, plan = network_and_plan(kind)
    others = [d for d in range(5) if d not in axes]
    at = np.linspace(-2, 3, len(others)).tolist()
    sliced = slices.sliced(plan, axes, at)
    assert sliced.features == len(axes)
    whole_N5 = POINTS.copy()
    whole_N5[:, others] = at
    with torch.no_grad():
        expected = network.double()(torch.from_numpy(whole_N5).double()).numpy()
    np.testing.assert_allclose(numpy_forward.logits(sliced, whole_N5[:, list(axes)]), expected, atol=1e-5)


def test_a_slice_along_all_features_in_order_is_the_plan_itself() -> None:
    _, plan = network_and_plan("residual")
    assert slices.sliced(plan, (0, 1, 2, 3, 4), ()) is plan


def test_an_added_unused_feature_does_not_change_the_outputs() -> None:
    _, plan = network_and_plan("residual", features=1)
    wide = slices.with_unused_feature(plan)
    both_N2 = POINTS[:, :2]
    np.testing.assert_array_equal(numpy_forward.logits(wide, both_N2), numpy_forward.logits(plan, both_N2[:, :1]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_plans_up_to_a_hidden_layer_or_unit_output_its_activations(activation: Activation) -> None:
    _, plan = network_and_plan("residual", activation)
    assert slices.hidden_widths(plan) == (6, 4)
    first, second = slices.hidden(plan, 0), slices.hidden(plan, 1)
    assert (first.widths, second.widths) == ((5, 6), (5, 6, 4))
    assert not second.has_skip
    activation_NU = numpy_forward.logits(second, POINTS)
    on_top = plan.layers[2].weight_OI @ activation_NU.T + plan.layers[2].bias_O1
    assert plan.skip
    beside = plan.skip.weight_OI @ POINTS.T + plan.skip.bias_O1
    np.testing.assert_allclose((on_top + beside).T, numpy_forward.logits(plan, POINTS), atol=1e-5)
    for index in range(4):
        of_unit = numpy_forward.logits(slices.unit(plan, 1, index), POINTS)[:, 0]
        np.testing.assert_allclose(of_unit, activation_NU[:, index], atol=1e-6)


def test_a_card_without_medians_uses_the_middle_of_the_range_instead() -> None:
    old = card_for(NetworkSpec())
    assert old.median == ()
    assert old.middle == tuple((low + high) / 2 for low, high in zip(old.low, old.high, strict=True))
    new = Card(**{**vars(old), "median": (0.5, -1.5)})
    assert Card.from_json(new.to_json()) == new
    assert new.middle == (0.5, -1.5)


def test_the_components_of_a_constant_layer_explain_no_variance() -> None:
    plan = Plan((2, 3, 1), ("relu", "identity"), False, np.r_[np.zeros(8), -1, np.zeros(4)].astype(np.float32))
    spec = GridSpec(x_min=-1, x_max=1, y_min=-1, y_max=1, width=5, height=4)
    hidden = embeddings.embed(plan, spec, 0, "principal")
    assert hidden.explained_2 is not None
    assert hidden.explained_2.tolist() == [0, 0]
    assert not hidden.values_HW2.any()


def test_a_curve_needs_a_network_of_one_feature() -> None:
    _, plan = network_and_plan("two_layer")
    with pytest.raises(InvalidInput, match="1 features"):
        grids.evaluate(plan, GridSpec(x_min=0, x_max=1, width=3), response="label", class_index=0)


def test_the_distance_from_a_plane_is_the_root_mean_square_in_standard_deviations() -> None:
    points = np.random.default_rng(5).normal(3, 7, (50, 4)) * [1, 1e-6, 1e6, 10]
    points[:, 3] = 4.0
    at = (0.5, 4.5)
    deviation = points[:, 1].std()
    expected = [(((x[1] - 0.5) / deviation) ** 2 / 2 + (4.0 - 4.5) ** 2 / 2) ** 0.5 for x in points]
    np.testing.assert_allclose(slices.distances(points, (2, 0), at), expected)
    assert (slices.distances(points, (2, 0, 1, 3), ()) == 0).all()


def test_a_typical_point_is_at_a_distance_of_about_1_however_many_features_there_are() -> None:
    for features in (3, 10, 100):
        points = np.random.default_rng(6).normal(0, 5, (2_000, features)).astype(np.float32)
        at = np.median(points, axis=0)[2:].tolist()
        assert np.median(slices.distances(points, (0, 1), at)) == pytest.approx(1, abs=0.35)
