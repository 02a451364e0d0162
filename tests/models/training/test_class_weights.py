"""Class weights: the loss is the weighted mean of torch's `CrossEntropyLoss(weight=...)`, whatever trains."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.datasets import LabelledPoints, from_rows, generate, split
from models.networks.modules import build
from models.recipes import Recipe, class_weights
from models.specs import DatasetSpec, Implementation, InvalidInput, NetworkSpec, TrainingSpec
from models.training.train import train

IMPLEMENTATIONS = ("compiled", "torch")


def uneven(classes: int, count: int = 120, seed: int = 0) -> LabelledPoints:
    """Overlapping clouds, the first of which has most of the points."""
    rng = np.random.default_rng(seed)
    label_N = np.minimum(rng.geometric(0.6, count) - 1, classes - 1)
    label_N[:classes] = range(classes)
    xy_N2 = rng.normal(size=(count, 2)) + np.column_stack([label_N, label_N % 2])
    return from_rows(xy_N2.tolist(), [f"class {k}" for k in label_N])


def weights(*values: float) -> dict[str, float]:
    return {f"class {k}": value for k, value in enumerate(values)}


def trained(points: LabelledPoints, **training: Any) -> tuple[dict[str, np.ndarray], list[float], list[float]]:
    """The weights of a small network after a training, and its losses by epoch: of training and validation points."""
    network = build(NetworkSpec(hidden=(5,)), 2, len(points.classes), seed=4)
    reported: list[Any] = []
    train(network, points, TrainingSpec(**training), on_epochs=reported.append)
    validation = [
        one for epochs in reported if epochs.validation_loss_E is not None for one in epochs.validation_loss_E
    ]
    state = {key: value.numpy().copy() for key, value in network.state_dict().items()}
    return state, [one for epochs in reported for one in epochs.loss_E], validation


def cross_entropy(logit_NO: torch.Tensor, label_N: torch.Tensor, weight_K: torch.Tensor) -> torch.Tensor:
    """Torch's own weighted loss; of one logit z it gets the logits 0 and z."""
    if logit_NO.shape[1] == 1:
        logit_NO = torch.cat([torch.zeros_like(logit_NO), logit_NO], dim=1)
    return nn.CrossEntropyLoss(weight=weight_K)(logit_NO, label_N)


