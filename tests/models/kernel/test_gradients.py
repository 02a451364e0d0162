"""The kernel's gradients are those of torch's autograd."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import nn

from models.datasets import LabelledPoints
from models.kernel.structures import BLAS_FROM
from models.networks.modules import build, layout_of
from models.networks.plans import Plan, state_of
from models.specs import Activation, NetworkSpec, TrainingSpec
from models.training.compiled_run import CompiledRun
from tests.models.kernel.samples import FLOWER, NETWORKS, plan_of_network, random_network, random_points


def one_step(plan: Plan, points: LabelledPoints) -> np.ndarray:
    """The parameters after one epoch of SGD with a learning rate of 1: the old ones less the gradient."""
    run = CompiledRun(plan, points, None, TrainingSpec(epochs=1, learning_rate=1.0), order_seed=0)
    run.advance()
    return run.weights


def loss_of(logit_NO: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
    if logit_NO.shape[1] == 1:
        return nn.functional.binary_cross_entropy_with_logits(logit_NO[:, 0], label_N.to(logit_NO.dtype))
    return nn.functional.cross_entropy(logit_NO, label_N)


def sizes_of_terms(network: nn.Module, points: LabelledPoints) -> dict[str, float]:
    """For each parameter, the largest mean of the points' absolute derivatives.

    A derivative is the mean of the points' derivatives, and its rounding errors are relative to their sizes: where they
    cancel, as those of biases do, torch's own float32 gradient differs by more than 1e-5 of the result.
    """
    x_ND, label_N = torch.from_numpy(points.xy_ND).double(), torch.from_numpy(points.label_N)

    def loss(parameters: dict[str, torch.Tensor], x_D: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return loss_of(torch.func.functional_call(network, parameters, (x_D[None],)), label[None])

    parameters = {key: value.detach() for key, value in network.named_parameters()}
    of_each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(parameters, x_ND, label_N)
    return {key: float(value.abs().mean(0).max()) for key, value in of_each.items()}


def gradients_of(
    network: nn.Module,
    parameters: dict[str, torch.Tensor],
    points: tuple[torch.Tensor, torch.Tensor],
    error_of_probabilities: float = 0.0,
) -> dict[str, np.ndarray]:
    """The gradient of the mean loss, by torch's autograd, when every probability less its label is wrong by so much."""
    x_ND, label_N = points

    def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        logit_NO: torch.Tensor = torch.func.functional_call(network, parameters, (x_ND,))
        return loss_of(logit_NO, label_N) + error_of_probabilities * logit_NO.sum(1).mean()

    return {key: value.numpy() for key, value in torch.func.grad(loss)(parameters).items()}


def effects_of_rounding(
    network: nn.Module, parameters: dict[str, torch.Tensor], points: tuple[torch.Tensor, torch.Tensor]
) -> dict[str, float]:
    """For each parameter, how much its gradient changes by rounding errors of float32.

    Parameters, coordinates and probabilities change by up to 4 units in the last place. An error in a hidden value is
    multiplied by the weights that follow, and a probability near 1 has few digits left after the label is subtracted:
    there torch's own float32 gradient is wrong by more than 1e-5 of the terms of a derivative.
    """
    x_ND, label_N = points
    exact = gradients_of(network, parameters, points)
    generator = torch.Generator().manual_seed(0)
    most = 4 * torch.finfo(torch.float32).eps

    def rounded(value: torch.Tensor) -> torch.Tensor:
        return value * (1 + most * (2 * torch.rand(value.shape, generator=generator, dtype=value.dtype) - 1))

    effects = dict.fromkeys(exact, 0.0)
    for of_probabilities in (most, -most) * 4:
        near = {key: rounded(value) for key, value in parameters.items()}
        for key, value in gradients_of(network, near, (rounded(x_ND), label_N), of_probabilities).items():
            effects[key] = max(effects[key], float(np.abs(value - exact[key]).max()))
    return effects


def assert_same_gradient(network: nn.Module, points: LabelledPoints) -> None:
    """Compares with autograd in float64, relative to the rounding errors that float32 allows."""
    layout = layout_of(network)
    assert layout is not None
    before = plan_of_network(network)
    after = one_step(before, points)
    exact = network.double()
    parameters = {key: value.detach() for key, value in exact.named_parameters()}
    tensors = torch.from_numpy(points.xy_ND).double(), torch.from_numpy(points.label_N)
    gradients = gradients_of(exact, parameters, tensors)
    sizes, effects = sizes_of_terms(exact, points), effects_of_rounding(exact, parameters, tensors)
    for key, moved in state_of(layout, replace(before, parameters=after)).items():
        start = state_of(layout, before)[key]
        got = start.astype(float) - moved
        scale = max(sizes[key], np.abs(start).max() * 1e-2, 1e-3)
        np.testing.assert_allclose(got, gradients[key], atol=1e-5 * scale + effects[key], err_msg=key)


@pytest.mark.slow
@settings(max_examples=150)
@example(kind="sequential", hidden=[2, 8, 8], activation="identity", features=2, classes=2, seed=3, count=3)
@example(kind="residual", hidden=[2, 1], activation="relu", features=4, classes=2, seed=3, count=1)
@given(**NETWORKS, count=st.integers(1, 80))
def test_the_gradient_of_any_dense_network_is_that_of_autograd(count: int, **of: Any) -> None:
    network, _ = random_network(**of)
    points = random_points(count, of["features"], of["classes"], of["seed"])
    with torch.no_grad():
        assume(loss_of(network(torch.from_numpy(points.xy_ND)), torch.from_numpy(points.label_N)) < 30)
    assert_same_gradient(network, points)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu"])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_gradient_of_wide_layers_and_several_blocks_of_points_is_that_of_autograd(
    activation: Activation, classes: int
) -> None:
    wide = NetworkSpec(hidden=(40, 33, 5), activation=activation)
    assert BLAS_FROM <= 40 * 33
    points = random_points(6_001, 3, classes, 7)
    assert_same_gradient(build(wide, 3, classes, seed=1), points)
    residual = NetworkSpec(kind="residual", hidden=(40, 40), activation=activation)
    assert_same_gradient(build(residual, 3, classes, seed=1), points)


@pytest.mark.slow
@pytest.mark.parametrize(
    "chain",
    [
        [nn.Linear(2, 5), nn.Linear(5, 3), nn.Sigmoid(), nn.Linear(3, 1), nn.Tanh()],
        [nn.Linear(2, 6), nn.SiLU(), nn.Linear(6, 6), nn.ELU(), nn.Linear(6, 1)],
    ],
    ids=["an activation after the last layer and none after the first", "two different activations"],
)
def test_the_gradient_of_a_plain_sequential_network_is_that_of_autograd(chain: list[nn.Module]) -> None:
    torch.manual_seed(3)
    for layer in chain:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight)
    assert_same_gradient(nn.Sequential(*chain), FLOWER)
