"""Training by plain torch autograd: for any module, and as the reference that tests compare the kernel with."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.datasets import Array, LabelledPoints
from models.networks.modules import arrays_of, layout_of
from models.recipes import class_weights
from models.specs import Optimizer, TrainingSpec
from models.training import run_state
from models.training.run_state import RunState
from models.training.runs import Epoch, Epochs, Metrics, StopReason

Batch = tuple[Tensor, Tensor]
"""Points, float32 (N, D), and targets of the loss: class indices, int64 (N,), or 0.0 and 1.0, float32 (N,)."""


class TorchRun:
    """A training of a network in place; see `models.training.runs.Run`. Each `advance` is one step of the optimizer.

    Run it within `one_thread`.
    """

    def __init__(
        self,
        network: nn.Module,
        training: LabelledPoints,
        validation: LabelledPoints | None,
        spec: TrainingSpec,
        *,
        order_seed: int,
        state: RunState | None = None,
    ) -> None:
        """Prepares the training. The network takes float32 (N, D) and returns logits (N, O).

        Raises:
            ValueError: the state does not belong to an unfinished training of such a network.
        """
        self.epochs_started = 0
        self._network = network
        weight_K = class_weights(spec, training)
        self._weight_K = None if weight_K is None else torch.from_numpy(weight_K)
        self._training = _tensors(training)
        self._validation = _tensors(validation) if validation else None
        self._spec = spec
        self._parameters = list(network.parameters())
        self._optimizer = _OPTIMIZERS[spec.optimizer].make(self._parameters, spec)
        self._rng = np.random.default_rng(order_seed)
        self._order_N = torch.arange(len(training.label_N) if spec.batch_size else 0)  # of the current epoch
        self._batches = math.ceil(len(training.label_N) / spec.batch_size) if spec.batch_size else 1
        self._best, self._epochs_since_best = math.inf, 0  # of the loss that early stopping watches
        self._start = _weights(self._parameters)
        self._last_finite = self._start  # the last weights that had a finite loss
        self._steps_left = 0
        self._loss_sum, self._correct = 0.0, 0
        if state is not None:
            self._restore(state)

    def advance(self) -> tuple[Epochs | None, StopReason | None]:
        """Trains for one step."""
        if self._steps_left == 0:
            self._begin_epoch()
        self._step(*self._batch())
        self._steps_left -= 1
        return self._end_epoch() if self._steps_left == 0 else (None, None)

    def _begin_epoch(self) -> None:
        self.epochs_started += 1
        self._steps_left = self._batches
        if self._spec.batch_size:
            self._order_N = torch.from_numpy(self._rng.permutation(len(self._order_N)))
        self._loss_sum, self._correct = 0.0, 0

    def _batch(self) -> Batch:
        size = self._spec.batch_size
        if not size:
            return self._training
        x_ND, target_N = self._training
        done = (self._batches - self._steps_left) * size
        index = self._order_N[done : done + size]
        return x_ND[index], target_N[index]

    def _step(self, x_ND: Tensor, target_N: Tensor) -> None:
        logit_NO = self._network(x_ND)
        loss = _loss(logit_NO, target_N, self._weight_K)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        self._optimizer.step()
        self._loss_sum += loss.item() * _total_weight(target_N, self._weight_K)
        self._correct += _correct(logit_NO, target_N)

    def _end_epoch(self) -> tuple[Epochs | None, StopReason | None]:
        if not math.isfinite(self._loss_sum):
            return None, "diverged"
        self._last_finite, self._start = self._start, _weights(self._parameters)
        if not math.isfinite(self._start.sum().item()):
            return None, "diverged"
        target_N = self._training[1]
        epoch = Epoch(
            self.epochs_started,
            self._loss_sum / _total_weight(target_N, self._weight_K),
            self._correct / len(target_N),
            *_measure(self._network, self._validation, self._weight_K),
        )
        if self._stops_early(epoch):
            return Epochs.of(epoch), "early_stopped"
        return Epochs.of(epoch), "completed" if self.epochs_started == self._spec.epochs else None

    def _stops_early(self, epoch: Epoch) -> bool:
        watched = epoch.loss if epoch.validation_loss is None else epoch.validation_loss
        if watched < self._best - self._spec.min_delta:
            self._best, self._epochs_since_best = watched, 0
        else:
            self._epochs_since_best += 1
        return self._spec.patience is not None and self._epochs_since_best >= self._spec.patience

    def state(self) -> RunState:
        """Copies of the network's state dict, of the optimizer's moments, and of the progress within the epoch.

        The state excludes torch's own random generator, which dropout uses, for example.
        """
        return {
            **{f"network.{key}": array for key, array in arrays_of(self._network).items()},
            **{f"optimizer.{key}": moment.numpy().copy() for key, moment in self._moments().items()},
            "start": self._start.numpy().copy(),
            "last_finite": self._last_finite.numpy().copy(),
            "order_N": self._order_N.numpy().copy(),
            "counts": np.array([self.epochs_started, self._steps_left, self._correct, self._epochs_since_best]),
            "sums": np.array([self._loss_sum, self._best]),
            "generator": run_state.generator_state(self._rng),
        }

    def _moments(self) -> dict[str, Tensor]:
        """What the optimizer keeps for each parameter; 0 before its first step."""
        moments = {}
        for i, parameter in enumerate(self._parameters):
            for name in self._moment_names:
                zero = torch.tensor(0.0) if name == "step" else torch.zeros_like(parameter)
                moments[f"{i}.{name}"] = self._optimizer.state.get(parameter, {}).get(name, zero).detach()
        return moments

    def _restore(self, state: RunState) -> None:
        run_state.check(state, self.state())
        run_state.check_orders(state["order_N"][None])
        epochs_started, steps_left, correct, epochs_since_best = state["counts"].tolist()
        self._check_counts(epochs_started, steps_left)
        self._rng = run_state.restored_generator(state["generator"])
        self._network.load_state_dict({key: torch.tensor(array) for key, array in _part(state, "network").items()})
        if epochs_started:  # before that the optimizer has no moments: it makes them from the first gradient
            self._load_moments(_part(state, "optimizer"))
        self._start, self._last_finite = torch.tensor(state["start"]), torch.tensor(state["last_finite"])
        self._order_N = torch.tensor(state["order_N"])
        self.epochs_started, self._steps_left, self._correct = epochs_started, steps_left, correct
        self._epochs_since_best = epochs_since_best
        self._loss_sum, self._best = state["sums"].tolist()

    def _check_counts(self, epochs_started: int, steps_left: int) -> None:
        between_epochs = steps_left == 0 and 0 <= epochs_started < self._spec.epochs
        in_epoch = 0 < steps_left < self._batches and 0 < epochs_started <= self._spec.epochs
        if not (between_epochs or in_epoch):
            raise ValueError("the state's counts must be those of an unfinished training")

    @property
    def _moment_names(self) -> tuple[str, ...]:
        return _OPTIMIZERS[self._spec.optimizer].moments(self._spec)

    def _load_moments(self, moments: Mapping[str, Array]) -> None:
        for i, parameter in enumerate(self._parameters):
            own = {name: torch.tensor(moments[f"{i}.{name}"]) for name in self._moment_names}
            self._optimizer.state[parameter] = own

    def measure(self) -> Metrics:
        """Loss and accuracy of the current weights, with all classes of weight 1."""
        return Metrics(*_measure(self._network, self._training), *_measure(self._network, self._validation))

    def divide_logits(self, temperature: float) -> None:
        """Divides the weights of the output layer and of the skip connection, and so all logits."""
        layout = layout_of(self._network)
        assert layout is not None  # checked when the training started
        named = dict(self._network.named_parameters())
        with torch.no_grad():
            for layer in (layout.stack[-1], *([layout.skip] if layout.skip else [])):
                named[layer.weight].div_(temperature)
                named[layer.bias].div_(temperature)

    def restore_last_finite(self) -> None:
        """Restores the last weights known to have a finite loss."""
        with torch.no_grad():
            parts = torch.split(self._last_finite, [parameter.numel() for parameter in self._parameters])
            for parameter, part in zip(self._parameters, parts, strict=True):
                parameter.copy_(part.view_as(parameter))


def _tensors(points: LabelledPoints) -> Batch:
    label_N = torch.from_numpy(points.label_N)
    return torch.from_numpy(points.xy_ND), label_N.to(torch.float32) if len(points.classes) == 2 else label_N


@dataclass(frozen=True)
class _OptimizerRow:
    """How to make an optimizer, and what it keeps for each parameter, by torch's names."""

    make: Callable[[list[nn.Parameter], TrainingSpec], torch.optim.Optimizer]
    moments: Callable[[TrainingSpec], tuple[str, ...]]