@pytest.mark.slow
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("batch_size", [None, 32])
@pytest.mark.parametrize(
    ("points", "given"),
    [
        (uneven(2), weights(0.5, 4.0)),
        (uneven(3), weights(0.5, 4.0, 100.0)),
        (uneven(2, 9_000), weights(0.25, 3.0)),
        (uneven(4, 9_000), weights(0.1, 2.0, 3.0, 4.0)),
    ],
    ids=["two classes", "three classes", "two classes in several blocks", "four classes in several blocks"],
)
def test_weighted_losses_and_steps_are_those_of_a_plain_torch_loop(
    points: LabelledPoints, given: dict[str, float], batch_size: int | None, implementation: Implementation
) -> None:
    count, epochs = len(points.label_N), 4
    batch = batch_size and batch_size * count // 120
    state, losses, _ = trained(
        points, epochs=epochs, batch_size=batch, learning_rate=0.2, class_weight=given, seed=6,
        implementation=implementation,
    )  # fmt: skip
    network = build(NetworkSpec(hidden=(5,)), 2, len(points.classes), seed=4).double()
    optimizer = torch.optim.SGD(network.parameters(), 0.2)
    x, y = torch.from_numpy(points.xy_ND).double(), torch.from_numpy(points.label_N)
    weight_K = torch.tensor([given[str(label)] for label in points.classes], dtype=torch.float64)
    order = np.random.default_rng(6)
    expected = []
    for _ in range(epochs):
        shuffled = torch.from_numpy(order.permutation(count)) if batch else torch.arange(count)
        total = 0.0
        for index in torch.split(shuffled, batch or count):
            loss = cross_entropy(network(x[index]), y[index], weight_K)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * weight_K[y[index]].sum().item()
        expected.append(total / weight_K[y].sum().item())
    np.testing.assert_allclose(losses, expected, rtol=2e-5)
    for key, value in network.state_dict().items():
        np.testing.assert_allclose(state[key], value.numpy(), rtol=1e-4, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "training",
    [
        {"learning_rate": 0.2, "momentum": 0.5},
        {"optimizer": "adam", "learning_rate": 0.02, "weight_decay": 0.01},
        {"optimizer": "adam", "learning_rate": 0.02, "batch_size": 30, "validation_fraction": 0.25},
    ],
    ids=str,
)
@pytest.mark.parametrize("classes", [2, 3])
def test_both_implementations_follow_the_same_weighted_losses(training: dict[str, Any], classes: int) -> None:
    points = uneven(classes)
    _, *compiled = trained(points, epochs=60, class_weight="balanced", implementation="compiled", **training)
    _, *by_torch = trained(points, epochs=60, class_weight="balanced", implementation="torch", **training)
    for ours, theirs in zip(compiled, by_torch, strict=True):
        assert len(ours) == len(theirs)
        np.testing.assert_allclose(ours, theirs, rtol=5e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_class_of_weight_3_counts_like_one_whose_points_are_there_three_times(classes: int, optimizer: str) -> None:
    points = uneven(classes)
    index_M = np.concatenate([np.arange(120), np.flatnonzero(points.label_N == 1).repeat(2)])
    repeated = LabelledPoints(points.xy_ND[index_M], points.label_N[index_M], points.classes)
    settings = {"optimizer": optimizer, "weight_decay": 0.1, "epochs": 300}
    state, losses, _ = trained(points, class_weight=weights(*([1.0, 3.0, 1.0][:classes])), **settings)
    expected, expected_losses, _ = trained(repeated, **settings)
    assert losses[-1] == pytest.approx(expected_losses[-1], rel=1e-4)
    for key, value in expected.items():
        np.testing.assert_allclose(state[key], value, atol=2e-3)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("classes", [2, 3])
def test_final_metrics_are_not_weighted(classes: int, implementation: Implementation) -> None:
    points = uneven(classes)
    network = build(NetworkSpec(), 2, classes, seed=1)
    spec = TrainingSpec(
        epochs=5, class_weight="balanced", validation_fraction=0.25, seed=2, implementation=implementation
    )
    metrics = train(network, points, spec).metrics
    assert metrics is not None
    kept, held_out = split(points, fraction=0.25, seed=2)
    assert held_out is not None
    for part, loss in ((kept, metrics.training_loss), (held_out, metrics.validation_loss)):
        logit = network(torch.from_numpy(part.xy_ND))
        plain = cross_entropy(logit, torch.from_numpy(part.label_N), torch.ones(classes))
        assert loss == pytest.approx(plain.item(), rel=1e-5)


def test_balanced_weights_a_rare_class_more_until_it_is_recognized() -> None:
    rng = np.random.default_rng(1)
    xy_N2 = np.concatenate([rng.normal(0, 1, (380, 2)), rng.normal(1.5, 1, (20, 2))])
    points = from_rows(xy_N2.tolist(), ["common"] * 380 + ["rare"] * 20)
    recalls = []
    for class_weight in (None, "balanced"):
        network = build(NetworkSpec(kind="logistic"), 2, 2, seed=0)
        train(network, points, TrainingSpec(optimizer="lbfgs", epochs=100, class_weight=class_weight))  # type: ignore[arg-type]
        recalls.append((network(torch.from_numpy(points.xy_ND))[380:, 0] > 0).float().mean().item())
    assert recalls[0] < 0.5 < 0.7 < recalls[1]


def test_balanced_weights_are_those_of_the_points_that_are_not_held_out() -> None:
    points = from_rows([[float(i), 0.0] for i in range(100)], ["no"] * 90 + ["yes"] * 10)
    spec = TrainingSpec(class_weight="balanced", validation_fraction=0.5)
    kept, _ = Recipe(points, NetworkSpec(), spec).parts
    weight_K = class_weights(spec, kept)
    assert weight_K is not None
    np.testing.assert_allclose(weight_K, [50 / (2 * 45), 50 / (2 * 5)], rtol=1e-6)


def test_integer_labels_match_by_their_text() -> None:
    points = from_rows([[0.0], [1.0], [2.0]], [-1, 10, 2])
    weight_K = class_weights(TrainingSpec(class_weight={"10": 3.0, "2": 2.0, "-1": 1.0}), points)
    assert weight_K is not None
    assert points.classes == (-1, 2, 10)
    assert weight_K.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("given", [{"red": 1.0}, {"red": 1.0, "blue": 1.0, "green": 1.0}, {"red": 1.0, "Blue": 2.0}])
def test_weights_of_missing_or_unknown_labels_are_refused_with_the_labels_that_exist(given: dict[str, float]) -> None:
    flower = generate(DatasetSpec(n=10))
    for refused in (
        lambda: Recipe(flower, NetworkSpec(), TrainingSpec(class_weight=given)),
        lambda: train(build(NetworkSpec(), 2, 2, seed=0), flower, TrainingSpec(epochs=1, class_weight=given)),
    ):
        with pytest.raises(InvalidInput, match="one weight for each label, which are: red, blue") as error:
            refused()
        assert error.value.field == "training.class_weight"


@pytest.mark.parametrize("given", ["even", {"red": 0.0, "blue": 1.0}, {"red": 1e7, "blue": 1.0}, {"red": np.nan}])
def test_weights_out_of_bounds_are_refused(given: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        TrainingSpec(class_weight=given)
    assert refused.value.field == "training.class_weight"
