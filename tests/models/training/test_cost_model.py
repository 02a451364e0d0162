import numpy as np
import pytest
import torch
from torch import nn

from models.datasets import LabelledPoints, generate
from models.networks.layouts import layout
from models.networks.modules import Logistic, Residual, build
from models.specs import NETWORK_KINDS, DatasetSpec, InvalidInput, NetworkKind, NetworkSpec, TrainingSpec
from models.training.cost_model import faster
from models.training.train import train


@pytest.mark.parametrize("points", [1, 400, 100_000])
@pytest.mark.parametrize("kind", ["sequential", "residual"])
def test_the_kernel_is_chosen_for_stacks_of_any_width(kind: NetworkKind, points: int) -> None:
    for hidden in ((), (4,), (8, 8), (32, 32), (128, 128), (512, 512), (1_024, 1_024, 1_024), (16,) * 16):
        assert faster(layout(NetworkSpec(kind=kind, hidden=hidden), 2, 2), points) == "compiled"


def test_the_kernel_is_chosen_for_the_tutorials_networks() -> None:
    for kind in NETWORK_KINDS:
        outcome = train(build(NetworkSpec(kind=kind), 2, 2, seed=0), generate(DatasetSpec()), TrainingSpec(epochs=2))
        assert outcome.implementation == "compiled"


@pytest.mark.slow
def test_torch_is_chosen_for_a_wide_skip_connection_unless_the_request_says_otherwise() -> None:
    spec = NetworkSpec(kind="residual", hidden=(4,))
    assert faster(layout(spec, 1_000, 100), 400) == "torch"
    rng = np.random.default_rng(0)
    points = LabelledPoints(rng.normal(size=(400, 1_000)).astype(np.float32), np.arange(400) % 100, tuple(range(100)))
    outcomes = {}
    for choice in ("auto", "compiled", "torch"):
        network = build(spec, 1_000, 100, seed=0)
        outcomes[choice] = train(network, points, TrainingSpec(epochs=2, learning_rate=0.1, implementation=choice))
    assert [outcome.implementation for outcome in outcomes.values()] == ["torch", "compiled", "torch"]
    ours, theirs = outcomes["compiled"].metrics, outcomes["torch"].metrics
    assert ours is not None
    assert theirs is not None
    assert ours.training_loss == pytest.approx(theirs.training_loss, rel=1e-4)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.0), nn.Linear(4, 1)),
        nn.Sequential(nn.Linear(2, 4, bias=False), nn.Tanh(), nn.Linear(4, 1)),
        nn.Sequential(nn.Linear(2, 4), nn.GELU(), nn.Linear(4, 1)),
        nn.Sequential(nn.Linear(2, 4), nn.LeakyReLU(0.3), nn.Linear(4, 1)),
        nn.Sequential(nn.Tanh(), nn.Linear(2, 1)),
        nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Tanh(), nn.Linear(4, 1)),
        nn.Sequential(nn.Linear(2, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 1))),
    ],
    ids=str,
)
def test_torch_trains_what_the_kernel_cannot_and_the_kernel_refuses_it(network: nn.Module) -> None:
    flower = generate(DatasetSpec())
    assert train(network, flower, TrainingSpec(epochs=2)).implementation == "torch"
    with pytest.raises(InvalidInput) as refused:
        train(network, flower, TrainingSpec(epochs=2, implementation="compiled"))
    assert refused.value.field == "training.implementation"


class Wavy(Logistic):
    """A subclass that computes something else than its base class."""

    def forward(self, x_ND: torch.Tensor) -> torch.Tensor:
        return super().forward(x_ND) + torch.sin(x_ND[:, :1])


def test_torch_trains_networks_that_only_look_like_known_ones() -> None:
    flower = generate(DatasetSpec())
    uneven = Residual(nn.Linear(2, 1), nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3)))
    three = generate(DatasetSpec(dataset="gaussians", n_classes=3, n=60))
    ending_in_tanh = Residual(nn.Linear(2, 1), nn.Sequential(nn.Linear(2, 1), nn.Tanh()))
    for network, points in ((Wavy(2, 1), flower), (uneven, three), (ending_in_tanh, flower)):
        assert train(network, points, TrainingSpec(epochs=2)).implementation == "torch"


def test_an_activation_module_that_is_used_twice_counts_twice() -> None:
    flower = generate(DatasetSpec())
    relu = nn.ReLU()
    network = nn.Sequential(nn.Linear(2, 4), relu, nn.Linear(4, 4), relu, nn.Linear(4, 1))
    outcome = train(network, flower, TrainingSpec(epochs=50, learning_rate=0.1))
    assert outcome.implementation == "compiled"
    assert outcome.metrics is not None
    logit_N = network(torch.from_numpy(flower.xy_ND))[:, 0]
    loss = nn.functional.binary_cross_entropy_with_logits(logit_N, torch.from_numpy(flower.label_N).float())
    assert outcome.metrics.training_loss == pytest.approx(loss.item(), rel=1e-5)


def test_points_with_a_wrong_number_of_features_never_reach_the_kernel() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        train(nn.Sequential(nn.Linear(5, 1)), generate(DatasetSpec()), TrainingSpec(epochs=2))


def test_a_training_that_starts_with_a_nan_weight_diverges() -> None:
    network = build(NetworkSpec(), 2, 2, seed=0)
    with torch.no_grad():
        next(network.parameters())[0, 0] = float("nan")
    assert train(network, generate(DatasetSpec()), TrainingSpec(epochs=2)).stop_reason == "diverged"


def test_torch_trains_networks_with_frozen_or_shared_layers() -> None:
    shared = nn.Linear(4, 4)
    frozen = nn.Linear(2, 4)
    frozen.weight.requires_grad = False
    flower = generate(DatasetSpec())
    for network in (
        nn.Sequential(nn.Linear(2, 4), shared, nn.Tanh(), shared, nn.Linear(4, 1)),
        nn.Sequential(frozen, nn.Tanh(), nn.Linear(4, 1)),
    ):
        before = frozen.weight.clone()
        assert train(network, flower, TrainingSpec(epochs=2)).implementation == "torch"
        assert (frozen.weight == before).all()
