"""Training: of one network, or of several that start from different seeds, of which the best is kept."""

import hashlib
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from threading import Event, Lock

import torch
from torch import nn

from models import specs
from models.datasets import FloatArray, LabelledPoints, split
from models.limits import MAX_SEED
from models.networks.layouts import Layout
from models.networks.modules import arrays_of, layout_of
from models.networks.plans import plan_of, state_of
from models.specs import (
    Implementation,
    InvalidInput,
    TrainingSpec,
    output_count,
)
from models.training import run_state
from models.training.compiled_run import CompiledRun
from models.training.cost_model import faster
from models.training.resume_state import Leading, ResumeState, Running
from models.training.run_state import RunState
from models.training.runs import (
    Ending,
    Epochs,
    Outcome,
    Restart,
    Run,
)
from models.training.torch_run import TorchRun, one_thread


class Observer:
    """What `train_best` tells and asks; this one hears nothing and wants nothing. Called from one thread at a time.

    The questions come before a training begins and then every few milliseconds, or after a step that takes longer.
    """

    def should_stop(self) -> bool:
        """Whether all are to stop where they are."""
        return False

    def note_epochs(self, restart: int, epochs: Epochs) -> None:
        """Passes of a restart that are done, some thousands at a time if they are that fast."""

    def wants_resume_state(self) -> bool:
        """Whether `note_resume_state` is to be called now."""
        return False

    def note_resume_state(self, resume_state: ResumeState) -> None:
        """Where all stand: one restart as of now, the others in progress as they last were when one was wanted.

        Those that have begun since are not in it.
        """

    def wants_weights(self) -> bool:
        """Whether `note_weights` is to be called now."""
        return False

    def note_weights(self, restart: int, epoch: int, weights: dict[str, FloatArray]) -> None:
        """The state dict of a restart as it is now, copies; `epoch` is the number of passes begun."""


NOBODY = Observer()


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
    parts = _parts(points, spec)
    return _train(network, parts, spec, 0, None, on_epochs=on_epochs, should_stop=lambda begun: should_stop())


Parts = tuple[LabelledPoints, LabelledPoints | None]
"""The points to train on, and those held out for validation."""


def _parts(points: LabelledPoints, spec: TrainingSpec) -> Parts:
    return split(points, fraction=spec.validation_fraction, seed=spec.seed)


@dataclass(frozen=True)
class _Begun:
    """A training of one network that has begun; `weights` copies the network's state dict as it is now."""

    run: Run
    implementation: Implementation
    weights: Callable[[], dict[str, FloatArray]]

    def as_running(self) -> Running:
        """For a standing."""
        return Running(self.run.begun, self.run.state(), self.weights())


def _begin(network: nn.Module, parts: Parts, spec: TrainingSpec, restart: int, state: RunState | None = None) -> _Begun:
    """One of the restarts, from its state if it has one.

    Which it is decides the order of mini-batches, not which points are held out.
    """
    kept, held_out = parts
    seed = _seed(spec, restart)
    layout = _compilable(network, kept)
    if spec.implementation == "compiled" and layout is None:
        raise InvalidInput("training.implementation", "only torch can train this network")
    if layout is None or _choice(layout, len(kept.label_N), spec) == "torch":
        reference = TorchRun(network, kept, held_out, spec, order_seed=seed, state=state)
        return _Begun(reference, "torch", partial(arrays_of, network))
    plan = plan_of(layout, arrays_of(network))
    run = CompiledRun(plan, kept, held_out, spec, order_seed=seed, state=state)
    return _Begun(run, "compiled", lambda: state_of(layout, replace(plan, parameters=run.weights)))


def _train(
    network: nn.Module,
    parts: Parts,
    spec: TrainingSpec,
    restart: int,
    state: RunState | None,
    *,
    on_epochs: Callable[[Epochs], object],
    should_stop: Callable[[_Begun], bool],
) -> Outcome:
    """One of the restarts to its end, in place."""
    begun = _begin(network, parts, spec, restart, state)
    if begun.implementation == "torch":
        with one_thread():
            return _run(begun, spec, on_epochs, should_stop)
    outcome = _run(begun, spec, on_epochs, should_stop)
    _load(network, begun.weights())
    return outcome


def _load(network: nn.Module, weights: dict[str, FloatArray]) -> None:
    network.load_state_dict({key: torch.tensor(array) for key, array in weights.items()})


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
    begun: _Begun,
    spec: TrainingSpec,
    on_epochs: Callable[[Epochs], object],
    should_stop: Callable[[_Begun], bool],
) -> Outcome:
    run, implementation = begun.run, begun.implementation
    ending: Ending | None = None
    while ending is None:
        if should_stop(begun):
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
class Best:
    """The network of the best of several trainings, and how that ended."""

    network: nn.Module
    outcome: Outcome


@dataclass(frozen=True)
class Trained:
    """What came of several trainings, all in the order of their seeds.

    Either there is a best, or they were stopped and there is the standing from which they can go on.
    """

    best: Best | None
    restarts: tuple[Restart, ...]
    resume_state: ResumeState | None = None


