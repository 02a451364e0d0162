from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.datasets import LabelledPoints, from_rows, generate, split
from models.networks.modules import build
from models.specs import (
    DatasetSpec,
    ImplementationChoice,
    InvalidInput,
    NetworkKind,
    NetworkSpec,
    Optimizer,
    TrainingSpec,
    asdict,
    resolve_training,
)
from models.training.runs import Epoch, Epochs
from models.training.train import train

FLOWER = generate(DatasetSpec())


@pytest.fixture(params=["compiled", "torch"])
def implementation(request: pytest.FixtureRequest) -> ImplementationChoice:
    """All tests of this file run with both implementations."""
    choice: ImplementationChoice = request.param
    return choice


class Seen:
    """Records the epochs that a training reports."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []

    def __call__(self, epochs: Epochs) -> None:
        assert len(epochs) > 0
        for i in range(len(epochs)):
            validation = [
                None if column is None else float(column[i])
                for column in (epochs.validation_loss_E, epochs.validation_accuracy_E)
            ]
            number = epochs.first + i
            self.epochs.append(Epoch(number, float(epochs.loss_E[i]), float(epochs.accuracy_E[i]), *validation))
        assert epochs.last == self.epochs[-1]


def losses_of(network: nn.Module, points: LabelledPoints, spec: TrainingSpec) -> list[float]:
    seen = Seen()
    train(network, points, spec, on_epochs=seen)
    assert [epoch.number for epoch in seen.epochs] == list(range(1, len(seen.epochs) + 1))
    return [epoch.loss for epoch in seen.epochs]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["logistic", "two_layer", "sequential", "module"])
def test_the_losses_are_those_of_the_tutorials_own_loop(
    kind: NetworkKind, implementation: ImplementationChoice
) -> None:
    ours = build(NetworkSpec(kind=kind), 2, 2, seed=3)
    start = {key: value.clone() for key, value in ours.state_dict().items()}
    rate = 0.1 if kind == "logistic" else 1.0
    epochs = 100 if kind == "logistic" else 400

    x = torch.from_numpy(FLOWER.xy_ND)
    y = torch.from_numpy(FLOWER.label_N).float().reshape(-1, 1)
    parameters = [nn.Parameter(value) for value in start.values()]

    def network(x: torch.Tensor) -> torch.Tensor:
        if kind == "logistic":
            w, b = parameters
            return torch.mm(x, w) + b
        w1, b1, w2, b2 = parameters
        if kind == "two_layer":
            return torch.mm(torch.tanh(torch.mm(x, w1) + b1), w2) + b2
        return nn.functional.linear(torch.tanh(nn.functional.linear(x, w1, b1)), w2, b2)

    optimizer = torch.optim.SGD(parameters, rate)
    criterion = nn.BCEWithLogitsLoss()
    theirs = []
    for _ in range(epochs):
        loss = criterion(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        theirs.append(loss.item())

    settings = resolve_training(kind, {"epochs": epochs, "implementation": implementation})
    assert settings.learning_rate == rate
    # the kernel sums in another order than torch, and a steep part of the loss amplifies the rounding a hundred times
    rtol = 1e-5 if implementation == "torch" else 2e-4
    np.testing.assert_allclose(losses_of(ours, FLOWER, settings), theirs, rtol=rtol)


def test_the_gradient_of_a_step_is_that_derived_by_hand(implementation: ImplementationChoice) -> None:
    network = build(NetworkSpec(kind="two_layer", hidden=(3,)), 2, 2, seed=1)
    w1, b1, w2, b2 = (value.double().numpy().copy() for value in network.state_dict().values())
    x, y = FLOWER.xy_ND.astype(float), FLOWER.label_N[:, None].astype(float)

    hidden = np.tanh(x @ w1 + b1)
    error = (1 / (1 + np.exp(-(hidden @ w2 + b2))) - y) / len(x)
    back = error @ w2.T * (1 - hidden**2)
    expected = [w1 - x.T @ back, b1 - back.sum(0), w2 - hidden.T @ error, b2 - error.sum(0)]

    train(network, FLOWER, TrainingSpec(epochs=1, implementation=implementation))

    for got, want in zip(network.state_dict().values(), expected, strict=True):
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("settings", "optimizer"),
    [
        (
            {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01},
            lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
        ),
        (
            {"optimizer": "adam", "learning_rate": 0.02, "weight_decay": 0.01},
            lambda p: torch.optim.Adam(p, 0.02, weight_decay=0.01),
        ),
    ],
)
def test_mini_batches_of_several_classes_train_as_in_a_plain_torch_loop(
    settings: dict, optimizer, implementation: ImplementationChoice
) -> None:  # type: ignore[no-untyped-def, type-arg]
    points = generate(DatasetSpec(dataset="gaussians", n_classes=3, n=90))
    spec = TrainingSpec(epochs=12, batch_size=32, seed=5, implementation=implementation, **settings)
    ours, theirs = (build(NetworkSpec(hidden=(8,)), 2, 3, seed=0) for _ in range(2))

    x, y = torch.from_numpy(points.xy_ND), torch.from_numpy(points.label_N)
    steps = optimizer(theirs.parameters())
    order = np.random.default_rng(5)
    expected = []
    for _ in range(12):
        shuffled = torch.from_numpy(order.permutation(90))
        total = 0.0
        for start in range(0, 90, 32):
            batch = shuffled[start : start + 32]
            loss = nn.functional.cross_entropy(theirs(x[batch]), y[batch])
            steps.zero_grad()
            loss.backward()
            steps.step()
            total += loss.item() * len(batch)
        expected.append(total / 90)

    np.testing.assert_allclose(losses_of(ours, points, spec), expected, rtol=1e-5)


def test_logistic_regression_fails_on_the_flower(implementation: ImplementationChoice) -> None:
    network = build(NetworkSpec(kind="logistic"), 2, 2, seed=0)
    outcome = train(network, FLOWER, resolve_training("logistic", {"implementation": implementation}))
    assert outcome.metrics is not None
    assert 0.4 < outcome.metrics.training_accuracy < 0.65


@pytest.mark.slow
def test_a_residual_network_separates_the_flower(implementation: ImplementationChoice) -> None:
    network = build(NetworkSpec(kind="residual", hidden=(8,)), 2, 2, seed=0)
    outcome = train(network, FLOWER, resolve_training("residual", {"epochs": 1_500, "implementation": implementation}))
    assert outcome.metrics is not None
    assert outcome.metrics.training_accuracy > 0.85


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_weights_to_the_bit(implementation: ImplementationChoice) -> None:
    spec = TrainingSpec(epochs=20, batch_size=64, validation_fraction=0.2, seed=9, implementation=implementation)
    states = []
    for _ in range(2):
        network = build(NetworkSpec(), 2, 2, seed=9)
        train(network, FLOWER, spec)
        states.append(network.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_the_final_metrics_are_those_of_the_final_weights(implementation: ImplementationChoice) -> None:
    spec = TrainingSpec(epochs=50, validation_fraction=0.25, seed=2, implementation=implementation)
    network = build(NetworkSpec(), 2, 2, seed=2)
    outcome = train(network, FLOWER, spec)
    training, validation = split(FLOWER, fraction=0.25, seed=2)
    assert validation is not None
    assert outcome.metrics is not None
    for points, loss, accuracy in (
        (training, outcome.metrics.training_loss, outcome.metrics.training_accuracy),
        (validation, outcome.metrics.validation_loss, outcome.metrics.validation_accuracy),
    ):
        logit = network(torch.from_numpy(points.xy_ND))[:, 0].detach()
        y = torch.from_numpy(points.label_N)
        assert loss == pytest.approx(nn.functional.binary_cross_entropy_with_logits(logit, y.float()).item())
        assert accuracy == pytest.approx(((logit > 0) == y).float().mean().item())


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_98_points_that_are_all_classified_correctly_are_an_accuracy_of_exactly_1(
    implementation: ImplementationChoice, optimizer: Optimizer
) -> None:
    if optimizer == "lbfgs" and implementation == "torch":
        pytest.skip("only the kernel has lbfgs")
    two_clusters = from_rows([[float(i % 2) * 9, 0.0] for i in range(196)], [i % 2 for i in range(196)])
    seen = Seen()
    spec = TrainingSpec(epochs=30, optimizer=optimizer, validation_fraction=0.5, implementation=implementation)
    outcome = train(build(NetworkSpec(), 2, 2, seed=0), two_clusters, spec, on_epochs=seen)
    assert outcome.metrics is not None
    assert (outcome.metrics.training_accuracy, outcome.metrics.validation_accuracy) == (1, 1)
    assert (seen.epochs[-1].accuracy, seen.epochs[-1].validation_accuracy) == (1, 1)


def test_a_training_stops_when_asked(implementation: ImplementationChoice) -> None:
    seen = Seen()
    network = build(NetworkSpec(), 2, 2, seed=0)
    spec = TrainingSpec(epochs=1_000_000, implementation=implementation)
    outcome = train(network, FLOWER, spec, on_epochs=seen, should_stop=lambda: len(seen.epochs) >= 7)
    assert outcome.stop_reason == "stopped"
    assert outcome.metrics is None
    assert [epoch.number for epoch in seen.epochs] == list(range(1, outcome.epochs + 1))


def test_a_loss_that_no_longer_improves_stops_the_training_early(implementation: ImplementationChoice) -> None:
    network = build(NetworkSpec(kind="logistic"), 2, 2, seed=0)
    seen = Seen()
    spec = TrainingSpec(epochs=5_000, learning_rate=0.1, patience=10, min_delta=1e-3, implementation=implementation)
    outcome = train(network, FLOWER, spec, on_epochs=seen)
    assert outcome.stop_reason == "early_stopped"
    assert outcome.epochs < 5_000
    assert min(e.loss for e in seen.epochs[-10:]) > min(e.loss for e in seen.epochs[:-10]) - 1e-3


@pytest.mark.slow
def test_with_validation_points_their_loss_decides_when_to_stop_early(implementation: ImplementationChoice) -> None:
    rng = np.random.default_rng(0)
    noise = from_rows(rng.normal(size=(60, 2)).tolist(), rng.integers(0, 2, 60).tolist())
    spec = TrainingSpec(
        epochs=5_000,
        learning_rate=0.2,
        validation_fraction=0.5,
        patience=200,
        min_delta=0.0,
        implementation=implementation,
    )
    seen = Seen()
    outcome = train(build(NetworkSpec(hidden=(32,)), 2, 2, seed=0), noise, spec, on_epochs=seen)
    assert outcome.stop_reason == "early_stopped"
    assert seen.epochs[-1].loss < seen.epochs[len(seen.epochs) // 2].loss, "the training loss was still falling"


def test_a_diverged_training_keeps_the_last_finite_weights_and_gives_advice(
    implementation: ImplementationChoice,
) -> None:
    network = build(NetworkSpec(kind="sequential", hidden=(4, 4), activation="identity"), 2, 2, seed=0)
    seen = Seen()
    outcome = train(
        network,
        FLOWER,
        TrainingSpec(learning_rate=1_000.0, epochs=1_000, implementation=implementation),
        on_epochs=seen,
    )

    assert outcome.stop_reason == "diverged"
    assert outcome.epochs == seen.epochs[-1].number + 1
    assert outcome.metrics is not None
    assert outcome.metrics.finite
    assert all(value.isfinite().all() for value in network.state_dict().values())
    assert outcome.advice is not None
    assert f"epoch {outcome.epochs}" in outcome.advice
    assert "learning_rate below 1000" in outcome.advice


def test_a_training_that_diverges_in_its_first_step_keeps_the_initial_weights(
    implementation: ImplementationChoice,
) -> None:
    points = from_rows([[1e30, 1e30], [-1e30, 1e30]], [0, 1])
    network = build(NetworkSpec(kind="sequential", hidden=(4, 4), activation="identity"), 2, 2, seed=0)
    start = {key: value.clone() for key, value in network.state_dict().items()}
    outcome = train(network, points, TrainingSpec(learning_rate=1_000.0, epochs=10, implementation=implementation))
    assert (outcome.stop_reason, outcome.epochs) == ("diverged", 2)
    assert all(torch.equal(start[key], value) for key, value in network.state_dict().items())


def test_a_training_restores_the_number_of_torch_threads() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        train(build(NetworkSpec(), 2, 2, seed=0), FLOWER, TrainingSpec(epochs=1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["compiled", "torch"])
def test_the_advice_names_weight_decay_as_the_cause_of_a_divergence(implementation: ImplementationChoice) -> None:
    points = generate(DatasetSpec(dataset="spirals"))
    settings: dict[str, Any] = {"learning_rate": 0.3, "epochs": 2_000, "implementation": implementation}
    diverged = train(build(NetworkSpec(), 2, 2, seed=0), points, TrainingSpec(**settings, weight_decay=10.0))
    assert diverged.stop_reason == "diverged"
    assert diverged.advice is not None
    assert "learning_rate x weight_decay is 3:" in diverged.advice
    assert "weight_decay below 3.33333" in diverged.advice
    advised = train(build(NetworkSpec(), 2, 2, seed=0), points, TrainingSpec(**settings, weight_decay=3.3))
    assert advised.stop_reason == "completed"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"epochs": 0}, "training.epochs"),
        ({"epochs": 1_000_001}, "training.epochs"),
        ({"learning_rate": 0.0}, "training.learning_rate"),
        ({"learning_rate": float("inf")}, "training.learning_rate"),
        ({"momentum": 1.0}, "training.momentum"),
        ({"optimizer": "adam", "momentum": 0.9}, "training.momentum"),
        ({"optimizer": "rprop"}, "training.optimizer"),
        ({"optimizer": "lbfgs", "learning_rate": 0.1}, "training.learning_rate"),
        ({"optimizer": "lbfgs", "momentum": 0.0}, "training.momentum"),
        ({"optimizer": "lbfgs", "batch_size": 10}, "training.batch_size"),
        ({"optimizer": "lbfgs", "implementation": "torch"}, "training.implementation"),
        ({"weight_decay": -1.0}, "training.weight_decay"),
        ({"batch_size": 0}, "training.batch_size"),
        ({"validation_fraction": 1.0}, "training.validation_fraction"),
        ({"patience": 0}, "training.patience"),
        ({"min_delta": -1.0}, "training.min_delta"),
        ({"seed": -1}, "training.seed"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_with_the_name_of_its_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        resolve_training("sequential", change)
    assert refused.value.field == field


def test_missing_settings_are_those_of_the_tutorial() -> None:
    assert resolve_training("logistic", {}) == TrainingSpec(epochs=100, learning_rate=0.1)
    assert resolve_training("module", {}) == TrainingSpec(epochs=10_000, optimizer="sgd", learning_rate=1.0)
    assert resolve_training("module", {"optimizer": "adam"}).learning_rate == 0.01
    lbfgs = resolve_training("logistic", {"optimizer": "lbfgs"})
    assert (lbfgs.epochs, lbfgs.learning_rate, lbfgs.momentum, lbfgs.batch_size) == (500, None, None, None)
    assert TrainingSpec(**asdict(lbfgs)) == lbfgs
    assert resolve_training("logistic", {"epochs": 5}).epochs == 5


@pytest.mark.parametrize("kind", ["logistic", "two_layer", "sequential", "residual"])
def test_a_temperature_divides_the_logits_of_the_trained_network(
    kind: NetworkKind, implementation: ImplementationChoice
) -> None:
    points = generate(DatasetSpec(dataset="gaussians", n_classes=3, n=60))
    x = torch.from_numpy(points.xy_ND)
    logits, losses = {}, {}
    for temperature in (1.0, 2.5):
        network = build(NetworkSpec(kind=kind), 2, 3, seed=1)
        outcome = train(network, points, TrainingSpec(epochs=5, temperature=temperature, implementation=implementation))
        logits[temperature], losses[temperature] = network(x).detach(), outcome.metrics
    torch.testing.assert_close(logits[2.5], logits[1.0] / 2.5)
    expected = nn.functional.cross_entropy(logits[2.5], torch.from_numpy(points.label_N)).item()
    assert losses[2.5] is not None
    assert losses[2.5].training_loss == pytest.approx(expected, rel=1e-5)


def test_a_network_of_unknown_layers_cannot_have_a_temperature() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.Dropout(), nn.Linear(4, 1))
    with pytest.raises(InvalidInput, match="temperature"):
        train(network, FLOWER, TrainingSpec(epochs=1, temperature=2.0))
