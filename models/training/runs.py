"""What a training tells while it runs, and the interface that both implementations of it have."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import numpy as np

from models.datasets import DoubleArray
from models.specs import Implementation
from models.training.run_state import RunState

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
class Epochs:
    """E passes that follow each other, from number `first` on; float64 (E,) each, see `Epoch`."""

    first: int
    loss_E: DoubleArray
    accuracy_E: DoubleArray
    validation_loss_E: DoubleArray | None
    validation_accuracy_E: DoubleArray | None

    @classmethod
    def of(cls, epoch: Epoch) -> Self:
        """One pass."""
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
        """The last of them."""
        return Epoch(
            self.first + len(self) - 1,
            float(self.loss_E[-1]),
            float(self.accuracy_E[-1]),
            None if self.validation_loss_E is None else float(self.validation_loss_E[-1]),
            None if self.validation_accuracy_E is None else float(self.validation_accuracy_E[-1]),
        )


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

    @property
    def decisive_loss(self) -> float:
        """By which trainings are compared: the validation loss, without validation points the training loss."""
        return self.training_loss if self.validation_loss is None else self.validation_loss


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


@dataclass(frozen=True)
class Restart:
    """What came of one of several trainings: `seed` made its weights and batches; the rest is of `Outcome`."""

    seed: int
    ending: Ending
    epochs: int
    metrics: Metrics | None


class Run(Protocol):
    """A training of one network that has begun.

    An implementation takes a `state` when it is made, to begin from there in place of the start.
    """

    @property
    def begun(self) -> int:
        """Epochs begun."""
        ...

    def advance(self) -> tuple[Epochs | None, Ending | None]:
        """Some steps more: the epochs that ended meanwhile, if any did, and how the training ended, if it did.

        A loss or a weight that is not finite after an epoch ends it as `diverged`.
        """
        ...

    def state(self) -> RunState:
        """Copies of all that a training that has not ended needs to go on from here, to the same end to the bit."""
        ...

    def measure(self) -> Metrics:
        """The loss and accuracy of the weights as they are now."""
        ...

    def step_back(self) -> None:
        """Goes back to the last weights that are known to have a finite loss, those a training begins with at worst."""
        ...
