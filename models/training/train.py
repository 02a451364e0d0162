"""Trains one network, or several from different seeds, of which the best is kept."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from threading import Event, Lock

import numpy as np
from torch import nn

from models import specs
from models.datasets import Array, FloatArray, LabelledPoints, split
from models.limits import MAX_SEED
from models.networks.layouts import Layout
from models.networks.modules import Builder, arrays_of, layout_of, load_arrays
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
from models.training.resume_state import BestSoFar, ResumeState, Running
from models.training.run_state import RunState
from models.training.runs import Epochs, Outcome, Restart, Run, StopReason
from models.training.torch_run import TorchRun, one_thread


class Observer:
    """Follows and controls `train_best`. This base class ignores all events and asks for nothing.

    Methods are called by one thread at a time: the questions before each training and then every few milliseconds, or
    after each step that takes longer.
    """

    def should_stop(self) -> bool:
        """Whether all restarts should stop now."""
        return False

    def on_epochs(self, restart: int, epochs: Epochs) -> None:
        """Called with the epochs that a restart has completed, up to some thousands at a time."""

    def wants_resume_state(self) -> bool:
        """Whether to call `on_resume_state` now."""
        return False

    def on_resume_state(self, resume_state: ResumeState) -> None:
        """Called with the resume state of all restarts.

        The state of one restart is current, that of others in progress is from the last time one was wanted. Restarts
        that have started since are not included.
        """

    def wants_weights(self) -> bool:
        """Whether to call `on_weights` now."""
        return False

    def on_weights(self, restart: int, epoch: int, weights: dict[str, FloatArray]) -> None:
        """Called with a copy of a restart's current state dict; `epoch` is the number of epochs it has started."""


_SILENT = Observer()


