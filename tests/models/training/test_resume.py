"""A training that is stopped and resumed, however often and wherever, gives the same result as one that is not."""

import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.checkpoints import torch_files
from models.checkpoints.cards import NETWORK_FILE, DamagedCheckpoint
from models.checkpoints.torch_files import RESUME_STATE_FILE
from models.datasets import FloatArray, LabelledPoints, from_rows, generate, split
from models.networks.modules import arrays_of, build, layout_of
from models.networks.plans import plan_of
from models.specs import DatasetSpec, Implementation, NetworkSpec, TrainingSpec
from models.training.compiled_run import CompiledRun
from models.training.restarts import Observer, Trained, train_best
from models.training.resume_state import ResumeState
from models.training.run_state import RunState
from models.training.runs import Epochs, Run
from models.training.torch_run import TorchRun
from models.training.train import train

POINTS = generate(DatasetSpec(n=60))
NETWORK = NetworkSpec(hidden=(4,))
NOISE = from_rows(np.random.default_rng(0).normal(size=(60, 2)).tolist(), [0, 1] * 30)


class Watch(Observer):
    """Stops a training when it is asked for the `stop_at`-th time, if ever, and records the reported epochs."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.left = stop_at
        self.figures: dict[int, list[tuple[float, ...]]] = {}
        self.entered = threading.Lock()

    def should_stop(self) -> bool:
        with self.alone():
            if self.left is None:
                return False
            self.left -= 1
            return self.left < 0

    def on_epochs(self, restart: int, epochs: Epochs) -> None:
        with self.alone():
            columns = (epochs.loss_E, epochs.accuracy_E, epochs.validation_loss_E, epochs.validation_accuracy_E)
            numbers = range(epochs.first, epochs.first + len(epochs))
            rows = zip(numbers, *(column for column in columns if column is not None), strict=True)
            self.figures.setdefault(restart, []).extend(tuple(map(float, row)) for row in rows)

    def alone(self) -> threading.Lock:
        assert not self.entered.locked(), "called from two threads at the same time"
        return self.entered


Case = tuple[LabelledPoints, NetworkSpec, dict[str, Any]]


def case(epochs: int, points: LabelledPoints = POINTS, network: NetworkSpec = NETWORK, **training: Any) -> Case:
    return points, network, {"epochs": epochs, "learning_rate": 0.1, "seed": 3} | training


CASES = {
    "sgd": case(200, learning_rate=1.0),
    "momentum": case(200, momentum=0.9),
    "adam": case(200, optimizer="adam", weight_decay=0.01),
    "batches": case(30, batch_size=7),
    "batches with momentum": case(20, batch_size=25, momentum=0.9, weight_decay=0.01),
    "batches by adam": case(20, batch_size=25, optimizer="adam", weight_decay=0.01),
    "class weights": case(20, batch_size=25, optimizer="adam", class_weight={"red": 3.0, "blue": 0.5}),
    "one batch": case(50, batch_size=100),
    "validation": case(100, validation_fraction=0.3),
    "lbfgs": case(40, optimizer="lbfgs", learning_rate=None),
    "lbfgs with class weights": case(40, optimizer="lbfgs", learning_rate=None, class_weight="balanced"),
    "lbfgs of a kinked loss": case(
        40, network=NetworkSpec(hidden=(5, 5), activation="relu"), optimizer="lbfgs", learning_rate=None
    ),
    "converges": case(300, optimizer="lbfgs", learning_rate=None, weight_decay=0.01),
    "stops early by lbfgs": case(
        500, NOISE, optimizer="lbfgs", learning_rate=None, validation_fraction=0.3, patience=5, min_delta=0.0
    ),
    "stops early": case(2_000, NOISE, learning_rate=0.5, patience=8, min_delta=1e-3),
    "stops early by validation": case(500, NOISE, batch_size=7, validation_fraction=0.3, patience=9, min_delta=0.0),
    "classes": case(
        20,
        generate(DatasetSpec(dataset="gaussians", n_classes=3, n=50)),
        NetworkSpec(kind="residual", hidden=(3, 5)),
        batch_size=8,
    ),
    "diverges": case(500, network=NetworkSpec(hidden=(4, 4), activation="identity"), learning_rate=1_000.0),
    "diverges in batches": case(
        500, network=NetworkSpec(hidden=(4, 4), activation="identity"), learning_rate=400.0, batch_size=7
    ),
}

STOP_REASONS = {"stops": "early_stopped", "converges": "converged", "diverges": "diverged"}

RUNS = [
    (name, implementation)
    for name, (_, _, training) in CASES.items()
    for implementation in (("compiled",) if training.get("optimizer") == "lbfgs" else ("compiled", "torch"))
]
"""Each case with each implementation that can train it."""


def trained(
    name: str,
    implementation: Implementation,
    observer: Observer,
    resume: ResumeState | None = None,
    *,
    threads: int = 1,
    restarts: int = 1,
) -> Trained:
    points, network, training = CASES[name]
    spec = TrainingSpec(implementation=implementation, restarts=restarts, **training)
    return train_best(
        lambda seed: build(network, points.features, len(points.classes), seed=seed),
        points,
        spec,
        threads=threads,
        observer=observer,
        resume_from=resume,
    )


@cache
def uninterrupted(name: str, implementation: Implementation, restarts: int = 1) -> tuple[Trained, Watch]:
    watch = Watch()
    return trained(name, implementation, watch, restarts=restarts), watch


def bits(network: nn.Module) -> dict[str, bytes]:
    return {key: value.numpy().tobytes() for key, value in network.state_dict().items()}


def assert_same(one: Trained, other: Trained) -> None:
    assert one.best is not None
    assert other.best is not None
    assert one.best.outcome == other.best.outcome
    assert one.restarts == other.restarts
    assert bits(one.best.network) == bits(other.best.network)


def resumed(
    stops: Iterator[int], name: str, implementation: Implementation, *, threads: int = 1, restarts: int = 1
) -> tuple[Trained, dict[int, list[tuple[float, ...]]]]:
    """Stops and resumes a training again and again. Returns the result, and the reported epochs of each restart."""
    reported: dict[int, list[tuple[float, ...]]] = {}
    resume_state = None
    while True:
        watch = Watch(next(stops, None))
        result = trained(name, implementation, watch, resume_state, threads=threads, restarts=restarts)
        for restart, figures in watch.figures.items():
            reported.setdefault(restart, []).extend(figures)
        if result.best is not None:
            assert result.resume_state is None
            return result, reported
        assert result.resume_state is not None
        assert {restart.stop_reason for restart in result.restarts} >= {"stopped"}
        started = {number: one.epochs for number, one in enumerate(result.restarts) if one.epochs}
        assert {number: epochs for number, epochs in result.resume_state.epochs.items() if epochs} == started
        resume_state = ResumeState.from_bytes(result.resume_state.to_bytes())


some_stops = st.lists(st.integers(0, 12) | st.integers(0, 150), min_size=1, max_size=5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "implementation"), RUNS)
@settings(max_examples=4)
@given(stops=some_stops)
def test_a_resumed_training_ends_like_one_that_was_never_stopped(
    name: str, implementation: Implementation, stops: list[int]
) -> None:
    whole, watch = uninterrupted(name, implementation)
    again, reported = resumed(iter(stops), name, implementation)
    assert_same(again, whole)
    assert reported == watch.figures
    assert whole.restarts[0].stop_reason == STOP_REASONS.get(name.split(maxsplit=1)[0], "completed")


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["compiled", "torch"])
def test_a_training_can_be_stopped_after_every_single_step(implementation: Implementation) -> None:
    whole, watch = uninterrupted("batches by adam", implementation)
    stops = iter([2] * 100)  # asked before the training, before its first step, and after that step
    again, reported = resumed(stops, "batches by adam", implementation)
    assert len([*stops]) == 100 - 20 * 3
    assert_same(again, whole)
    assert reported == watch.figures


@pytest.mark.slow
def test_a_training_by_lbfgs_can_be_stopped_after_every_single_evaluation() -> None:
    whole, watch = uninterrupted("lbfgs of a kinked loss", "compiled")
    again, reported = resumed(iter([2] * 10_000), "lbfgs of a kinked loss", "compiled")
    assert_same(again, whole)
    assert reported == watch.figures


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["compiled", "torch"])
@settings(max_examples=4)
@given(stops=st.lists(st.integers(0, 60), min_size=1, max_size=5), threads=st.sampled_from([1, 2]))
def test_resumed_restarts_end_like_ones_that_were_never_stopped(
    implementation: Implementation, stops: list[int], threads: int
) -> None:
    whole, watch = uninterrupted("batches by adam", implementation, restarts=5)
    again, reported = resumed(iter(stops), "batches by adam", implementation, threads=threads, restarts=5)
    assert_same(again, whole)
    assert reported == watch.figures


class Keeper(Watch):
    """Wants a resume state each second time it is asked, and weights each third time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.resume_states: list[ResumeState] = []
        self.weights: list[tuple[int, int, dict[str, FloatArray]]] = []

    def wants_resume_state(self) -> bool:
        self.asked += 1
        return self.asked % 2 == 0

    def on_resume_state(self, resume_state: ResumeState) -> None:
        with self.alone():
            self.resume_states.append(resume_state)

    def wants_weights(self) -> bool:
        return self.asked % 3 == 0

    def on_weights(self, restart: int, epoch: int, weights: dict[str, FloatArray]) -> None:
        with self.alone():
            self.weights.append((restart, epoch, weights))


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["compiled", "torch"])
@settings(max_examples=4)
@given(where=st.floats(0, 1), threads=st.sampled_from([1, 2]))
def test_every_resume_state_leads_to_the_same_result(
    implementation: Implementation, where: float, threads: int
) -> None:
    whole, _ = uninterrupted("batches by adam", implementation, restarts=5)
    keeper = Keeper()
    assert_same(trained("batches by adam", implementation, keeper, threads=threads, restarts=5), whole)
    resume_state = keeper.resume_states[int(where * (len(keeper.resume_states) - 1))]
    again = trained(
        "batches by adam", implementation, Watch(), ResumeState.from_bytes(resume_state.to_bytes()), restarts=5
    )
    assert_same(again, whole)