def train_best(
    build: Callable[[int], nn.Module],
    points: LabelledPoints,
    spec: TrainingSpec,
    *,
    threads: int,
    observer: Observer = NOBODY,
    resume: ResumeState | None = None,
) -> Trained:
    """Trains `spec.restarts` networks, from the seeds `spec.seed`, `spec.seed` + 1, ..., and keeps the best.

    The best has the least validation loss, without validation points the least training loss; of equals the first. One
    that diverged is kept only if all did. The result depends neither on `threads` nor on how often and where they were
    stopped.

    Args:
        build: a new network from a seed.
        points: what to learn; all restarts hold out the same.
        spec: how.
        threads: most that train at a time. The compiled kernel needs no interpreter, so that as many as there are cores
            are worth it, but for small mini-batches, whose order the interpreter draws.
        observer: told of them while they train, and asked whether to stop them.
        resume: where they stood, to go on from there; those that had ended are not trained again.

    Raises:
        InvalidInput: see `train`.
        ValueError: `resume` is not of this training.
    """
    with one_thread():
        several = _Several(build, points, spec, observer)
        if resume is not None:
            several.go_on_from(resume)
        restarts = _on_threads(several.run, spec.restarts, threads, several.stopped)
    if several.stopped.is_set():
        return Trained(None, restarts, several.resume_state())
    return Trained(several.best, restarts)


class _Several:
    """The restarts of one training, for the threads that `run` them, each another."""

    def __init__(
        self, build: Callable[[int], nn.Module], points: LabelledPoints, spec: TrainingSpec, observer: Observer
    ) -> None:
        self.stopped = Event()
        self.best: Best | None = None  # of those that ended, all of which would fill the memory
        self._best_restart = 0
        self._build = build
        self._points = points
        self._parts = _parts(points, spec)
        self._spec = spec
        self._observer = observer
        self._one_at_a_time = Lock()  # for the observer, and for building: torch has one random generator for all
        self._ended: dict[int, Restart] = {}
        self._running: dict[int, Running] = {}  # as they last were when a standing was wanted
        self._now: set[int] = set()  # those that a thread is at
        self._due: set[int] = set()  # those of them that have not been noted since a standing was wanted

    def go_on_from(self, resume_state: ResumeState) -> None:
        """Takes over where they stood; to be called before any begins.

        Raises:
            ValueError: it is not of this training, or not of this version's implementations.
        """
        if resume_state.task != self._task:
            raise ValueError("the standing is of another training")
        for restart, running in resume_state.running.items():
            _begin(self._new(restart), self._parts, self._spec, restart, running.state)
        if resume_state.leading:
            network = self._new(resume_state.leading.restart)
            run_state.check(resume_state.leading.weights, arrays_of(network))
            _load(network, resume_state.leading.weights)
            self.best, self._best_restart = Best(network, resume_state.leading.outcome), resume_state.leading.restart
        self._ended, self._running = dict(resume_state.ended), dict(resume_state.running)

    def run(self, restart: int) -> Restart:
        """Trains one of them from where it stands, to its end or until all are to stop."""
        with self._one_at_a_time:
            before = self._running.get(restart)
            if restart in self._ended:
                return self._ended[restart]
            if self._is_stopped():
                return Restart(_seed(self._spec, restart), "stopped", before.epochs if before else 0, None)
            network = self._new(restart)
            self._now.add(restart)
        outcome = _train(
            network,
            self._parts,
            self._spec,
            restart,
            before.state if before else None,
            on_epochs=partial(self._note, restart),
            should_stop=partial(self._ask, restart),
        )
        came = Restart(_seed(self._spec, restart), outcome.ending, outcome.epochs, outcome.metrics)
        if outcome.ending != "stopped":
            self._end(restart, came, Best(network, outcome))
        return came

    def resume_state(self) -> ResumeState:
        """Where they stand; while any trains, only for the thread that holds the lock."""
        best = self.best
        leading = Leading(self._best_restart, best.outcome, arrays_of(best.network)) if best else None
        return ResumeState(self._task, dict(self._running), dict(self._ended), leading)

    def _new(self, restart: int) -> nn.Module:
        return self._build(_seed(self._spec, restart))

    @cached_property
    def _task(self) -> str:
        """A digest of the data, of the settings, and of the network's layout if it is of dense layers."""
        parts = [self._points.digest, specs.asdict(self._spec), repr(layout_of(self._new(0)))]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _is_stopped(self) -> bool:
        if not self.stopped.is_set() and self._observer.should_stop():
            self.stopped.set()
        return self.stopped.is_set()

    def _note(self, restart: int, epochs: Epochs) -> None:
        with self._one_at_a_time:
            self._observer.note_epochs(restart, epochs)

    def _ask(self, restart: int, begun: _Begun) -> bool:
        """Does what the observer wants; whether to stop."""
        with self._one_at_a_time:
            stops = self._is_stopped()
            wants = not stops and self._observer.wants_resume_state()
            if wants:
                self._due = set(self._now)
            if stops or restart in self._due:
                self._running[restart] = begun.as_running()
                self._due.discard(restart)
            if wants:
                self._observer.note_resume_state(self.resume_state())
            if not stops and self._observer.wants_weights():
                self._observer.note_weights(restart, begun.run.begun, begun.weights())
            return stops

    def _end(self, restart: int, came: Restart, candidate: Best) -> None:
        with self._one_at_a_time:
            self._now.discard(restart)
            self._running.pop(restart, None)
            self._ended[restart] = came
            rank = _rank(candidate.outcome, restart)
            if self.best is None or rank < _rank(self.best.outcome, self._best_restart):
                self.best, self._best_restart = candidate, restart


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
