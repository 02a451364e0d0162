"""Trains several networks from different seeds, and keeps the best one or all of them as an ensemble."""

import hashlib
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from threading import Event, Lock

from torch import nn

from models import specs
from models.datasets import FloatArray, LabelledPoints
from models.specs import TrainingSpec
from models.training import run_state
from models.training.resume_state import BestSoFar, ResumeState, Running
from models.training.runs import Epochs, History, Outcome, Restart
from models.training.torch_run import one_thread
from models.training.train import NewNetwork, Started, seed_of, split_points, start, train_new


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

    def on_history(self, restart: int, history: Callable[[], History]) -> None:
        """Called when the history of a restart has grown, which happens about a hundred times.

        `history` makes the history up to then. It may be called at any later time, in any thread.
        """

    def wants_resume_state(self) -> bool:
        """Whether to call `on_resume_state` now."""
        return False

    def on_resume_state(self, resume_state: ResumeState) -> None:
        """Called with the resume state of all restarts.

        The state of one restart is current; the states of others in progress are from the last time one was wanted.
        Restarts that have started since are not included.
        """

    snapshot_epochs: tuple[int, ...] = ()
    """The epochs after which `on_epoch_weights` is called, ascending; 0 is before the training."""

    def on_epoch_weights(self, restart: int, epoch: int, weights: dict[str, FloatArray]) -> None:
        """Called with a copy of a restart's state dict right after one of the `snapshot_epochs`, if it gets so far."""

    def wants_weights(self) -> bool:
        """Whether to call `on_weights` now."""
        return False

    def on_weights(self, restart: int, epoch: int, weights: dict[str, FloatArray]) -> None:
        """Called with a copy of a restart's current state dict; `epoch` is the number of epochs it has started."""


_SILENT = Observer()


@dataclass(frozen=True)
class Best:
    """A trained network that is kept: its restart, the untrained network, its state dict, and its outcome."""

    restart: int
    new: NewNetwork
    weights: dict[str, FloatArray]
    outcome: Outcome

    @cached_property
    def network(self) -> nn.Module:
        """The network as a module."""
        return self.new.with_weights(self.weights)

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
        threads: maximum number of restarts that train at the same time. The kernel releases the GIL, so as many
            threads as cores pay, except for small mini-batches, whose order is drawn in Python.
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
        self._parts = split_points(points, validation, spec)
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
            start(self._new(restart), self._parts, self._spec, restart, running)
        if resume_state.best:
            self.best = self._restored(resume_state.best)
        self._members = {one.restart: self._restored(one) for one in resume_state.members}
        self._ended, self._running = dict(resume_state.ended), dict(resume_state.running)

    def _restored(self, kept: BestSoFar) -> Best:
        new = self._new(kept.restart)
        run_state.check(kept.weights, new.weights)
        return Best(kept.restart, new, kept.weights, kept.outcome)

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
                return Restart(seed_of(self._spec, restart), "stopped", before.epochs if before else 0, None)
            new = self._new(restart)
            self._active.add(restart)
        outcome, weights = train_new(
            new,
            self._parts,
            self._spec,
            restart,
            before,
            on_epochs=partial(self._report, restart),
            should_stop=partial(self._ask, restart),
            snapshot_epochs=self._observer.snapshot_epochs,
            on_epoch_weights=partial(self._keep, restart),
        )
        result = Restart(seed_of(self._spec, restart), outcome.stop_reason, outcome.epochs, outcome.metrics)
        if outcome.stop_reason != "stopped":
            self._end(result, Best(restart, new, weights, outcome))
        return result

    def resume_state(self) -> ResumeState:
        """The current resume state. While any restart trains, call it only with the lock held."""
        best = _so_far(self.best) if self.best else None
        members = tuple(map(_so_far, self._members.values()))
        return ResumeState(self._task, dict(self._running), dict(self._ended), best, members)

    def _new(self, restart: int) -> NewNetwork:
        return NewNetwork.build(self._build, seed_of(self._spec, restart))

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

    def _keep(self, restart: int, epoch: int, weights: dict[str, FloatArray]) -> None:
        with self._lock:
            self._observer.on_epoch_weights(restart, epoch, weights)

    def _ask(self, restart: int, started: Started) -> bool:
        """Gives the observer what it wants. Returns whether to stop."""
        with self._lock:
            if started.recorder.has_grown:
                self._observer.on_history(restart, started.recorder.so_far())
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
    return BestSoFar(kept.restart, kept.outcome, kept.weights)


def _on_threads(run: Callable[[int], Restart], restarts: int, threads: int, stopped: Event) -> tuple[Restart, ...]:
    if min(threads, restarts) == 1:  # in this thread, which Ctrl-C can interrupt
        return tuple(map(run, range(restarts)))
    with ThreadPoolExecutor(threads) as pool:
        try:
            return tuple(pool.map(run, range(restarts)))
        except BaseException:
            stopped.set()
            raise
