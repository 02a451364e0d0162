"""Candidates: networks with settings that a search compares, within what a request leaves open."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from models import specs
from models.datasets import LabelledPoints
from models.recipes import Recipe
from models.specs import NetworkKind, NetworkSpec, Optimizer, TrainingSpec

WEIGHT_DECAYS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001, 0.00003)
"""Tried values, from the smoothest boundary to the most detailed one."""

FIRST_WEIGHT_DECAY = 0.003
"""The value that is tried first."""

HIDDEN = ((16,), (64,))
"""Tried widths of hidden layers, if none are given. Larger ones are tried only if smaller ones are of use."""

EPOCHS: dict[Optimizer, int] = {"lbfgs": 200, "adam": 500, "sgd": 2_000}
"""Epochs of each optimiser, if none are given."""

EARLY_STOPPING = {"patience": 20, "min_delta": 1e-5}
"""When a training stops early, if nothing is given: a smaller loss of the training points would not be of use."""


@dataclass(frozen=True)
class Given:
    """The settings that a request decides, under the names of the fields of `NetworkSpec` and `TrainingSpec`."""

    network: dict[str, Any]
    training: dict[str, Any]

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser. L-BFGS, unless a setting is given that only others have."""
        if "optimizer" in self.training:
            chosen: Optimizer = self.training["optimizer"]
            return chosen
        if "momentum" in self.training:
            return "sgd"
        return "adam" if self.training.keys() & {"learning_rate", "batch_size"} else "lbfgs"

    def candidate(self, kind: NetworkKind, hidden: tuple[int, ...], weight_decay: float) -> "Candidate":
        """The candidate with these values, except for those that are given.

        Raises:
            InvalidInput: a given value is out of bounds.
        """
        network = NetworkSpec(**{"kind": kind, "hidden": hidden, **self.network})
        defaults = {"optimizer": self.optimizer, "epochs": EPOCHS[self.optimizer], "weight_decay": weight_decay}
        return Candidate(network, specs.resolve_training(network.kind, defaults | EARLY_STOPPING | self.training))

    def default(self, points: LabelledPoints, validation: LabelledPoints | None = None) -> "Candidate":
        """The candidate for these points if none can be compared: it has hidden units, unless the request has none.

        Raises:
            InvalidInput: a given value is out of bounds, or the training would take too much work.
        """
        architectures = self.architectures
        candidate = self.candidate(*architectures[min(1, len(architectures) - 1)], FIRST_WEIGHT_DECAY)
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

    @property
    def architectures(self) -> list[tuple[NetworkKind, tuple[int, ...]]]:
        """Kinds and hidden layers to try, from the smallest network on."""
        kind: NetworkKind | None = self.network.get("kind")
        if "hidden" in self.network:
            return [(kind or "sequential", tuple(self.network["hidden"]))]
        if kind == "logistic":
            return [("logistic", ())]
        linear: list[tuple[NetworkKind, tuple[int, ...]]] = [] if kind else [("logistic", ())]
        return linear + [(kind or "sequential", widths) for widths in HIDDEN]

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
        """What distinguishes candidates."""
        training = asdict(self.training)
        return {
            "kind": self.network.kind,
            "hidden": list(self.network.widths),
            "activation": self.network.activation,
            **{name: training[name] for name in ("optimizer", "weight_decay")},
        }
