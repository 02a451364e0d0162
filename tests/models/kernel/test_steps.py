"""Steps and epochs of the kernel: their order, NaNs, and reproducibility."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from models.networks.layouts import layout
from models.networks.modules import build
from models.networks.plans import Plan
from models.specs import ACTIVATIONS, Activation, NetworkSpec, TrainingSpec
from models.training.compiled_run import CompiledRun
from models.training.train import train
from tests.models.kernel.samples import FLOWER, plan_of_network


@pytest.mark.parametrize("batch_size", [None, 64, 500])
def test_many_steps_in_one_call_give_the_same_weights_as_single_steps(batch_size: int | None) -> None:
    plan = plan_of_network(build(NetworkSpec(), 2, 2, seed=0))
    spec = TrainingSpec(epochs=500, batch_size=batch_size, learning_rate=0.1)
    run = CompiledRun(plan, FLOWER, None, spec, order_seed=4)
    completed = []
    stop_reason = None
    while stop_reason is None:
        epochs, stop_reason = run.advance()
        completed.append(len(epochs) if epochs else 0)
    assert sum(completed) == 500
    assert max(completed) > 20
    step_by_step, stop_reason = CompiledRun(plan, FLOWER, None, spec, order_seed=4), None
    while stop_reason is None:
        step_by_step._steps = 1
        _, stop_reason = step_by_step.advance()
    assert run.weights.tobytes() == step_by_step.weights.tobytes()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_nan_weight_reaches_the_loss_through_every_activation(activation: Activation) -> None:
    spec = NetworkSpec(hidden=(3, 3), activation=activation)
    network = build(spec, 2, 2, seed=0)
    with torch.no_grad():
        next(network.parameters())[0, 0] = float("nan")
    parts = [np.column_stack([*arrays]) for arrays in zip(*[iter(map(_rows, network.parameters()))] * 2, strict=True)]
    broken = Plan((2, 3, 3, 1), (activation, activation, "identity"), False, np.concatenate([p.ravel() for p in parts]))
    assert len(broken.parameters) == layout(spec, 2, 2).weights
    _, stop_reason = CompiledRun(broken, FLOWER, None, TrainingSpec(epochs=3), order_seed=0).advance()
    assert stop_reason == "diverged"


def _rows(parameter: nn.Parameter) -> np.ndarray:
    return parameter.detach().numpy().reshape(len(parameter), -1)


@pytest.mark.slow
def test_equal_recipes_give_equal_bits_while_other_trainings_run() -> None:
    spec = TrainingSpec(epochs=400, batch_size=150, validation_fraction=0.2, seed=3)

    networks = [build(NetworkSpec(hidden=(40, 40)), 2, 2, seed=3) for _ in range(7)]

    def run(network: nn.Module) -> bytes:
        train(network, FLOWER, spec)
        return b"".join(value.numpy().tobytes() for value in network.state_dict().values())

    alone = run(networks.pop())
    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(run, networks)) == {alone}