@pytest.mark.slow
def test_a_resume_state_includes_all_restarts_in_progress_once_each_was_asked() -> None:
    keeper = Keeper()
    trained("batches by adam", "torch", keeper, threads=2, restarts=4)
    assert max(len(resume_state.running) for resume_state in keeper.resume_states) == 2
    assert max(len(resume_state.ended) for resume_state in keeper.resume_states) >= 2
    assert any(resume_state.best for resume_state in keeper.resume_states)


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["compiled", "torch"])
def test_reported_weights_are_those_of_a_training_with_that_number_of_epochs(implementation: Implementation) -> None:
    keeper = Keeper()
    trained("sgd", implementation, keeper)
    assert keeper.weights
    points, network, training = CASES["sgd"]
    for restart, epoch, weights in keeper.weights[:: max(1, len(keeper.weights) // 5)]:
        assert restart == 0
        shorter = build(network, 2, 2, seed=3)
        if epoch:
            train(shorter, points, TrainingSpec(implementation=implementation, **training | {"epochs": epoch}))
        assert {key: array.tobytes() for key, array in weights.items()} == bits(shorter)


@pytest.mark.slow
def test_restarts_that_have_ended_are_not_trained_again() -> None:
    first = Keeper()
    trained("batches", "torch", first, restarts=3)
    resume_state = next(resume_state for resume_state in first.resume_states if len(resume_state.ended) == 2)
    second = Watch()
    trained("batches", "torch", second, resume_state, restarts=3)
    assert list(second.figures) == [2]


@cache
def some_resume_state() -> ResumeState:
    """Of three restarts, one has ended and one is in progress."""
    keeper = Keeper()
    trained("batches by adam", "torch", keeper, restarts=3)
    return next(resume_state for resume_state in keeper.resume_states if resume_state.ended)


@pytest.mark.slow
def test_a_resume_state_shows_the_weights_of_the_best_so_far_or_of_the_first_in_progress() -> None:
    resume_state = some_resume_state()
    assert resume_state.best is not None
    assert resume_state.weights is resume_state.best.weights
    assert resume_state.epochs == {0: 20, 1: resume_state.running[1].epochs}
    before = ResumeState(resume_state.task, resume_state.running, {}, None)
    assert before.weights is resume_state.running[1].weights
    assert ResumeState(resume_state.task, {}, {}, None).weights == {}


@pytest.mark.slow
def test_a_resume_state_survives_a_round_trip_through_bytes() -> None:
    resume_state = some_resume_state()
    again = ResumeState.from_bytes(resume_state.to_bytes())
    assert (again.task, again.ended, again.epochs) == (resume_state.task, resume_state.ended, resume_state.epochs)
    assert again.to_bytes() == resume_state.to_bytes()
    assert [*again.weights] == [*resume_state.weights]


@pytest.mark.slow
@settings(max_examples=150)
@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(0, 255))
def test_damaged_bytes_are_refused_with_a_message_of_one_line(where: float, flip: int) -> None:
    content = some_resume_state().to_bytes()
    place = int(where * len(content))
    damaged = [content[:place], content + b"\0", content[1:]]
    if flip:
        damaged.append(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
    for one in damaged:
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            ResumeState.from_bytes(one)


@pytest.mark.slow
@settings(max_examples=100)
@given(content=st.binary(max_size=100))
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        ResumeState.from_bytes(content)


def test_a_change_of_any_byte_of_the_header_is_detected() -> None:
    content = some_resume_state().to_bytes()
    header_end = 40 + int.from_bytes(content[32:40], "little")
    for place in range(header_end):
        with pytest.raises(ValueError, match="SHA-256"):
            ResumeState.from_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def test_a_folder_holds_the_resume_state_and_weights_that_plain_torch_loads(tmp_path: Path) -> None:
    resume_state = some_resume_state()
    torch_files.save_resume_state(tmp_path / "one", resume_state, resume_state.weights)
    assert torch_files.load_resume_state(tmp_path / "one").to_bytes() == resume_state.to_bytes()
    state = torch.load(tmp_path / "one" / NETWORK_FILE, weights_only=True)
    assert [*state] == [*resume_state.weights]
    assert {key: value.numpy().tobytes() for key, value in state.items()} == {
        key: array.tobytes() for key, array in resume_state.weights.items()
    }
    network = torch_files.load(tmp_path / "one" / NETWORK_FILE, NETWORK, 2, 2)
    assert [*network.state_dict()] == [*state]
    with pytest.raises(FileExistsError):
        torch_files.save_resume_state(tmp_path / "one", resume_state, resume_state.weights)


def test_a_missing_or_damaged_resume_state_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DamagedCheckpoint, match="is missing"):
        torch_files.load_resume_state(tmp_path / "one")
    torch_files.save_resume_state(tmp_path / "one", some_resume_state(), {})
    file = tmp_path / "one" / RESUME_STATE_FILE
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedCheckpoint, match="SHA-256 differs"):
        torch_files.load_resume_state(tmp_path / "one")
    file.unlink()
    file.mkdir()
    with pytest.raises(DamagedCheckpoint, match="is missing"):
        torch_files.load_resume_state(tmp_path / "one")