def train(
    network: nn.Module,
    points: LabelledPoints,
    spec: TrainingSpec,
    *,
    on_epochs: Callable[[Epochs], object] = lambda epochs: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Trains a network in place.

    The loss is binary cross-entropy with logits for networks of one logit, else softmax cross-entropy. A loss or a
    weight that is not finite ends the training as `diverged`. The network then holds the last weights whose loss was
    finite.

    Args:
        network: takes float32 (N, D), returns logits (N, O).
        points: the training data.
        spec: the settings; `restarts` is ignored, see `train_best`.
        on_epochs: called with the epochs that have completed, up to some thousands at a time.
        should_stop: called before the training and then every few milliseconds, or after each step that takes longer.

    Raises:
        InvalidInput: the compiled implementation or `lbfgs` was requested, but the kernel cannot train this network.
    """
    parts = _parts(points, None, spec)
    new = _New.of(network)
    outcome, trained = _train(new, parts, spec, 0, None, on_epochs=on_epochs, should_stop=lambda _: should_stop())
    trained()
    return outcome


def weights_after(
    build: Callable[[int], nn.Module],
    points: LabelledPoints,
    spec: TrainingSpec,
    *,
    validation: LabelledPoints | None = None,
    restart: int = 0,
    epoch: int,
) -> dict[str, FloatArray]:
    """The state dict of one of the restarts of `train_best` after an epoch, by a training that ends there.

    No step depends on how many epochs follow. So the weights are, to the bit, those that the whole training has then,
    with the logits divided by the temperature, as those of a finished training are.

    Args:
        build: returns a new network for a seed, as for `train_best`.
        points: the training data.
        spec: the settings.
        validation: the validation points; without, `spec` says how many points are held out.
        restart: the number of the restart.
        epoch: counts from 1, for `lbfgs` in iterations; 0 is before the first one.

    Raises:
        InvalidInput: see `train`; or the training ends before that epoch.
    """
    spec = replace(spec, epochs=max(epoch, 1))
    with one_thread():
        new = _New.build(build, _seed(spec, restart))
        started = _start(new, _parts(points, validation, spec), spec, restart)
        run, stop_reason = started.run, None
        while epoch and stop_reason is None:
            _, stop_reason = run.advance()
        if run.epochs_started < epoch or stop_reason == "diverged":
            raise InvalidInput("epoch", "cannot be reached: the same training ends earlier here")
        if spec.temperature != 1:
            run.divide_logits(spec.temperature)
        return started.weights()


Parts = tuple[LabelledPoints, LabelledPoints | None]
"""Training points, and validation points if there are any."""


def _parts(points: LabelledPoints, validation: LabelledPoints | None, spec: TrainingSpec) -> Parts:
    points = replace(points, xy_ND=points.xy_ND.astype(np.float32, copy=False))
    if validation is not None:
        return points, replace(validation, xy_ND=validation.xy_ND.astype(np.float32, copy=False))
    return split(points, fraction=spec.validation_fraction, seed=spec.seed)


@dataclass(frozen=True)
class _New:
    """A network before its training.

    Attributes:
        layout: its layout; None if it does not consist of dense layers.
        weights: its state dict as arrays.
        module: returns it as a module.
    """

    layout: Layout | None
    weights: dict[str, Array]
    module: Callable[[], nn.Module]

    @classmethod
    def of(cls, network: nn.Module) -> "_New":
        """A network that is a module already, which the training then changes."""
        return cls(layout_of(network), arrays_of(network), lambda: network)

    @classmethod
    def build(cls, build: Callable[[int], nn.Module], seed: int) -> "_New":
        """A new network."""
        if isinstance(build, Builder):
            return cls(build.layout, build.weights(seed), partial(build, seed))
        return cls.of(build(seed))

    def compilable(self, points: LabelledPoints) -> Layout | None:
        """The layout if the kernel can train the network on these points, else None."""
        if self.layout is None or not all(np.isfinite(array).all() for array in self.weights.values()):
            return None
        ends = self.layout.stack[0].inputs, self.layout.stack[-1].outputs
        return self.layout if ends == (points.features, output_count(len(points.classes))) else None

    def with_weights(self, weights: Mapping[str, Array]) -> nn.Module:
        """The network as a module with other weights."""
        network = self.module()
        load_arrays(network, weights)
        return network


@dataclass(frozen=True)
class _Started:
    """A training of one network, in progress. `weights` copies the network's current state dict."""

    run: Run
    implementation: Implementation
    weights: Callable[[], dict[str, FloatArray]]

    def as_running(self) -> Running:
        """Its part of a resume state."""
        return Running(self.run.epochs_started, self.run.state(), self.weights())


def _start(new: _New, parts: Parts, spec: TrainingSpec, restart: int, state: RunState | None = None) -> _Started:
    """Starts one of the restarts, from its state if it has one.

    The number of the restart decides the order of mini-batches, but not which points are held out.
    """
    kept, held_out = parts
    seed = _seed(spec, restart)
    layout = new.compilable(kept)
    if spec.optimizer == "lbfgs" and layout is None:
        raise InvalidInput("training.optimizer", "must be sgd or adam: the compiled kernel cannot train this network")
    if spec.implementation == "compiled" and layout is None:
        raise InvalidInput(
            "training.implementation", "must be auto or torch: the compiled kernel cannot train this network"
        )
    if spec.temperature != 1 and layout is None:
        raise InvalidInput("training.temperature", "must be 1: the output layer of this network is not known")
    if layout is None or _choice(layout, len(kept.label_N), spec) == "torch":
        network = new.module()
        torch_run = TorchRun(network, kept, held_out, spec, order_seed=seed, state=state)
        return _Started(torch_run, "torch", partial(arrays_of, network))
    plan = plan_of(layout, new.weights)
    run = CompiledRun(plan, kept, held_out, spec, order_seed=seed, state=state)
    return _Started(run, "compiled", lambda: state_of(layout, replace(plan, parameters=run.weights)))


def _train(
    new: _New,
    parts: Parts,
    spec: TrainingSpec,
    restart: int,
    state: RunState | None,
    *,
    on_epochs: Callable[[Epochs], object],
    should_stop: Callable[[_Started], bool],
) -> tuple[Outcome, Callable[[], nn.Module]]:
    """Trains one of the restarts to its end. Returns how it ended, and what makes the trained network."""
    started = _start(new, parts, spec, restart, state)
    with one_thread() if started.implementation == "torch" else nullcontext():
        outcome = _run(started, spec, on_epochs, should_stop)
    return outcome, partial(new.with_weights, started.weights())


def _choice(layout: Layout, count: int, spec: TrainingSpec) -> Implementation:
    if spec.optimizer == "lbfgs":
        return "compiled"
    if spec.implementation == "auto":
        return faster(layout, min(spec.batch_size or count, count))
    return spec.implementation


def _seed(spec: TrainingSpec, restart: int) -> int:
    return (spec.seed + restart) % (MAX_SEED + 1)


def _run(
    started: _Started,
    spec: TrainingSpec,
    on_epochs: Callable[[Epochs], object],
    should_stop: Callable[[_Started], bool],
) -> Outcome:
    run, implementation = started.run, started.implementation
    stop_reason: StopReason | None = None
    while stop_reason is None:
        if should_stop(started):
            return Outcome("stopped", run.epochs_started, None, implementation)
        epochs, stop_reason = run.advance()
        if epochs is not None:
            on_epochs(epochs)
    metrics = run.measure()
    if stop_reason == "diverged" or not metrics.finite:  # the latter if the very last step diverged
        stop_reason = "diverged"
        run.restore_last_finite()
        metrics = run.measure()
    elif spec.temperature != 1:
        run.divide_logits(spec.temperature)
        metrics = run.measure()
    return Outcome(
        stop_reason,
        run.epochs_started,
        metrics if metrics.finite else None,
        implementation,
        _advice(spec, run.epochs_started) if stop_reason == "diverged" else None,
    )


def _advice(spec: TrainingSpec, epoch: int) -> str:
    """Advice after a divergence. With SGD, weight decay by itself diverges if the learning rate is too large for it.

    The step `w - learning_rate weight_decay w` overshoots zero by more than `w` if the product exceeds 2. With momentum
    the limit is 2 (1 + momentum), that of heavy-ball descent on a parabola (Polyak, 1964).
    """
    what = f"The loss or a weight was no longer finite in epoch {epoch}."
    if spec.optimizer == "lbfgs":  # whose line search refuses such weights, so these are the initial ones
        return f"{what} Try scale=standard if that is not set."
    product = spec.rate * spec.weight_decay
    if spec.optimizer == "sgd" and product > 2 * (1 + (spec.momentum or 0.0)):
        reason = f"learning_rate x weight_decay is {product:g}: weight decay makes the weights larger in every step."
        return f"{what} {reason} Try a weight_decay below {1 / spec.rate:g}."
    return f"{what} Try a learning_rate below {spec.rate:g}, or scale=standard if that is not set."


@dataclass(frozen=True)
class Best:
    """The best of several trained networks: the number of its restart, what makes it, and how its training ended."""

    restart: int
    make: Callable[[], nn.Module]
    outcome: Outcome

    @cached_property
    def network(self) -> nn.Module:
        """The network. Most restarts are not the best for long, and never need it."""
        return self.make()

    @property
    def rank(self) -> tuple[bool, float, int]:
        """Sort key: the lowest is the best."""
        loss = self.outcome.metrics.selection_loss if self.outcome.metrics else math.inf
        return self.outcome.stop_reason == "diverged", loss, self.restart


@dataclass(frozen=True)
class Trained:
    """The result of several trainings, in the order of their seeds.

    Either `best` or `resume_state` is set: the latter if they were stopped. `members` are all networks of an ensemble;
    without an ensemble they are only the best.
    """

    best: Best | None
    restarts: tuple[Restart, ...]
    resume_state: ResumeState | None = None
    members: tuple[Best, ...] = ()


def train_best(
    build: Callable[[int], nn.Module],
    points: LabelledPoints,
    spec: TrainingSpec,
    *,
    validation: LabelledPoints | None = None,
    threads: int,
    observer: Observer = _SILENT,
    resume_from: ResumeState | None = None,
) -> Trained:
    """Trains several networks, from the seeds `spec.seed`, `spec.seed` + 1, ..., and keeps the best, or an ensemble.

    The best has the lowest validation loss, or without validation points the lowest training loss; the first of equals.
    One that diverged is kept only if all did. The result depends neither on `threads` nor on when and how often the
    training was stopped and resumed.

    Args:
        build: returns a new network for a seed. A `Builder` saves the time for the modules of all but the best.
        points: the training data. All restarts hold out the same points.
        spec: the settings.
        validation: the validation points, with the classes of `points`, of which none is then held out.
        threads: most restarts that train at the same time. The kernel releases the GIL, so that as many threads as
            cores pay, except for small mini-batches, whose order is drawn in Python.
        observer: follows the trainings, and may stop them.
        resume_from: where an earlier call was stopped. Restarts that had ended are not trained again.

    Raises:
        InvalidInput: see `train`.
        ValueError: `resume_from` belongs to another training.
    """
    with one_thread():
        several = _Restarts(build, points, validation, spec, observer)
        if resume_from is not None:
            several.restore(resume_from)
        restarts = _on_threads(several.run, spec.networks, threads, several.stopped)
    if several.stopped.is_set():
        return Trained(None, restarts, several.resume_state())
    return Trained(several.best, restarts, members=several.kept)


class _Restarts:
    """The restarts of one training. Several threads call `run`, each with another number."""

    def __init__(
        self,
        build: Callable[[int], nn.Module],
        points: LabelledPoints,
        validation: LabelledPoints | None,
        spec: TrainingSpec,
        observer: Observer,
    ) -> None:
        self.stopped = Event()
        self.best: Best | None = None  # of those that ended: keeping all of them would fill the memory
        self._members: dict[int, Best] = {}  # of an ensemble, those that ended
        self._build = build
        self._points = points
        self._validation = validation
        self._parts = _parts(points, validation, spec)
        self._spec = spec
        self._observer = observer
        self._lock = Lock()  # for the observer, and what it sees
        self._ended: dict[int, Restart] = {}
        self._running: dict[int, Running] = {}  # as they were when a resume state was last wanted
        self._active: set[int] = set()  # those that a thread is training
        self._due: set[int] = set()  # active ones not yet in `_running` since a resume state was last wanted

    def restore(self, resume_state: ResumeState) -> None:
        """Continues from a resume state. Call it before the first `run`.

        Raises:
            ValueError: the resume state belongs to another training, or to other versions of the implementations.
        """
        if resume_state.task != self._task:
            raise ValueError("the resume state is of another training")
        for restart, running in resume_state.running.items():  # raises if a state does not fit
            _start(self._new(restart), self._parts, self._spec, restart, running.state)
        if resume_state.best:
            self.best = self._restored(resume_state.best)
        self._members = {one.restart: self._restored(one) for one in resume_state.members}
        self._ended, self._running = dict(resume_state.ended), dict(resume_state.running)

    def _restored(self, kept: BestSoFar) -> Best:
        new = self._new(kept.restart)
        run_state.check(kept.weights, new.weights)
        return Best(kept.restart, partial(new.with_weights, kept.weights), kept.outcome)

    @property
    def kept(self) -> tuple[Best, ...]:
        """The networks that the training has made."""
        if self._members:
            return tuple(self._members[number] for number in sorted(self._members))
        return (self.best,) if self.best else ()

    def run(self, restart: int) -> Restart:
        """Trains one of them, from its state if it has one, to its end or until all should stop."""
        with self._lock:
            before = self._running.get(restart)
            if restart in self._ended:
                return self._ended[restart]
            if self._is_stopped():
                return Restart(_seed(self._spec, restart), "stopped", before.epochs if before else 0, None)
            new = self._new(restart)
            self._active.add(restart)
        outcome, trained = _train(
            new,
            self._parts,
            self._spec,
            restart,
            before.state if before else None,
            on_epochs=partial(self._report, restart),
            should_stop=partial(self._ask, restart),
        )
        result = Restart(_seed(self._spec, restart), outcome.stop_reason, outcome.epochs, outcome.metrics)
        if outcome.stop_reason != "stopped":
            self._end(result, Best(restart, trained, outcome))
        return result

    def resume_state(self) -> ResumeState:
        """The current resume state. While any restart trains, call it only with the lock held."""
        best = _so_far(self.best) if self.best else None
        members = tuple(map(_so_far, self._members.values()))
        return ResumeState(self._task, dict(self._running), dict(self._ended), best, members)

    def _new(self, restart: int) -> _New:
        return _New.build(self._build, _seed(self._spec, restart))

    @cached_property
    def _task(self) -> str:
        """A digest of the data, the settings, and the network's layout if it consists of dense layers."""
        parts = [self._points.digest, specs.asdict(self._spec), repr(self._new(0).layout)]
        if self._validation is not None:
            parts.append(self._validation.digest)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _is_stopped(self) -> bool:
        if not self.stopped.is_set() and self._observer.should_stop():
            self.stopped.set()
        return self.stopped.is_set()

    def _report(self, restart: int, epochs: Epochs) -> None:
        with self._lock:
            self._observer.on_epochs(restart, epochs)

    def _ask(self, restart: int, started: _Started) -> bool:
        """Gives the observer what it wants. Returns whether to stop."""
        with self._lock:
            stops = self._is_stopped()
            wants = not stops and self._observer.wants_resume_state()
            if wants:
                self._due = set(self._active)
            if stops or restart in self._due:
                self._running[restart] = started.as_running()
                self._due.discard(restart)
            if wants:
                self._observer.on_resume_state(self.resume_state())
            if not stops and self._observer.wants_weights():
                self._observer.on_weights(restart, started.run.epochs_started, started.weights())
            return stops

    def _end(self, result: Restart, candidate: Best) -> None:
        with self._lock:
            self._active.discard(candidate.restart)
            self._running.pop(candidate.restart, None)
            self._ended[candidate.restart] = result
            if self.best is None or candidate.rank < self.best.rank:
                self.best = candidate
            if self._spec.ensemble > 1:
                self._members[candidate.restart] = candidate


def _so_far(kept: Best) -> BestSoFar:
    return BestSoFar(kept.restart, kept.outcome, arrays_of(kept.network))


def _on_threads(run: Callable[[int], Restart], restarts: int, threads: int, stopped: Event) -> tuple[Restart, ...]:
    if min(threads, restarts) == 1:  # in this thread, which Ctrl-C can interrupt
        return tuple(map(run, range(restarts)))
    with ThreadPoolExecutor(threads) as pool:
        try:
            return tuple(pool.map(run, range(restarts)))
        except BaseException:
            stopped.set()
            raise
