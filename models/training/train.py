"""Trains one network, by the kernel or by torch."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch import nn

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
from models.training import cost_model
from models.training.compiled_run import CompiledRun
from models.training.history import Recorder
from models.training.resume_state import Running
from models.training.runs import Epochs, Outcome, Run, StopReason
from models.training.torch_run import TorchRun, one_thread


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
        spec: the settings; `restarts` is ignored, see `models.training.restarts.train_best`.
        on_epochs: called with the epochs that have completed, up to some thousands at a time.
        should_stop: called before the training and then every few milliseconds, or after each step that takes longer.

    Raises:
        InvalidInput: the compiled implementation or `lbfgs` was requested, but the kernel cannot train this network.
    """
    parts = split_points(points, None, spec)
    new = NewNetwork.of(network)
    outcome, weights = train_new(new, parts, spec, 0, None, on_epochs=on_epochs, should_stop=lambda _: should_stop())
    load_arrays(network, weights)
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
    """The state dict of one of several restarts after an epoch, by a training that ends there.

    No step depends on how many epochs follow. So the weights are bit for bit the weights that the whole training has
    then, with the logits divided by the temperature, as in a finished training.

    Args:
        build: returns a new network for a seed, as for `models.training.restarts.train_best`.
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
        new = NewNetwork.build(build, seed_of(spec, restart))
        started = start(new, split_points(points, validation, spec), spec, restart)
        run, stop_reason = started.run, None
        while epoch and stop_reason is None:
            _, stop_reason = run.advance()
        if run.epochs_started < epoch or stop_reason == "diverged":
            raise InvalidInput("epoch", "must be smaller: the repeated training ends before this epoch")
        if spec.temperature != 1:
            run.divide_logits(spec.temperature)
        return started.weights()


Parts = tuple[LabelledPoints, LabelledPoints | None]
"""Training points, and validation points if there are any."""


def split_points(points: LabelledPoints, validation: LabelledPoints | None, spec: TrainingSpec) -> Parts:
    """The points to train on and the validation points, in float32."""
    points = replace(points, xy_ND=points.xy_ND.astype(np.float32, copy=False))
    if validation is not None:
        return points, replace(validation, xy_ND=validation.xy_ND.astype(np.float32, copy=False))
    return split(points, fraction=spec.validation_fraction, seed=spec.seed)


@dataclass(frozen=True)
class NewNetwork:
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
    def of(cls, network: nn.Module) -> "NewNetwork":
        """A network that is a module already, which the training then changes."""
        return cls(layout_of(network), arrays_of(network), lambda: network)

    @classmethod
    def build(cls, build: Callable[[int], nn.Module], seed: int) -> "NewNetwork":
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
class Started:
    """A training of one network, in progress.

    Attributes:
        run: the training itself.
        implementation: whether the kernel or torch trains.
        recorder: records the history.
        weights: copies the network's current state dict.
        weights_after: copies its state dict after one of the snapshot epochs that the last `run.advance` has completed.
    """

    run: Run
    implementation: Implementation
    recorder: Recorder
    weights: Callable[[], dict[str, FloatArray]]
    weights_after: Callable[[int], dict[str, FloatArray]]

    def as_running(self) -> Running:
        """The part of a resume state for this training."""
        return Running(self.run.epochs_started, self.run.state(), self.weights(), self.recorder.history())


def start(
    new: NewNetwork,
    parts: Parts,
    spec: TrainingSpec,
    restart: int,
    before: Running | None = None,
    snapshot_epochs: Sequence[int] = (),
) -> Started:
    """Starts one of the restarts, or continues it from where it was before.

    The number of the restart decides the order of mini-batches, but not which points are held out.
    """
    kept, held_out = parts
    seed = seed_of(spec, restart)
    state, recorder = (before.state, Recorder(spec.epochs, before.history)) if before else (None, Recorder(spec.epochs))
    layout = new.compilable(kept)
    if spec.optimizer == "lbfgs" and layout is None:
        raise InvalidInput("training.optimizer", "must be sgd or adam: the compiled kernel cannot train this network")
    if spec.implementation == "compiled" and layout is None:
        raise InvalidInput(
            "training.implementation", "must be auto or torch: the compiled kernel cannot train this network"
        )
    if spec.temperature != 1 and layout is None:
        raise InvalidInput("training.temperature", "must be 1: the output layer of this network is not known")
    if layout is None or cost_model.implementation(layout, len(kept.label_N), spec) == "torch":
        network = new.module()
        torch_run = TorchRun(network, kept, held_out, spec, order_seed=seed, state=state)
        weights = partial(arrays_of, network)
        return Started(torch_run, "torch", recorder, weights, lambda _: weights())  # torch advances by one epoch
    plan = plan_of(layout, new.weights)
    run = CompiledRun(plan, kept, held_out, spec, order_seed=seed, state=state, snapshot_epochs=snapshot_epochs)

    def state_dict(parameters: FloatArray) -> dict[str, FloatArray]:
        return state_of(layout, replace(plan, parameters=parameters))

    return Started(
        *(run, "compiled", recorder),
        weights=lambda: state_dict(run.weights),
        weights_after=lambda epoch: state_dict(run.weights_after(epoch)),
    )


def train_new(
    new: NewNetwork,
    parts: Parts,
    spec: TrainingSpec,
    restart: int,
    before: Running | None,
    *,
    on_epochs: Callable[[Epochs], object],
    should_stop: Callable[[Started], bool],
    snapshot_epochs: Sequence[int] = (),
    on_epoch_weights: Callable[[int, dict[str, FloatArray]], object] = lambda epoch, weights: None,
) -> tuple[Outcome, dict[str, FloatArray]]:
    """Trains one of the restarts to its end. Returns how it ended, and the state dict of the trained network.

    `on_epoch_weights` is called with a copy of the state dict right after each of the `snapshot_epochs`.
    """
    started = start(new, parts, spec, restart, before, snapshot_epochs)
    with one_thread() if started.implementation == "torch" else nullcontext():
        outcome = _run(started, spec, on_epochs, should_stop, _Snapshots(started, snapshot_epochs, on_epoch_weights))
    return outcome, started.weights()


def seed_of(spec: TrainingSpec, restart: int) -> int:
    """The seed of one of the restarts."""
    return (spec.seed + restart) % (MAX_SEED + 1)


class _Snapshots:
    """Copies the weights of a training after some of its epochs."""

    def __init__(
        self,
        started: Started,
        epochs: Sequence[int],
        on_epoch_weights: Callable[[int, dict[str, FloatArray]], object],
    ) -> None:
        self._started = started
        self._on_epoch_weights = on_epoch_weights
        begun = started.run.epochs_started  # a resumed training may begin within an epoch
        self._due = deque(epoch for epoch in epochs if epoch > begun)
        if begun == 0 and 0 in epochs:
            on_epoch_weights(0, started.weights())

    def take(self, last: int) -> None:
        """Copies the weights after the wanted epochs up to `last`, which the training has just completed."""
        while self._due and self._due[0] <= last:
            epoch = self._due.popleft()
            self._on_epoch_weights(epoch, self._started.weights_after(epoch))


def _run(
    started: Started,
    spec: TrainingSpec,
    on_epochs: Callable[[Epochs], object],
    should_stop: Callable[[Started], bool],
    snapshots: _Snapshots,
) -> Outcome:
    run, implementation = started.run, started.implementation
    stop_reason: StopReason | None = None
    while stop_reason is None:
        if should_stop(started):
            return Outcome("stopped", run.epochs_started, None, implementation, history=started.recorder.history())
        epochs, stop_reason = run.advance()
        if epochs is not None:
            started.recorder.take(epochs)
            on_epochs(epochs)
            snapshots.take(epochs.last.number)
    metrics = run.measure()
    if stop_reason == "diverged" or not metrics.finite:  # metrics are not finite if the last step diverged
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
        started.recorder.history(),
    )


def _advice(spec: TrainingSpec, epoch: int) -> str:
    """Advice after a divergence. With SGD, weight decay by itself diverges if the learning rate is too large for it.

    The step `w - learning_rate weight_decay w` overshoots zero by more than `w` if the product exceeds 2. With momentum
    the limit is 2 (1 + momentum), as for heavy-ball descent on a parabola (Polyak, 1964).
    """
    what = f"The loss or a weight was no longer finite in epoch {epoch}."
    if spec.optimizer == "lbfgs":  # whose line search refuses such weights, so these are the initial ones
        return f"{what} Try scale=standard if that is not set."
    product = spec.rate * spec.weight_decay
    if spec.optimizer == "sgd" and product > 2 * (1 + (spec.momentum or 0.0)):
        reason = f"learning_rate x weight_decay is {product:g}: weight decay makes the weights larger in every step."
        return f"{what} {reason} Try a weight_decay below {1 / spec.rate:g}."
    return f"{what} Try a learning_rate below {spec.rate:g}, or scale=standard if that is not set."