def test_a_resume_state_of_another_training_is_refused_before_anything_is_trained() -> None:
    resume_state = some_resume_state()
    points, network, training = CASES["batches by adam"]
    spec = TrainingSpec(implementation="torch", restarts=3, **training)
    others: list[tuple[NetworkSpec, LabelledPoints, TrainingSpec]] = [
        (NetworkSpec(hidden=(5,)), points, spec),
        (NetworkSpec(hidden=(4,), activation="relu"), points, spec),
        (network, NOISE, spec),
        (network, points, TrainingSpec(implementation="compiled", restarts=3, **training)),
        (network, points, TrainingSpec(implementation="torch", restarts=2, **training)),
        (network, points, TrainingSpec(implementation="torch", restarts=3, **training | {"epochs": 21})),
    ]
    for other, data, changed in others:
        watch = Watch()
        with pytest.raises(ValueError, match="of another training"):
            train_best(
                lambda seed, other=other: build(other, 2, 2, seed=seed),  # type: ignore[misc]
                data,
                changed,
                threads=1,
                observer=watch,
                resume_from=resume_state,
            )
        assert watch.figures == {}


@pytest.mark.parametrize("implementation", ["compiled", "torch"])
def test_a_training_with_separate_validation_points_resumes_only_with_the_same_points(
    implementation: Implementation,
) -> None:
    points, network, training = CASES["batches by adam"]
    spec = TrainingSpec(implementation=implementation, **training)

    def train_on(validation: LabelledPoints | None, watch: Watch, resume: ResumeState | None = None) -> Trained:
        return train_best(
            lambda seed: build(network, 2, 2, seed=seed),
            points,
            spec,
            validation=validation,
            threads=1,
            observer=watch,
            resume_from=resume,
        )

    whole, stopped = train_on(NOISE, Watch()), train_on(NOISE, Watch(2))
    assert stopped.resume_state is not None
    assert_same(train_on(NOISE, Watch(), stopped.resume_state), whole)
    for other in (None, points):
        with pytest.raises(ValueError, match="of another training"):
            train_on(other, Watch(), stopped.resume_state)


