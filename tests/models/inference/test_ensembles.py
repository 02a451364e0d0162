"""Ensembles: compared with the naive mean of the networks' probabilities, by numpy and by torch."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.boundary import contours, grids, slices
from models.datasets import generate
from models.inference import dispatch, numpy_forward, scalar_codegen
from models.networks.layouts import layout
from models.networks.modules import Ensemble, arrays_of, build
from models.networks.plans import EnsemblePlan, plan_of
from models.specs import DatasetSpec, GridSpec, InvalidInput, NetworkSpec
from models.training.evaluation import Evaluation

SPEC = NetworkSpec(kind="residual", hidden=(5,))
XY = np.random.default_rng(3).normal(0, 3, (500, 2))
GRID = GridSpec(x_min=-4, x_max=4, y_min=-3, y_max=3, width=31, height=23)


def ensemble_of(classes: int, members: int = 3, features: int = 2, scale: float = 4.0) -> tuple[EnsemblePlan, Ensemble]:
    """An ensemble of networks with large random weights, as a plan and in torch."""
    networks = [build(SPEC, features, classes, seed=seed) for seed in range(members)]
    with torch.no_grad():
        for network in networks:
            for parameter in network.parameters():
                parameter.mul_(scale)
    known = layout(SPEC, features, classes)
    plan = EnsemblePlan(tuple(plan_of(known, arrays_of(network)) for network in networks))
    return plan, Ensemble(networks, plan.outputs)


def probabilities_of(members: nn.Module, xy_ND: Any) -> Any:
    """The probabilities of each network in double precision, (M, N, K), one network after the other."""
    found = []
    for network in members.members:  # type: ignore[union-attr]
        with torch.no_grad():
            logit_NO = network(torch.tensor(xy_ND, dtype=torch.float32)).double()
        if logit_NO.shape[1] == 1:
            logit_NO = torch.cat([torch.zeros_like(logit_NO), logit_NO], dim=1)
        found.append(logit_NO.softmax(1).numpy())
    return np.stack(found)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_answer_is_the_mean_of_the_probabilities_and_the_spread_their_deviation(classes: int) -> None:
    plan, module = ensemble_of(classes)
    prob_MNK = probabilities_of(module, XY)
    np.testing.assert_allclose(dispatch.probabilities(plan, XY), prob_MNK.mean(axis=0), rtol=2e-4, atol=1e-7)
    np.testing.assert_allclose(dispatch.spread(plan, XY), prob_MNK.std(axis=0), rtol=1e-4, atol=1e-6)
    assert dispatch.spread(plan, XY).max() > 0.2
    label_N = prob_MNK.mean(axis=0).argmax(axis=1)
    evaluation = Evaluation.of_logits(dispatch.logits(plan, XY), label_N)
    assert evaluation.accuracy == 1
    expected = -np.log(prob_MNK.mean(axis=0)[np.arange(len(label_N)), label_N]).mean()
    assert evaluation.log_loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("classes", [2, 4])
def test_logits_are_those_of_the_module_and_stay_finite_far_away(classes: int) -> None:
    plan, module = ensemble_of(classes)
    xy_ND = np.concatenate([XY, 1e4 * XY])
    with torch.no_grad():
        expected = module.double()(torch.tensor(xy_ND.astype(np.float32), dtype=torch.float64)).numpy()
    logit_NO = dispatch.logits(plan, xy_ND)
    assert np.isfinite(logit_NO).all()
    np.testing.assert_allclose(logit_NO, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(logit_NO).max() > 1_000


def test_many_points_are_evaluated_in_blocks() -> None:
    plan, _ = ensemble_of(2)
    many = np.tile(XY, (80, 1))
    np.testing.assert_array_equal(dispatch.logits(plan, many), np.tile(dispatch.logits(plan, XY), (80, 1)))


@pytest.mark.parametrize("response", ["probability", "label", "logit", "entropy", "spread"])
def test_grids_have_the_answers_of_points(response: Any) -> None:
    plan, _ = ensemble_of(3)
    grid, outputs = grids.evaluate_with_outputs(plan, GRID, response=response, class_index=2)
    assert grid.y_H is not None
    xy_ND = np.stack(np.meshgrid(grid.x_W, grid.y_H), axis=-1).reshape(-1, 2)
    logit_NO = dispatch.logits(plan, xy_ND)
    prob_NK = numpy_forward.probabilities(logit_NO)
    expected = {
        "probability": prob_NK[:, 2],
        "label": prob_NK.argmax(axis=1),
        "logit": logit_NO[:, 2],
        "entropy": numpy_forward.entropy(logit_NO),
        "spread": dispatch.spread(plan, xy_ND)[:, 2],
    }[response]
    np.testing.assert_allclose(grid.values_HW.ravel(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs.values_OHW.reshape(3, -1).T, logit_NO, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(
        grids.evaluate(plan, GRID, response=response, class_index=2).values_HW, grid.values_HW
    )


def test_lines_run_where_the_mean_probability_is_a_half() -> None:
    plan, module = ensemble_of(2, scale=2.0)
    fine = GridSpec(x_min=-4, x_max=4, y_min=-3, y_max=3, width=201, height=151)
    lines = contours.between_classes(grids.outputs(plan, fine))
    xy_V2 = np.concatenate([line.xy_V2 for line in lines])
    assert len(xy_V2) > 20
    assert np.abs(probabilities_of(module, xy_V2).mean(axis=0)[:, 1] - 0.5).max() < 0.05


def test_a_slice_of_an_ensemble_is_the_ensemble_of_the_slices() -> None:
    plan, _ = ensemble_of(2, features=4)
    sliced = slices.sliced(plan, (3, 1), (0.5, -1.0))
    x_N, y_N = XY.T
    whole = np.column_stack([np.full(500, 0.5), y_N, np.full(500, -1.0), x_N])
    np.testing.assert_allclose(dispatch.logits(sliced, XY), dispatch.logits(plan, whole), rtol=1e-4, atol=1e-4)


def test_no_code_is_generated_for_an_ensemble_and_wrong_points_are_refused() -> None:
    plan, _ = ensemble_of(2)
    assert scalar_codegen.function(plan) is None
    with pytest.raises(InvalidInput, match="must have 2 coordinates each"):
        dispatch.logits(plan, np.zeros((3, 1)))
    with pytest.raises(InvalidInput, match="overflows float32"):
        dispatch.logits(plan, np.full((3, 2), 3e38))


def test_an_ensemble_of_equal_networks_answers_as_one_of_them() -> None:
    plan, _ = ensemble_of(2)
    one = plan.members[0]
    points = generate(DatasetSpec()).xy_ND
    same = EnsemblePlan((one, one, one))
    np.testing.assert_allclose(dispatch.logits(same, points), dispatch.logits(one, points), rtol=1e-6, atol=1e-6)
    assert dispatch.spread(same, points).max() < 1e-15
