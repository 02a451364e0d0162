"""The kernel's predictions and grids are those of torch and NumPy."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from models.inference import compiled, numpy_forward
from models.kernel import inference
from models.networks.modules import build
from models.networks.plans import Plan
from models.specs import InvalidInput, NetworkKind, NetworkSpec, TrainingSpec
from models.training.train import train
from tests.models.kernel.samples import FLOWER, NETWORKS, plan_of_network, random_network


def assert_predicts_as_torch(network: nn.Module, plan: Plan, xy_ND: np.ndarray) -> None:
    """Within a millionth of the exact result, closer to it than torch's own float32, or within the rounding of logits.

    A logit is a sum of about eight terms, each rounded to 2^-24 of its size. Probabilities change at most half as much.
    """

    def by_torch(network: nn.Module, xy_ND: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            logit_NO = network(xy_ND)
        two_NK = torch.cat([torch.sigmoid(-logit_NO), torch.sigmoid(logit_NO)], dim=1)
        prob_NK = torch.softmax(logit_NO, dim=1) if logit_NO.shape[1] > 1 else two_NK
        return logit_NO.numpy(), prob_NK.numpy()

    _, theirs_NK = by_torch(network, torch.from_numpy(xy_ND))
    logit_NO, exact_NK = by_torch(network.double(), torch.from_numpy(xy_ND).double())
    ours_NK = compiled.probabilities(plan, xy_ND)
    assert ours_NK.dtype == np.float32
    rounding = 2**-22 * np.abs(logit_NO).max()
    assert np.abs(ours_NK - exact_NK).max() <= max(1e-6, rounding, np.abs(theirs_NK - exact_NK).max())
    np.testing.assert_allclose(ours_NK.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.slow
@settings(max_examples=100)
@given(**NETWORKS, count=st.integers(1, 60))
@example(
    kind="sequential", hidden=[6, 7, 8, 8], activation="identity", features=3, classes=3, seed=586254, count=4
)  # logits of 12, on which torch happens to be exact to 1e-7
def test_predictions_are_as_exact_as_those_of_torch(count: int, **of: Any) -> None:
    network, plan = random_network(**of)
    xy_ND = np.random.default_rng(of["seed"]).normal(0, 1, (count, of["features"])).astype(np.float32)
    assert_predicts_as_torch(network, plan, xy_ND)


def test_predictions_of_the_trained_tutorial_network_are_as_exact_as_those_of_torch() -> None:
    network = build(NetworkSpec(), 2, 2, seed=0)
    train(network, FLOWER, TrainingSpec())
    xy_N2 = np.random.default_rng(0).uniform(-5, 5, (100_000, 2)).astype(np.float32)
    assert_predicts_as_torch(network, plan_of_network(network), xy_N2)


@pytest.mark.parametrize("kind", ["logistic", "sequential", "residual"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("response", ["probability", "logit", "label", "entropy"])
def test_a_grid_of_the_kernel_is_the_grid_of_numpy(kind: NetworkKind, classes: int, response: Any) -> None:
    spec = NetworkSpec(kind=kind, hidden=None if kind == "logistic" else (6, 5))
    plan = plan_of_network(build(spec, 2, classes, seed=2))
    x_W, y_H = np.linspace(-3, 4, 4_500), np.linspace(-2, 5, 9)
    mesh = np.stack(np.meshgrid(x_W, y_H), axis=-1).reshape(-1, 2).astype(np.float32)
    logit_NO = numpy_forward.logits(plan, mesh)
    for k in range(classes):
        got = compiled.responses(plan, x_W, y_H, response=response, class_index=k).ravel()
        if response == "label":
            assert got.dtype == np.int64
            assert (got != numpy_forward.probabilities(logit_NO).argmax(axis=1)).mean() < 1e-4
        elif response == "probability":
            np.testing.assert_allclose(got, numpy_forward.probabilities(logit_NO)[:, k], atol=1e-6)
        elif response == "entropy":
            np.testing.assert_allclose(got, numpy_forward.entropy(logit_NO), atol=1e-6)
        else:
            expected = logit_NO[:, k] if classes == 3 else logit_NO[:, 0] * (1 if k else -1)
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)

    every_OHW = compiled.outputs(plan, x_W, y_H)
    np.testing.assert_allclose(every_OHW.reshape(len(every_OHW), -1).T, logit_NO, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("size", [1e-3, 1.0, 20.0, 200.0, 3e38])
def test_the_entropy_of_numpy_and_of_the_kernel_is_that_of_float64(classes: int, size: float) -> None:
    rng = np.random.default_rng(classes)
    outputs = 1 if classes == 2 else classes
    weight_O1 = (rng.uniform(-1, 1, (outputs, 1)) * size).astype(np.float32)
    parameters = np.column_stack([weight_O1, np.zeros((outputs, 2), np.float32)]).ravel().astype(np.float32)
    x_W = np.linspace(-1, 1, 1_001)
    linear = Plan((2, outputs), ("identity",), has_skip=False, parameters=parameters)
    logit_NO = numpy_forward.logits(linear, np.column_stack([x_W, 0 * x_W]).astype(np.float32))
    exact_NO = logit_NO.astype(np.longdouble)
    if outputs == 1:
        exact_NO = np.column_stack([0 * exact_NO, exact_NO])
    below_NK = exact_NO - exact_NO.max(axis=1, keepdims=True)
    prob_NK = np.exp(below_NK)
    log_sum_N = np.log1p(np.sort(prob_NK, axis=1)[:, :-1].sum(axis=1))  # without the greatest, which is 1
    prob_NK /= prob_NK.sum(axis=1, keepdims=True)
    mean_N = np.where(prob_NK > 0, prob_NK * below_NK, 0).sum(axis=1)
    expected = ((log_sum_N - mean_N) / np.log(np.longdouble(2))).astype(float)
    by_numpy = numpy_forward.entropy(logit_NO)
    by_kernel = compiled.responses(linear, x_W, np.zeros(1), response="entropy", class_index=0)[0]
    for got in (by_numpy, by_kernel):
        assert got.dtype == np.float32
        assert got.min() >= 0
        np.testing.assert_allclose(got, expected, rtol=0 if outputs > 1 else 1e-6, atol=1e-6 if outputs > 1 else 1e-30)


def test_points_that_can_and_cannot_be_written_need_the_same_machine_code() -> None:
    plan = plan_of_network(build(NetworkSpec(), 2, 2, seed=0))
    read_only = FLOWER.xy_ND.copy()
    read_only.flags.writeable = False
    for points_ND in (FLOWER.xy_ND, read_only):
        compiled.probabilities(plan, points_ND)
    assert len(inference.probabilities.signatures) == 1


def test_points_whose_output_overflows_float32_are_refused() -> None:
    steep = Plan((2, 1), ("identity",), has_skip=False, parameters=np.array([1e30, 0, 0], np.float32))
    with pytest.raises(InvalidInput):
        compiled.probabilities(steep, np.full((3, 2), 1e30, np.float32))
    with pytest.raises(InvalidInput):
        compiled.responses(steep, np.array([0, 1e30]), np.array([0.0]), response="logit", class_index=1)