def test_a_resume_state_whose_arrays_do_not_fit_is_refused_before_anything_is_trained() -> None:
    resume_state = some_resume_state()
    assert resume_state.best is not None
    running = resume_state.running[1]
    watch = Watch()
    for broken in (
        {**vars(resume_state), "running": {1: type(running)(**{**vars(running), "state": {}})}},
        {**vars(resume_state), "best": type(resume_state.best)(**{**vars(resume_state.best), "weights": {}})},
    ):
        with pytest.raises(ValueError, match="must have the arrays"):
            trained("batches by adam", "torch", watch, ResumeState(**broken), restarts=3)
    assert watch.figures == {}


def begin(implementation: Implementation, state: RunState | None, network: NetworkSpec = NETWORK) -> Run:
    points, _, training = CASES["batches by adam"]
    spec = TrainingSpec(implementation=implementation, **training)
    module = build(network, 2, 2, seed=3)
    kept, held_out = split(points, fraction=0.0, seed=3)
    if implementation == "torch":
        return TorchRun(module, kept, held_out, spec, order_seed=3, state=state)
    where = layout_of(module)
    assert where is not None
    return CompiledRun(plan_of(where, arrays_of(module)), kept, held_out, spec, order_seed=3, state=state)


def state_within_an_epoch(implementation: Implementation) -> RunState:
    run = begin(implementation, None)
    run.advance()
    return run.state()


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["compiled", "torch"])
def test_a_run_state_that_does_not_fit_is_refused(implementation: Implementation) -> None:
    state = state_within_an_epoch(implementation)
    begin(implementation, state)
    order = "order_EN" if implementation == "compiled" else "order_N"
    broken: list[RunState] = [{}, state | {"more": np.zeros(1)}]
    for name, array in state.items():
        broken += [
            {key: value for key, value in state.items() if key != name},
            state | {name: array.astype(np.complex64)},
            state | {name: np.stack([array, array])},
            state | {name: np.zeros((), array.dtype) if array.ndim else np.zeros(1, array.dtype)},
        ]
    for changed in (-1, 60, 0):
        wrong = state[order].copy()
        wrong[..., :2] = changed
        broken.append(state | {order: wrong})
    broken += [state | {"counts": state["counts"] + by} for by in (-2, 100)]
    broken.append(state | {"generator": np.full(6, 2**64 - 1, np.uint64)})
    for one in broken:
        with pytest.raises(ValueError, match="the state"):
            begin(implementation, one)


