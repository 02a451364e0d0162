"""What a training reports, and the interface of both implementations."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, Self

import numpy as np

from models.datasets import DoubleArray
from models.specs import Implementation
from models.training.run_state import RunState

StopReason = Literal["completed", "early_stopped", "converged", "stopped", "diverged"]
"""All epochs are done; the watched loss no longer improved; `lbfgs` expects or finds no further decrease of the loss;
somebody asked to stop; a loss or weight is not finite."""


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    `number` counts from 1. `loss` and `accuracy` are figures of the training points as each step met them, before it
    changed the weights; with `lbfgs` they are taken after the epoch. So are the validation figures, which are None
    without validation points.
    """

    number: int
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


@dataclass(frozen=True)
class Epochs:
    """E consecutive epochs, from number `first` on; float64 (E,) each, see `Epoch`."""

    first: int
    loss_E: DoubleArray
    accuracy_E: DoubleArray
    validation_loss_E: DoubleArray | None
    validation_accuracy_E: DoubleArray | None

    @classmethod
    def of(cls, epoch: Epoch) -> Self:
        """A single epoch."""
        validated = epoch.validation_loss is not None
        return cls(
            epoch.number,
            np.array([epoch.loss]),
            np.array([epoch.accuracy]),
            np.array([epoch.validation_loss]) if validated else None,
            np.array([epoch.validation_accuracy]) if validated else None,
        )

    def __len__(self) -> int:
        return len(self.loss_E)

    @property
    def last(self) -> Epoch:
        """The last epoch."""
        return Epoch(
            self.first + len(self) - 1,
            float(self.loss_E[-1]),
            float(self.accuracy_E[-1]),
            None if self.validation_loss_E is None else float(self.validation_loss_E[-1]),
            None if self.validation_accuracy_E is None else float(self.validation_accuracy_E[-1]),
        )


@dataclass(frozen=True)
class Metrics:
    """Mean loss (natural logarithm) and accuracy of a trained network, on training and validation points."""

    training_loss: float
    training_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None

    @property
    def finite(self) -> bool:
        """Whether all losses are finite."""
        return math.isfinite(self.training_loss) and math.isfinite(self.validation_loss or 0.0)

    @property
    def selection_loss(self) -> float:
        """The loss that restarts are compared by: on validation points, or without these on training points."""
        return self.training_loss if self.validation_loss is None else self.validation_loss


@dataclass(frozen=True)
class History:
    """The figures of about a hundred epochs, see `Epoch`; `models.training.history` chooses them.

    All columns have the same length, and `epoch` ascends. The columns of validation are None without validation points,
    and so is a loss that is not finite.
    """

    epoch: tuple[int, ...] = ()
    training_loss: tuple[float | None, ...] = ()
    training_accuracy: tuple[float | None, ...] = ()
    validation_loss: tuple[float | None, ...] | None = None
    validation_accuracy: tuple[float | None, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in cards and in the database."""
        return dict(vars(self))  # `asdict` would copy every figure

    @classmethod
    def from_json(cls, columns: dict[str, Any]) -> "History":
        """Reads what `to_json` returned."""
        tuples: dict[str, Any] = {name: None if column is None else tuple(column) for name, column in columns.items()}
        return cls(**tuples)


NO_HISTORY = History()


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        stop_reason: why it ended.
        epochs: number of epochs started.
        metrics: of the final weights; None if their loss is not finite, or if the training was stopped.
        implementation: `compiled` or `torch`.
        advice: what to try next; only if it diverged.
        history: the figures of some epochs.
    """

    stop_reason: StopReason
    epochs: int
    metrics: Metrics | None
    implementation: Implementation
    advice: str | None = None
    history: History = NO_HISTORY


@dataclass(frozen=True)
class Restart:
    """The result of one of several trainings. `seed` made its weights and batches; for the rest see `Outcome`."""

    seed: int
    stop_reason: StopReason
    epochs: int
    metrics: Metrics | None

    def to_json(self) -> dict[str, Any]:
        """As it stands in `card.json`, in job rows and in the HTTP API."""
        return {
            "seed": self.seed,
            "stop_reason": self.stop_reason,
            "epochs_run": self.epochs,
            "metrics": asdict(self.metrics) if self.metrics else None,
        }


class Run(Protocol):
    """A training of one network, in progress.

    An implementation takes an optional `state` when it is made, and then resumes from that instead of starting anew.
    """

    @property
    def epochs_started(self) -> int:
        """Number of epochs started, including the current one."""
        ...

    def advance(self) -> tuple[Epochs | None, StopReason | None]:
        """Trains for some more steps.

        Returns:
            The epochs that these steps completed, and the stop reason once the training has ended. A loss or a weight
            that is not finite after an epoch ends it as `diverged`.
        """
        ...

    def state(self) -> RunState:
        """Copies of everything needed to resume an unfinished training from here, with bit-identical results."""
        ...

    def measure(self) -> Metrics:
        """Loss and accuracy of the current weights."""
        ...

    def divide_logits(self, temperature: float) -> None:
        """Divides the weights of the output layer, so that all logits are divided. The network must have a layout."""
        ...

    def restore_last_finite(self) -> None:
        """Restores the last weights known to have a finite loss, at worst the initial ones."""
        ...
