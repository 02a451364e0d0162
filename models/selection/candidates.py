"""Candidates: networks with settings that a search compares, within what a request leaves open."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from models import specs
from models.datasets import LabelledPoints
from models.recipes import Recipe
from models.specs import Activation, NetworkKind, NetworkSpec, Optimizer, TrainingSpec

WEIGHT_DECAYS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001, 0.00003)
"""Tried values, from the smoothest boundary to the most detailed one."""

FIRST_WEIGHT_DECAY = 0.003
"""The value that is tried first."""

HIDDEN: tuple[tuple[tuple[int, ...], Activation], ...] = (((16,), "tanh"), ((64,), "relu"))
"""Tried hidden layers, if none are given: widths and activation. Larger ones are tried only if smaller ones are of use.

They differ in their activation too, because data that suit one kind of boundary often do not suit the other.
"""

LARGE = 10_000
"""Above this number of points, hidden layers are trained by Adam on mini-batches, which is then cheaper than L-BFGS."""

LARGE_HIDDEN = (64, 64)
LARGE_FIRST_WEIGHT_DECAY = 0.0003
"""The widths and the first weight decay above `LARGE` points."""

BATCH_SIZE = 250
BATCH_LEARNING_RATE = 0.003
BATCH_STEPS = 8_000
"""Default settings of Adam above `LARGE` points. The number of epochs follows from the number of steps."""

EPOCHS: dict[Optimizer, int] = {"lbfgs": 200, "adam": 500, "sgd": 2_000}
"""Epochs of each optimizer, if none are given."""

EARLY_STOPPING = {"patience": 20, "min_delta": 1e-5}
"""Default early stopping. A further decrease of the training loss would not improve the result."""


class Architecture(NamedTuple):
    """What kind of network a candidate is, unless a request decides it."""

    kind: NetworkKind
    hidden: tuple[int, ...]
    activation: Activation = "tanh"


@dataclass(frozen=True)
class Given:
    """The settings that a request decides, under the names of the fields of `NetworkSpec` and `TrainingSpec`."""

    network: dict[str, Any]
    training: dict[str, Any]

    def optimizer(self, hidden: tuple[int, ...], count: int) -> Optimizer:
        """The optimizer of a network for `count` points.

        It is L-BFGS, unless a setting is given that only others have, or a network with hidden layers is trained on
        more than `LARGE` points.
        """
        if "optimizer" in self.training:
            chosen: Optimizer = self.training["optimizer"]
            return chosen
        if "momentum" in self.training:
            return "sgd"
        takes_batches = bool(hidden) and count > LARGE
        return "adam" if takes_batches or self.training.keys() & {"learning_rate", "batch_size"} else "lbfgs"

    def candidate(self, architecture: Architecture, weight_decay: float, *, count: int) -> "Candidate":
        """The candidate with these values for the training on `count` points, except for values that are given.

        Raises:
            InvalidInput: a given value is out of bounds.
        """
        network = NetworkSpec(**{**architecture._asdict(), **self.network})
        optimizer = self.optimizer(network.widths, count)
        defaults = {"optimizer": optimizer, "epochs": EPOCHS[optimizer], "weight_decay": weight_decay, **EARLY_STOPPING}
        batch = self.training.get("batch_size", BATCH_SIZE)
        if optimizer == "adam" and count > LARGE and batch is not None:
            epochs = max(1, BATCH_STEPS * batch // count)
            defaults |= {"batch_size": batch, "learning_rate": BATCH_LEARNING_RATE, "epochs": epochs}
        return Candidate(network, specs.resolve_training(network.kind, defaults | self.training))

    def default(self, points: LabelledPoints, validation: LabelledPoints | None = None) -> "Candidate":
        """The candidate for these points if none can be compared: it has hidden units, unless the request has none.

        Raises:
            InvalidInput: a given value is out of bounds, or the training would take too much work.
        """
        count = len(points.label_N)
        architectures = self.architectures(count)
        architecture = next((one for one in architectures if one.hidden), architectures[0])
        candidate = self.candidate(architecture, self.first_weight_decay(count), count=count)
        Recipe(points, candidate.network, candidate.training, validation)  # raises
        return candidate

    def digest(self, points: LabelledPoints, validation: LabelledPoints | None = None) -> str:
        """SHA-256 (hex) of all that determines the result of a search and of the training that follows."""
        parts: list[Any] = ["auto", points.digest, self.network, self.training]
        if "inputs" in self.network:  # whose meaning may depend on the names of the features
            parts.append(points.feature_names)
        if validation is not None:
            parts.append({"validation": validation.digest})
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def architectures(self, count: int) -> list[Architecture]:
        """What to try on `count` points, from the smallest network on."""
        kind: NetworkKind | None = self.network.get("kind")
        if "hidden" in self.network:
            return [Architecture(kind or "sequential", tuple(self.network["hidden"]))]
        if kind == "logistic":
            return [Architecture("logistic", ())]
        linear = [] if kind else [Architecture("logistic", ())]
        if count > LARGE:
            return [*linear, Architecture(kind or "sequential", LARGE_HIDDEN[: 1 if kind == "two_layer" else None])]
        return linear + [Architecture(kind or "sequential", *hidden) for hidden in HIDDEN]

    def first_weight_decay(self, count: int) -> float:
        """The value of `weight_decays` to try first on `count` points."""
        if "weight_decay" in self.training:
            return self.weight_decays[0]
        return LARGE_FIRST_WEIGHT_DECAY if count > LARGE else FIRST_WEIGHT_DECAY

    @property
    def weight_decays(self) -> Sequence[float]:
        """Weight decays to try."""
        return (self.training["weight_decay"],) if "weight_decay" in self.training else WEIGHT_DECAYS


@dataclass(frozen=True)
class Candidate:
    """A network and how to train it."""

    network: NetworkSpec
    training: TrainingSpec

    def for_scoring(self) -> "Candidate":
        """The candidate as it is trained on a fold: once, on all points of the fold."""
        return replace(
            self,
            training=replace(self.training, validation_fraction=0.0, validation_folds=None, restarts=1, ensemble=1),
        )

    def to_json(self) -> dict[str, Any]:
        """The settings that distinguish candidates."""
        training, weights = asdict(self.training), self.network.feature_weights
        return {
            "kind": self.network.kind,
            "hidden": list(self.network.widths),
            "activation": self.network.activation,
            **{name: training[name] for name in ("optimizer", "weight_decay")},
            **({} if weights is None else {"feature_weights": list(weights)}),
        }