# foreach=False: for a few small tensors on a CPU, torch's plain loop is the faster of its two forms
_OPTIMIZERS: dict[Optimizer, _OptimizerRow] = {
    "sgd": _OptimizerRow(
        lambda parameters, spec: torch.optim.SGD(
            parameters,
            lr=spec.rate,
            momentum=spec.momentum or 0.0,
            weight_decay=spec.weight_decay,
            foreach=False,
        ),
        lambda spec: ("momentum_buffer",) if spec.momentum else (),
    ),
    "adam": _OptimizerRow(
        lambda parameters, spec: torch.optim.Adam(
            parameters, lr=spec.rate, weight_decay=spec.weight_decay, foreach=False
        ),
        lambda spec: ("step", "exp_avg", "exp_avg_sq"),
    ),
}


def _part(state: RunState, prefix: str) -> dict[str, Array]:
    """The arrays whose names have a prefix, by their names without it."""
    return {name.removeprefix(f"{prefix}."): array for name, array in state.items() if name.startswith(f"{prefix}.")}


def _loss(logit_NO: Tensor, target_N: Tensor, weight_K: Tensor | None = None) -> Tensor:
    """Mean loss, weighted by class: binary cross-entropy for one logit, else softmax cross-entropy."""
    if logit_NO.shape[1] > 1:
        return functional.cross_entropy(logit_NO, target_N, weight_K)
    if weight_K is None:
        return functional.binary_cross_entropy_with_logits(logit_NO[:, 0], target_N)
    weight_N = weight_K[target_N.long()]
    loss_N = functional.binary_cross_entropy_with_logits(logit_NO[:, 0], target_N, weight_N, reduction="none")
    return loss_N.sum() / weight_N.sum()


def _total_weight(target_N: Tensor, weight_K: Tensor | None) -> float:
    """The summed weights of some points: their number if all classes weigh the same."""
    return len(target_N) if weight_K is None else weight_K[target_N.long()].sum().item()


def _correct(logit_NO: Tensor, target_N: Tensor) -> int:
    """How many points are classified correctly."""
    best_N = logit_NO[:, 0] > 0 if logit_NO.shape[1] == 1 else logit_NO.argmax(dim=1)
    return int((best_N == target_N).sum())


def _measure(
    network: nn.Module, points: Batch | None, weight_K: Tensor | None = None
) -> tuple[float, float] | tuple[None, None]:
    """Mean loss, weighted by class, and accuracy on some points; None without points."""
    if points is None:
        return None, None
    x_ND, target_N = points
    with torch.no_grad():
        logit_NO = network(x_ND)
        return _loss(logit_NO, target_N, weight_K).item(), _correct(logit_NO, target_N) / len(x_ND)


def _weights(parameters: list[nn.Parameter]) -> Tensor:
    """All parameters in one vector, a copy."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in parameters])


@contextmanager
def one_thread() -> Iterator[None]:
    """Limits torch to one thread. More threads make small work slower, on a busy machine many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
