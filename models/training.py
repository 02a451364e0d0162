"""Training by plain torch autograd: the reference that every faster way is held against."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.datasets import LabelledPoints, split
from models.specs import TrainingSpec

Batch = tuple[Tensor, Tensor]
"""Points, float32 (N, D), and what the loss wants of them: class indices, int64 (N,), or 0.0 and 1.0, float32 (N,)."""

Ending = Literal["finished", "stalled", "stopped", "diverged"]


@dataclass(frozen=True)
class Epoch:
    """One pass over the training points.

    `number` counts from 1. `loss` and `accuracy` are those of the training points as the pass met them, before each of
    its steps; the validation figures, None without validation points, are taken after the pass.
    """

    number: int
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


@dataclass(frozen=True)
class Metrics:
    """Mean loss (natural log) and share of right answers of a trained network, by the points it was measured on."""

    training_loss: float
    training_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None

    @property
    def finite(self) -> bool:
        """Whether the losses can be written down."""
        return math.isfinite(self.training_loss) and math.isfinite(self.validation_loss or 0.0)


@dataclass(frozen=True)
class Outcome:
    """How a training ended. The network it was called with holds the weights.

    Attributes:
        ending: `finished` all epochs, `stalled` (stopped early), `stopped` when asked to, or `diverged`.
        epochs: the number of passes begun.
        metrics: of the weights held at the end; None if their loss is not finite, or if the training was stopped.
        advice: what to try, when it diverged.
    """

    ending: Ending
    epochs: int
    metrics: Metrics | None
    advice: str | None = None


def train(
    network: nn.Module,
    points: LabelledPoints,
    spec: TrainingSpec,
    *,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Trains a network in place.

    Binary networks (one logit) learn by binary cross-entropy with logits, others by softmax cross-entropy. A loss or a
    weight that is not finite ends the training as `diverged`; the network then holds the last weights whose loss was
    finite.

    Args:
        network: takes float32 (N, D), gives logits (N, O).
        points: what to learn.
        spec: how.
        on_epoch: called after every pass.
        should_stop: asked after every step.
    """
    kept, held_out = split(points, fraction=spec.validation_fraction, seed=spec.seed)
    training = _tensors(kept)
    validation = _tensors(held_out) if held_out else None
    parameters = list(network.parameters())
    optimizer = _optimizer(parameters, spec)
    rng = np.random.default_rng(spec.seed)
    stall = _Stall(spec)
    ending: Ending = "finished"
    weights = good = _weights(parameters)  # good: those that the last finite loss was measured on
    with _one_thread():
        for number in range(1, spec.epochs + 1):
            passed = _pass(network, training, optimizer, spec.batch_size, rng, should_stop)
            if passed is None:
                ending = "stopped"
                break
            loss, accuracy = passed
            if not math.isfinite(loss):
                ending = "diverged"
                break
            good, weights = weights, _weights(parameters)
            if not math.isfinite(weights.sum().item()):
                ending = "diverged"
                break
            epoch = Epoch(number, loss, accuracy, *_measure(network, validation))
            on_epoch(epoch)
            if stall.after(epoch):
                ending = "stalled"
                break
            if should_stop():
                ending = "stopped"
                break
        if ending == "stopped":
            return Outcome(ending, number, metrics=None)
        metrics = Metrics(*_measure(network, training), *_measure(network, validation))
        if not metrics.finite:  # the last step went too far, and no pass came after it to find out
            ending = "diverged"
        if ending == "diverged":
            _restore(parameters, good)
            metrics = Metrics(*_measure(network, training), *_measure(network, validation))
    return Outcome(ending, number, metrics if metrics.finite else None, _advice(spec, number, ending))


