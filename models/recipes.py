"""A recipe: everything that decides the weights of a trained network, and so its identity."""

import hashlib
import json
import math
from dataclasses import dataclass

from models import specs
from models.datasets import LabelledPoints, split
from models.limits import (
    MAX_BATCH_VALUES,
    MAX_STEPS,
    MAX_WEIGHTS,
    MAX_WORK,
)
from models.networks.layouts import layout
from models.specs import InvalidInput, NetworkSpec, TrainingSpec


@dataclass(frozen=True)
class Recipe:
    """Data, network and training settings. Equal recipes give equal weights, to the bit, on one machine.

    Raises:
        InvalidInput: data, network and settings together are out of bounds, though each alone is not.
    """

    points: LabelledPoints
    network: NetworkSpec
    training: TrainingSpec

    def __post_init__(self) -> None:
        if self.weights > MAX_WEIGHTS:
            raise InvalidInput("network.hidden", f"makes {self.weights:,} weights, at most {MAX_WEIGHTS:,} are allowed")
        count = len(self.points.xy_ND)
        passes = self.training.restarts * self.training.epochs
        work = passes * count * self.weights
        if work > MAX_WORK:
            raise InvalidInput(
                "training.epochs", f"restarts x epochs x points x weights is {work:,}, at most {MAX_WORK:,} is allowed"
            )
        batch = min(self.training.batch_size or count, count)
        steps = passes * math.ceil(count / batch)
        if steps > MAX_STEPS:
            raise InvalidInput(
                "training.batch_size", f"makes {steps:,} steps in all, at most {MAX_STEPS:,} are allowed"
            )
        if batch_values(self.points, self.network, self.training) > MAX_BATCH_VALUES:
            raise InvalidInput("training.batch_size", f"must be less: {batch:,} points of these layers fill the memory")
        split(self.points, fraction=self.training.validation_fraction, seed=self.training.seed)

    @property
    def features(self) -> int:
        """Coordinates of a point."""
        return self.points.features

    @property
    def weights(self) -> int:
        """How many numbers the network is made of."""
        return layout(self.network, self.features, len(self.points.classes)).weights

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of data, network and training settings, the seed among them."""
        parts = [self.points.digest, specs.asdict(self.network), specs.asdict(self.training)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def batch_values(points: LabelledPoints, network: NetworkSpec, training: TrainingSpec) -> int:
    """Values that the points of a step have in all layers."""
    count = len(points.xy_ND)
    batch = min(training.batch_size or count, count)
    return batch * (points.features + sum(network.widths) + len(points.classes))
