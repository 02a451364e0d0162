"""Histories: compared with what the training itself reports of every epoch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.datasets import generate
from models.networks.modules import Builder
from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from models.training.history import POINTS, recorded_epochs
from models.training.restarts import Observer, Trained, train_best
from models.training.resume_state import ResumeState
from models.training.runs import Epochs, History

BUILD = Builder(NetworkSpec(hidden=(3,)), 2, 2)
DATA = generate(DatasetSpec(n=60))


class EveryEpoch(Observer):
    """Keeps the figures of every epoch, and stops the training once `stop_after` epochs are done."""

    def __init__(self, stop_after: float = float("inf")) -> None:
        self.rows: dict[int, tuple[Any, ...]] = {}
        self.grown: list[Callable[[], History]] = []
        self._stop_after = stop_after

    def should_stop(self) -> bool:
        return len(self.rows) >= self._stop_after

    def on_epochs(self, _: int, epochs: Epochs) -> None:
        validation = epochs.validation_loss_E, epochs.validation_accuracy_E
        for e in range(len(epochs)):
            figures = epochs.loss_E[e], epochs.accuracy_E[e], *(None if one is None else one[e] for one in validation)
            self.rows[epochs.first + e] = figures

    def on_history(self, _: int, history: Callable[[], History]) -> None:
        self.grown.append(history)


def trained(observer: Observer, resume_from: ResumeState | None = None, **settings: Any) -> Trained:
    return train_best(BUILD, DATA, TrainingSpec(**settings), threads=1, observer=observer, resume_from=resume_from)


def history_of(one: Trained) -> History:
    assert one.best is not None
    return one.best.outcome.history


SETTINGS: list[dict[str, Any]] = [
    {"epochs": 50},
    {"epochs": 700, "validation_fraction": 0.2},
    {"epochs": 40, "optimizer": "adam", "batch_size": 7, "implementation": "torch", "validation_fraction": 0.2},
    {"epochs": 150, "optimizer": "lbfgs"},
    {"epochs": 5_000, "patience": 3, "min_delta": 0.01},
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_history_has_the_figures_that_the_epochs_had(settings: dict[str, Any]) -> None:
    every = EveryEpoch()
    history = history_of(trained(every, **settings))
    last = max(every.rows)
    recorded = recorded_epochs(settings["epochs"]).tolist()
    expected = sorted({*(epoch for epoch in recorded if epoch <= last), last})
    assert list(history.epoch) == expected
    figures = history.training_loss, history.training_accuracy, history.validation_loss, history.validation_accuracy
    is_validated = settings.get("validation_fraction", 0) > 0
    for i, column in enumerate(figures):
        if i >= 2 and not is_validated:
            assert column is None
        else:
            assert list(column or ()) == [every.rows[epoch][i] for epoch in expected]


def test_the_epochs_of_a_history_are_about_a_hundred_and_log_spaced() -> None:
    assert recorded_epochs(1).tolist() == [1]
    assert recorded_epochs(POINTS).tolist() == list(range(1, POINTS + 1))
    for epochs in (200, 500, 10_000, 1_000_000):
        recorded_E = recorded_epochs(epochs)
        assert 75 <= len(recorded_E) <= POINTS
        assert (recorded_E[0], recorded_E[-1]) == (1, epochs)
        ratios = np.diff(np.log(recorded_E[recorded_E > 50]))
        assert ratios.max() < np.log(epochs) / (POINTS - 1) + 0.03  # rounded to whole numbers


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS[1:3], ids=str)
def test_a_training_that_was_interrupted_has_the_history_of_one_that_was_not(settings: dict[str, Any]) -> None:
    whole = history_of(trained(Observer(), **settings))
    first = EveryEpoch(stop_after=13)
    stopped = trained(first, **settings)
    assert stopped.resume_state is not None
    kept = ResumeState.from_bytes(stopped.resume_state.to_bytes())
    assert history_of(trained(Observer(), kept, **settings)) == whole
    assert kept.running[0].history.epoch[-1] == max(first.rows), "it ends with the last epoch before the interruption"


def test_an_observer_sees_a_history_grow_and_can_read_it_later() -> None:
    observer = EveryEpoch()
    history = history_of(trained(observer, epochs=100, implementation="torch"))
    grown = [make() for make in observer.grown]  # after the end: each is the history of its time
    lengths = [len(one.epoch) for one in grown]
    assert lengths == sorted(set(lengths))
    assert len(lengths) > 90
    for one in grown:
        assert one.training_loss == history.training_loss[: len(one.epoch)]


def test_each_restart_has_a_history_of_its_own_and_a_divergence_ends_it() -> None:
    several = trained(Observer(), epochs=30, ensemble=2)
    one, other = (member.outcome.history for member in several.members)
    assert one.epoch == other.epoch
    assert one.training_loss != other.training_loss
    diverged = trained(Observer(), epochs=300, learning_rate=1e3, weight_decay=1.0)
    assert diverged.best is not None
    assert diverged.best.outcome.stop_reason == "diverged"
    assert None not in history_of(diverged).training_accuracy


def test_a_history_is_read_back_from_json() -> None:
    for settings in SETTINGS[:2]:
        history = history_of(trained(Observer(), **settings))
        assert History.from_json(history.to_json()) == history
