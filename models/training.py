"""Training: of one network, or of several that start from different seeds, of which the best is kept."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from threading import Event, Lock

import torch
from torch import nn

from models.compiled import CompiledRun
from models.costs import faster
from models.datasets import LabelledPoints, split
from models.layouts import Layout
from models.networks import layout_of
from models.plans import plan_of, state_of
from models.reference import TorchRun, one_thread
from models.runs import Ending, Epochs, Metrics, Run
from models.specs import MAX_SEED, Implementation, InvalidInput, TrainingSpec, output_count


@dataclass(frozen=True)
class Outcome:
    """How a training ended. The network it was called with holds the weights.

    Attributes:
        ending: `finished` all epochs, `stalled` (stopped early), `stopped` when asked to, or `diverged`.
        epochs: the number of passes begun.
        metrics: of the weights held at the end; None if their loss is not finite, or if the training was stopped.
        implementation: which one trained, `compiled` or `torch`.
        advice: what to try, when it diverged.
    """

    ending: Ending
    epochs: int
    metrics: Metrics | None
    implementation: Implementation
    advice: str | None = None


def train(
    network: nn.Module,
    points: LabelledPoints,
    spec: TrainingSpec,
    *,
    on_epochs: Callable[[Epochs], object] = lambda epochs: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Trains a network in place.

    Binary networks (one logit) learn by binary cross-entropy with logits, others by softmax cross-entropy. A loss or a
    weight that is not finite ends the training as `diverged`; the network then holds the last weights whose loss was
    finite.

    Args:
        network: takes float32 (N, D), gives logits (N, O).
        points: what to learn.
        spec: how; its `restarts` are for `train_best`.
        on_epochs: called with the passes that are done, some thousands at a time if they are that fast.
        should_stop: asked before it begins and then every few milliseconds, or after a step that takes longer.

    Raises:
        InvalidInput: the compiled implementation was asked for, and the network is not one that it knows.
    """
    return _train(network, _parts(points, spec), spec, 0, on_epochs, should_stop)


def _parts(points: LabelledPoints, spec: TrainingSpec) -> tuple[LabelledPoints, LabelledPoints | None]:
    return split(points, fraction=spec.validation_fraction, seed=spec.seed)


def _train(
    network: nn.Module,
    parts: tuple[LabelledPoints, LabelledPoints | None],
    spec: TrainingSpec,
    restart: int,
    on_epochs: Callable[[Epochs], object],
    should_stop: Callable[[], bool],
) -> Outcome:
    """One of the restarts. Which it is decides the order of mini-batches, not which points are held out."""
    kept, held_out = parts
    layout = _compilable(network, kept)
    if spec.implementation == "compiled" and layout is None:
        raise InvalidInput("training.implementation", "only torch can train this network")
    if layout is None or _choice(layout, len(kept.label_N), spec) == "torch":
        with one_thread():
            reference = TorchRun(network, kept, held_out, spec, order_seed=_seed(spec, restart))
            return _run(reference, "torch", spec, on_epochs, should_stop)
    plan = plan_of(layout, {key: value.numpy() for key, value in network.state_dict().items()})
    run = CompiledRun(plan, kept, held_out, spec, order_seed=_seed(spec, restart))
    outcome = _run(run, "compiled", spec, on_epochs, should_stop)
    state = state_of(layout, replace(plan, parameters=run.weights))
    network.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()})
    return outcome


def _compilable(network: nn.Module, points: LabelledPoints) -> Layout | None:
    """The layout of a network that the kernel can train on these points; None if it cannot."""
    layout = layout_of(network)
    if layout is None or not all(parameter.isfinite().all() for parameter in network.parameters()):
        return None
    ends = layout.stack[0].inputs, layout.stack[-1].outputs
    return layout if ends == (points.features, output_count(len(points.classes))) else None


def _choice(layout: Layout, count: int, spec: TrainingSpec) -> Implementation:
    if spec.implementation == "auto":
        return faster(layout, min(spec.batch_size or count, count))
    return spec.implementation


def _seed(spec: TrainingSpec, restart: int) -> int:
    return (spec.seed + restart) % (MAX_SEED + 1)


