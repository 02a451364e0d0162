from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.datasets import generate
from models.networks.modules import build
from models.specs import DatasetSpec, ImplementationChoice, InvalidInput, NetworkSpec, TrainingSpec
from models.training.runs import Epochs
from models.training.train import (
    Observer,
    Trained,
    train,
    train_best,
)

FLOWER = generate(DatasetSpec())


def best(threads: int = 2, **settings: Any) -> Trained:
    spec = TrainingSpec(**{"epochs": 300, "restarts": 5, "seed": 7} | settings)
    return train_best(lambda seed: build(NetworkSpec(), 2, 2, seed=seed), FLOWER, spec, threads=threads)


def bits(network: nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in network.state_dict().values())


@pytest.mark.parametrize("implementation", ["compiled", "torch"])
@pytest.mark.parametrize("validation_fraction", [0.0, 0.25])
def test_the_best_of_several_seeds_is_kept_and_all_are_reported(
    implementation: ImplementationChoice, validation_fraction: float
) -> None:
    trained = best(implementation=implementation, validation_fraction=validation_fraction, epochs=60)
    assert [restart.seed for restart in trained.restarts] == [7, 8, 9, 10, 11]
    losses = []
    for restart in trained.restarts:
        assert (restart.ending, restart.epochs) == ("finished", 60)
        assert restart.metrics is not None
        validation = restart.metrics.validation_loss
        losses.append(restart.metrics.training_loss if validation is None else validation)
    assert len(set(losses)) == 5
    winner = trained.restarts[int(np.argmin(losses))]
    assert trained.best.outcome.metrics == winner.metrics


def test_each_restart_is_what_its_seed_alone_would_have_made() -> None:
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


def test_a_restart_that_diverged_is_kept_only_if_all_did() -> None:
    spec = TrainingSpec(epochs=50, restarts=3, learning_rate=0.5)

    def one_of_them_is_lost(seed: int) -> nn.Module:
        network = build(NetworkSpec(activation="identity"), 2, 2, seed=seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1e25 if seed == 0 else 1)
        return network

    trained = train_best(one_of_them_is_lost, FLOWER, spec, threads=2)
    assert [restart.ending for restart in trained.restarts] == ["diverged", "finished", "finished"]
    assert trained.best.outcome.ending == "finished"
    wild = TrainingSpec(epochs=500, restarts=2, learning_rate=1_000.0)
    network = NetworkSpec(hidden=(4, 4), activation="identity")
    lost = train_best(lambda seed: build(network, 2, 2, seed=seed), FLOWER, wild, threads=2)
    assert lost.best.outcome.ending == "diverged"
    assert lost.best.outcome.advice is not None


def test_all_are_told_of_and_all_stop_when_asked_to() -> None:
    seen: dict[int, int] = {}

    class UntilTwoAreSeen(Observer):
        def should_stop(self) -> bool:
            return len(seen) >= 2

        def note_epochs(self, restart: int, epochs: Epochs) -> None:
            seen[restart] = epochs.last.number

    spec = TrainingSpec(epochs=1_000_000, restarts=4)
    trained = train_best(
        lambda seed: build(NetworkSpec(hidden=(64, 64)), 2, 2, seed=seed),
        FLOWER,
        spec,
        threads=2,
        observer=UntilTwoAreSeen(),
    )
    assert {restart.ending for restart in trained.restarts} == {"stopped"}
    assert trained.best is None
    assert len(seen) >= 2


def test_those_that_have_not_begun_do_not_begin_once_all_are_to_stop() -> None:
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
    assert trained.restarts[-1].ending == "stopped"


def test_their_number_is_bounded() -> None:
    for restarts in (0, 1_001):
        with pytest.raises(InvalidInput) as refused:
            TrainingSpec(restarts=restarts)
        assert refused.value.field == "training.restarts"
