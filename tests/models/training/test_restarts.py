from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.datasets import generate
from models.networks.modules import Builder, build
from models.specs import DatasetSpec, Implementation, ImplementationChoice, InvalidInput, NetworkSpec, TrainingSpec
from models.training.restarts import Observer, Trained, train_best
from models.training.runs import Epochs
from models.training.train import train

FLOWER = generate(DatasetSpec())


def best(threads: int = 2, **settings: Any) -> Trained:
    spec = TrainingSpec(**{"epochs": 300, "restarts": 5, "seed": 7} | settings)
    return train_best(lambda seed: build(NetworkSpec(), 2, 2, seed=seed), FLOWER, spec, threads=threads)


def bits(network: nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in network.state_dict().values())


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["compiled", "torch"])
@pytest.mark.parametrize("validation_fraction", [0.0, 0.25])
def test_the_best_of_several_restarts_is_kept_and_all_are_reported(
    implementation: ImplementationChoice, validation_fraction: float
) -> None:
    trained = best(implementation=implementation, validation_fraction=validation_fraction, epochs=60)
    assert [restart.seed for restart in trained.restarts] == [7, 8, 9, 10, 11]
    losses = []
    for restart in trained.restarts:
        assert (restart.stop_reason, restart.epochs) == ("completed", 60)
        assert restart.metrics is not None
        validation = restart.metrics.validation_loss
        losses.append(restart.metrics.training_loss if validation is None else validation)
    assert len(set(losses)) == 5
    winner = trained.restarts[int(np.argmin(losses))]
    assert trained.best.outcome.metrics == winner.metrics


def test_each_restart_is_the_same_as_a_single_training_with_its_seed() -> None:
    trained = best()
    for restart in trained.restarts:
        network = build(NetworkSpec(), 2, 2, seed=restart.seed)
        assert train(network, FLOWER, TrainingSpec(epochs=300, seed=restart.seed)).metrics == restart.metrics
        if restart.metrics == trained.best.outcome.metrics:
            assert bits(network) == bits(trained.best.network)


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    settings = {"batch_size": 100, "validation_fraction": 0.2, "epochs": 20}
    one, three = best(1, **settings), best(3, **settings)
    assert one.restarts == three.restarts
    assert bits(one.best.network) == bits(three.best.network)


def test_a_diverged_restart_is_kept_only_if_all_diverged() -> None:
    spec = TrainingSpec(epochs=50, restarts=3, learning_rate=0.5)

    def with_one_that_diverges(seed: int) -> nn.Module:
        network = build(NetworkSpec(activation="identity"), 2, 2, seed=seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1e25 if seed == 0 else 1)
        return network

    trained = train_best(with_one_that_diverges, FLOWER, spec, threads=2)
    assert [restart.stop_reason for restart in trained.restarts] == ["diverged", "completed", "completed"]
    assert trained.best.outcome.stop_reason == "completed"
    wild = TrainingSpec(epochs=500, restarts=2, learning_rate=1_000.0)
    network = NetworkSpec(hidden=(4, 4), activation="identity")
    lost = train_best(lambda seed: build(network, 2, 2, seed=seed), FLOWER, wild, threads=2)
    assert lost.best.outcome.stop_reason == "diverged"
    assert lost.best.outcome.advice is not None


def test_the_observer_follows_all_restarts_and_stops_all() -> None:
    seen: dict[int, int] = {}

    class UntilTwoAreSeen(Observer):
        def should_stop(self) -> bool:
            return len(seen) >= 2

        def on_epochs(self, restart: int, epochs: Epochs) -> None:
            seen[restart] = epochs.last.number

    spec = TrainingSpec(epochs=1_000_000, restarts=4)
    trained = train_best(
        lambda seed: build(NetworkSpec(hidden=(64, 64)), 2, 2, seed=seed),
        FLOWER,
        spec,
        threads=2,
        observer=UntilTwoAreSeen(),
    )
    assert {restart.stop_reason for restart in trained.restarts} == {"stopped"}
    assert trained.best is None
    assert len(seen) >= 2


def test_no_restart_begins_after_the_observer_has_stopped_the_training() -> None:
    built = []

    def build_one(seed: int) -> nn.Module:
        built.append(seed)
        return build(NetworkSpec(), 2, 2, seed=seed)

    class UntilThreeAreBuilt(Observer):
        def should_stop(self) -> bool:
            return len(built) >= 3

    spec = TrainingSpec(epochs=1, restarts=50)
    trained = train_best(build_one, FLOWER, spec, threads=2, observer=UntilThreeAreBuilt())
    assert trained.best is None
    assert len(trained.restarts) == 50
    assert len(built) <= 5
    assert trained.restarts[-1].stop_reason == "stopped"


def test_the_number_of_restarts_is_limited() -> None:
    for restarts in (0, 1_001):
        with pytest.raises(InvalidInput) as refused:
            TrainingSpec(restarts=restarts)
        assert refused.value.field == "training.restarts"


def test_an_ensemble_keeps_the_network_of_each_seed() -> None:
    spec = TrainingSpec(epochs=60, seed=7, ensemble=3)
    trained = train_best(lambda seed: build(NetworkSpec(), 2, 2, seed=seed), FLOWER, spec, threads=2)
    assert [restart.seed for restart in trained.restarts] == [7, 8, 9]
    assert [member.restart for member in trained.members] == [0, 1, 2]
    for member in trained.members:
        network = build(NetworkSpec(), 2, 2, seed=7 + member.restart)
        train(network, FLOWER, TrainingSpec(epochs=60, seed=7 + member.restart))
        assert bits(network) == bits(member.network)
    alone = best()
    assert alone.members == (alone.best,)


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["compiled", "torch"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_builder_gives_the_networks_of_its_modules(implementation: Implementation, threads: int) -> None:
    builder = Builder(NetworkSpec(), 2, 2)
    spec = TrainingSpec(epochs=20, restarts=5, implementation=implementation)
    found, expected = (
        train_best(build_one, FLOWER, spec, threads=threads) for build_one in (builder, builder.__call__)
    )
    assert found.restarts == expected.restarts
    assert bits(found.best.network) == bits(expected.best.network)