def _run(
    run: Run,
    implementation: Implementation,
    spec: TrainingSpec,
    on_epochs: Callable[[Epochs], object],
    should_stop: Callable[[], bool],
) -> Outcome:
    ending: Ending | None = None
    while ending is None:
        if should_stop():
            return Outcome("stopped", run.begun, None, implementation)
        epochs, ending = run.advance()
        if epochs is not None:
            on_epochs(epochs)
    metrics = run.measure()
    if ending == "diverged" or not metrics.finite:  # else the last step went too far, and no pass came to find it out
        ending = "diverged"
        run.step_back()
        metrics = run.measure()
    return Outcome(
        ending, run.begun, metrics if metrics.finite else None, implementation, _advice(spec, run.begun, ending)
    )


def _advice(spec: TrainingSpec, number: int, ending: Ending) -> str | None:
    if ending != "diverged":
        return None
    return (
        f"The loss or a weight stopped being finite in epoch {number}. "
        f"Try a learning_rate below {spec.learning_rate:g}, "
        "or scale the points so that their coordinates lie between about -5 and 5."
    )


@dataclass(frozen=True)
class Restart:
    """What came of one of several trainings: `seed` made its weights and batches; the rest is of `Outcome`."""

    seed: int
    ending: Ending
    epochs: int
    metrics: Metrics | None


@dataclass(frozen=True)
class Best:
    """The network of the best of several trainings, and how that ended."""

    network: nn.Module
    outcome: Outcome


@dataclass(frozen=True)
class Trained:
    """What came of several trainings: the best, None if they were stopped, and all in the order of their seeds."""

    best: Best | None
    restarts: tuple[Restart, ...]


def train_best(
    build: Callable[[int], nn.Module],
    points: LabelledPoints,
    spec: TrainingSpec,
    *,
    threads: int,
    on_epochs: Callable[[int, Epochs], object] = lambda restart, epochs: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Trains `spec.restarts` networks, from the seeds `spec.seed`, `spec.seed` + 1, ..., and keeps the best.

    The best has the least validation loss, without validation points the least training loss; of equals the first. One
    that diverged is kept only if all did. The result does not depend on `threads`.

    Args:
        build: a new network from a seed.
        points: what to learn; all restarts hold out the same.
        spec: how.
        threads: most that train at a time. The compiled kernel needs no interpreter, so that as many as there are cores
            are worth it, but for small mini-batches, whose order the interpreter draws.
        on_epochs: called with the number of a restart and its passes, see `train`; from one thread at a time.
        should_stop: see `train`; from one thread at a time too.

    Raises:
        InvalidInput: see `train`.
    """
    parts = _parts(points, spec)
    one_at_a_time = Lock()  # for what is called back, and for building: torch has one random generator for all
    stopped = Event()
    best: list[tuple[tuple[bool, float, int], nn.Module, Outcome]] = []

    def note(restart: int, epochs: Epochs) -> None:
        with one_at_a_time:
            on_epochs(restart, epochs)

    def ask() -> bool:
        with one_at_a_time:
            if not stopped.is_set() and should_stop():
                stopped.set()
        return stopped.is_set()

    def run(restart: int) -> Restart:
        seed = _seed(spec, restart)
        if ask():
            return Restart(seed, "stopped", 0, None)
        with one_at_a_time:
            network = build(seed)
        outcome = _train(network, parts, spec, restart, partial(note, restart), ask)
        with one_at_a_time:  # only the best is kept: a thousand networks would fill the memory
            best[:] = [min([*best, (_rank(outcome, restart), network, outcome)], key=lambda one: one[0])]
        return Restart(seed, outcome.ending, outcome.epochs, outcome.metrics)

    with one_thread():
        restarts = _on_threads(run, spec.restarts, threads, stopped)
    if stopped.is_set():
        return Trained(None, restarts)
    _, network, outcome = best[0]
    return Trained(Best(network, outcome), restarts)


def _on_threads(run: Callable[[int], Restart], restarts: int, threads: int, stopped: Event) -> tuple[Restart, ...]:
    if min(threads, restarts) == 1:  # in this thread, which can be interrupted
        return tuple(map(run, range(restarts)))
    with ThreadPoolExecutor(threads) as pool:
        try:
            return tuple(pool.map(run, range(restarts)))
        except BaseException:
            stopped.set()
            raise


def _rank(outcome: Outcome, restart: int) -> tuple[bool, float, int]:
    """The less, the better."""
    return outcome.ending == "diverged", outcome.metrics.decisive_loss if outcome.metrics else math.inf, restart