@pytest.mark.parametrize("implementation", ["compiled", "torch"])
def test_a_run_state_of_another_network_or_implementation_is_refused(implementation: Implementation) -> None:
    other: Implementation = "torch" if implementation == "compiled" else "compiled"
    with pytest.raises(ValueError, match="must have the arrays"):
        begin(implementation, state_within_an_epoch(other))
    with pytest.raises(ValueError, match="must be float32 of shape"):
        begin(implementation, state_within_an_epoch(implementation), NetworkSpec(hidden=(5,)))


@pytest.mark.parametrize("implementation", ["compiled", "torch"])
def test_a_run_state_is_a_copy(implementation: Implementation) -> None:
    run = begin(implementation, None)
    run.advance()
    state = run.state()
    before = {name: array.tobytes() for name, array in state.items()}
    while run.advance()[1] is None:
        pass
    assert {name: array.tobytes() for name, array in state.items()} == before
    again = begin(implementation, state)
    while again.advance()[1] is None:
        pass
    assert {name: array.tobytes() for name, array in state.items()} == before
    assert again.measure() == run.measure()


@pytest.mark.slow
def test_an_ensemble_that_is_stopped_and_resumed_has_the_same_networks() -> None:
    spec = TrainingSpec(epochs=12, ensemble=3)

    def ensemble(observer: Observer, resume: ResumeState | None = None) -> Trained:
        return train_best(
            lambda seed: build(NETWORK, 2, 2, seed=seed), POINTS, spec, threads=1, observer=observer, resume_from=resume
        )

    whole = ensemble(Watch())
    resume_state, kept = None, 0
    for _ in range(200):
        result = ensemble(Watch(2), resume_state)
        if result.best is not None:
            break
        assert result.resume_state is not None
        resume_state = ResumeState.from_bytes(result.resume_state.to_bytes())
        kept = max(kept, len(resume_state.members))
    assert kept == 2  # it was stopped while the last one was trained
    assert [bits(member.network) for member in result.members] == [bits(member.network) for member in whole.members]
    assert result.restarts == whole.restarts
