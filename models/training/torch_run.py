"""Training by plain torch autograd: of any module, and the reference that the compiled kernel is held against."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.datasets import Array, LabelledPoints
from models.networks.modules import arrays_of
from models.specs import TrainingSpec
from models.training import run_state
from models.training.run_state import RunState
from models.training.runs import (
    Ending,
    Epoch,
    Epochs,
    Metrics,
)

Batch = tuple[Tensor, Tensor]
"""Points, float32 (N, D), and what the loss wants of them: class indices, int64 (N,), or 0.0 and 1.0, float32 (N,)."""


class TorchRun:
    """A training of a network in place; see `models.training.runs.Run`. Each `advance` is one step of the optimiser.

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
        state: RunState | None = None,
    ) -> None:
        """Nothing is trained yet. The network takes float32 (N, D) and gives logits (N, O).

        Raises:
            ValueError: the state is not one of a training of such a network, or not one that can go on.
        """
        self.begun = 0
        self._network = network
        self._training = _tensors(training)
        self._validation = _tensors(validation) if validation else None
        self._spec = spec
        self._parameters = list(network.parameters())
        self._optimizer = _optimizer(self._parameters, spec)
        self._rng = np.random.default_rng(order_seed)
        self._order_N = torch.arange(len(training.label_N) if spec.batch_size else 0)  # of this epoch
        self._batches = math.ceil(len(training.label_N) / spec.batch_size) if spec.batch_size else 1
        self._stall = _Stall(spec)
        self._start = self._good = _weights(self._parameters)  # good: those that the last finite loss was measured on
        self._steps_left = 0
        self._loss_sum, self._right = 0.0, 0
        if state is not None:
            self._go_on_from(state)

    def advance(self) -> tuple[Epochs | None, Ending | None]:
        """One step more."""
        if self._steps_left == 0:
            self._begin_epoch()
        self._step(*self._batch())
        self._steps_left -= 1
        return self._end_epoch() if self._steps_left == 0 else (None, None)

    def _begin_epoch(self) -> None:
        self.begun += 1
        self._steps_left = self._batches
        if self._spec.batch_size:
            self._order_N = torch.from_numpy(self._rng.permutation(len(self._order_N)))
        self._loss_sum, self._right = 0.0, 0

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

    def state(self) -> RunState:
        """Copies of the network's state dict, of the optimiser's moments, and of where the epoch stands.

        A network that draws random numbers as it trains does so from torch's generator, which is not in it.
        """
        return {
            **{f"network.{key}": array for key, array in arrays_of(self._network).items()},
            **{f"optimizer.{key}": moment.numpy().copy() for key, moment in self._moments().items()},
            "start": self._start.numpy().copy(),
            "good": self._good.numpy().copy(),
            "order_N": self._order_N.numpy().copy(),
            "counts": np.array([self.begun, self._steps_left, self._right, self._stall.since]),
            "sums": np.array([self._loss_sum, self._stall.best]),
            "generator": run_state.generator_state(self._rng),
        }

    def _moments(self) -> dict[str, Tensor]:
        """What the optimiser carries for each parameter, 0 before its first step."""
        moments = {}
        for i, parameter in enumerate(self._parameters):
            for name in _moment_names(self._spec):
                nothing = torch.tensor(0.0) if name == "step" else torch.zeros_like(parameter)
                moments[f"{i}.{name}"] = self._optimizer.state.get(parameter, {}).get(name, nothing).detach()
        return moments

    def _go_on_from(self, state: RunState) -> None:
        run_state.check(state, self.state())
        run_state.check_orders(state["order_N"][None])
        begun, steps_left, right, since = state["counts"].tolist()
        self._check_counts(begun, steps_left)
        self._rng = run_state.generator_at(state["generator"])
        self._network.load_state_dict({key: torch.tensor(array) for key, array in _part(state, "network").items()})
        if begun:  # before, the optimiser has nothing, and makes its own of the first gradient
            self._load_moments(_part(state, "optimizer"))
        self._start, self._good = torch.tensor(state["start"]), torch.tensor(state["good"])
        self._order_N = torch.tensor(state["order_N"])
        self.begun, self._steps_left, self._right, self._stall.since = begun, steps_left, right, since
        self._loss_sum, self._stall.best = state["sums"].tolist()

    def _check_counts(self, begun: int, steps_left: int) -> None:
        between_epochs = steps_left == 0 and 0 <= begun < self._spec.epochs
        in_epoch = 0 < steps_left < self._batches and 0 < begun <= self._spec.epochs
        if not (between_epochs or in_epoch):
            raise ValueError("the state's counts must be those of a training that can go on")

    def _load_moments(self, moments: Mapping[str, Array]) -> None:
        for i, parameter in enumerate(self._parameters):
            names = _moment_names(self._spec)
            self._optimizer.state[parameter] = {name: torch.tensor(moments[f"{i}.{name}"]) for name in names}

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


def _moment_names(spec: TrainingSpec) -> tuple[str, ...]:
    """What `_optimizer` keeps of each parameter."""
    if spec.optimizer == "adam":
        return "step", "exp_avg", "exp_avg_sq"
    return ("momentum_buffer",) if spec.momentum else ()


def _part(state: RunState, prefix: str) -> dict[str, Array]:
    """The arrays whose names have a prefix, without it."""
    return {name.removeprefix(f"{prefix}."): array for name, array in state.items() if name.startswith(f"{prefix}.")}


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