class _Stall:
    """Counts the epochs since the watched loss last improved."""

    def __init__(self, spec: TrainingSpec) -> None:
        self.patience = spec.patience
        self.min_delta = spec.min_delta
        self.best = math.inf
        self.since = 0

    def after(self, epoch: Epoch) -> bool:
        """Whether to stop now."""
        watched = epoch.loss if epoch.validation_loss is None else epoch.validation_loss
        if watched < self.best - self.min_delta:
            self.best, self.since = watched, 0
        else:
            self.since += 1
        return self.patience is not None and self.since >= self.patience


def _tensors(points: LabelledPoints) -> Batch:
    label_N = torch.from_numpy(points.label_N)
    return torch.from_numpy(points.xy_ND), label_N.to(torch.float32) if len(points.classes) == 2 else label_N


def _optimizer(parameters: list[nn.Parameter], spec: TrainingSpec) -> torch.optim.Optimizer:
    # foreach=False: on a CPU the loop over a few small tensors is the faster of torch's two forms
    if spec.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=spec.learning_rate, weight_decay=spec.weight_decay, foreach=False)
    return torch.optim.SGD(
        parameters,
        lr=spec.learning_rate,
        momentum=spec.momentum,
        weight_decay=spec.weight_decay,
        foreach=False,
    )


def _pass(
    network: nn.Module,
    training: Batch,
    optimizer: torch.optim.Optimizer,
    batch_size: int | None,
    rng: np.random.Generator,
    should_stop: Callable[[], bool],
) -> tuple[float, float] | None:
    """One pass over the training points: their mean loss and accuracy, each as met before its step.

    None if the pass was stopped between two of its steps.
    """
    loss_sum, right = 0.0, 0
    for step, (x_ND, target_N) in enumerate(_batches(training, batch_size, rng)):
        if step and should_stop():
            return None
        logit_NO = network(x_ND)
        loss = _loss(logit_NO, target_N)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
        loss_sum += loss.item() * len(x_ND)
        right += _right(logit_NO, target_N)
    count = len(training[0])
    return loss_sum / count, right / count


def _batches(training: Batch, batch_size: int | None, rng: np.random.Generator) -> Iterator[Batch]:
    if batch_size is None:
        yield training
        return
    x_ND, target_N = training
    order_N = torch.from_numpy(rng.permutation(len(x_ND)))
    for index in torch.split(order_N, batch_size):
        yield x_ND[index], target_N[index]


def _loss(logit_NO: Tensor, target_N: Tensor) -> Tensor:
    """Mean loss: binary cross-entropy for one logit, else softmax cross-entropy."""
    if logit_NO.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logit_NO[:, 0], target_N)
    return functional.cross_entropy(logit_NO, target_N)


def _right(logit_NO: Tensor, target_N: Tensor) -> int:
    """How many points get their own class."""
    best_N = logit_NO[:, 0] > 0 if logit_NO.shape[1] == 1 else logit_NO.argmax(dim=1)
    return int((best_N == target_N).sum())


def _measure(network: nn.Module, points: Batch | None) -> tuple[float, float] | tuple[None, None]:
    """Mean loss and accuracy on some points, if there are any."""
    if points is None:
        return None, None
    x_ND, target_N = points
    with torch.no_grad():
        logit_NO = network(x_ND)
        return _loss(logit_NO, target_N).item(), _right(logit_NO, target_N) / len(x_ND)


def _weights(parameters: list[nn.Parameter]) -> Tensor:
    """All parameters in one vector, a copy."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in parameters])


def _restore(parameters: list[nn.Parameter], weights: Tensor) -> None:
    with torch.no_grad():
        for parameter, part in zip(parameters, torch.split(weights, [p.numel() for p in parameters]), strict=True):
            parameter.copy_(part.view_as(parameter))


def _advice(spec: TrainingSpec, number: int, ending: Ending) -> str | None:
    if ending != "diverged":
        return None
    return (
        f"The loss or a weight stopped being finite in epoch {number}. "
        f"Try a learning_rate below {spec.learning_rate:g}, "
        "or scale the points so that their coordinates lie between about -5 and 5."
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread of torch: more make small work slower, many times so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
