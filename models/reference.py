"""Training by plain torch autograd: of any module, and the reference that the compiled kernel is held against."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.datasets import LabelledPoints
from models.runs import Ending, Epoch, Epochs, Metrics
from models.specs import TrainingSpec

Batch = tuple[Tensor, Tensor]
"""Points, float32 (N, D), and what the loss wants of them: class indices, int64 (N,), or 0.0 and 1.0, float32 (N,)."""


class TorchRun:
    """A training of a network in place; see `models.runs.Run`. Each `advance` is one step of the optimiser.

    To be run within `one_thread`.
    """

    def __init__(
        self,
        network: nn.Module,
        training: LabelledPoints,
        validation: LabelledPoints | None,
        spec: TrainingSpec,
        *,
        order_seed: int,
    ) -> None:
        """Nothing is trained yet. The network takes float32 (N, D) and gives logits (N, O)."""
        self.begun = 0
        self._network = network
        self._training = _tensors(training)
        self._validation = _tensors(validation) if validation else None
        self._spec = spec
        self._parameters = list(network.parameters())
        self._optimizer = _optimizer(self._parameters, spec)
        self._rng = np.random.default_rng(order_seed)
        self._batches: Iterator[Batch] = iter(())
        self._stall = _Stall(spec)
        self._start = self._good = _weights(self._parameters)  # good: those that the last finite loss was measured on
        self._steps_left = 0
        self._loss_sum, self._right = 0.0, 0

    def advance(self) -> tuple[Epochs | None, Ending | None]:
        """One step more."""
        if self._steps_left == 0:
            self._begin_epoch()
        self._step(*next(self._batches))
        self._steps_left -= 1
        return self._end_epoch() if self._steps_left == 0 else (None, None)

    def _begin_epoch(self) -> None:
        self.begun += 1
        count, size = len(self._training[0]), self._spec.batch_size
        self._steps_left = math.ceil(count / size) if size else 1
        self._batches = _batches(self._training, size, self._rng)
        self._loss_sum, self._right = 0.0, 0

    def _step(self, x_ND: Tensor, target_N: Tensor) -> None:
        logit_NO = self._network(x_ND)
        loss = _loss(logit_NO, target_N)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        self._optimizer.step()
        self._loss_sum += loss.item() * len(x_ND)
        self._right += _right(logit_NO, target_N)

    def _end_epoch(self) -> tuple[Epochs | None, Ending | None]:
        if not math.isfinite(self._loss_sum):
            return None, "diverged"
        self._good, self._start = self._start, _weights(self._parameters)
        if not math.isfinite(self._start.sum().item()):
            return None, "diverged"
        count = len(self._training[0])
        epoch = Epoch(
            self.begun, self._loss_sum / count, self._right / count, *_measure(self._network, self._validation)
        )
        if self._stall.after(epoch):
            return Epochs.of(epoch), "stalled"
        return Epochs.of(epoch), "finished" if self.begun == self._spec.epochs else None

    def measure(self) -> Metrics:
        """The loss and accuracy of the weights as they are now."""
        return Metrics(*_measure(self._network, self._training), *_measure(self._network, self._validation))

    def step_back(self) -> None:
        """Goes back to the last weights that are known to have a finite loss."""
        with torch.no_grad():
            parts = torch.split(self._good, [parameter.numel() for parameter in self._parameters])
            for parameter, part in zip(self._parameters, parts, strict=True):
                parameter.copy_(part.view_as(parameter))


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


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch: more make small work slower, many times so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
