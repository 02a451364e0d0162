"""Recipes: everything that determines the weights of a trained network."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models import specs
from models.datasets import FloatArray, LabelledPoints, split
from models.feature_names import spelled_like
from models.limits import (
    LBFGS_MEMORY,
    MAX_LBFGS_EVALUATIONS,
    MAX_STEP_VALUES,
    MAX_STEPS,
    MAX_WEIGHTS,
    MAX_WORK,
)
from models.networks import terms
from models.networks.derived import Derived
from models.networks.layouts import Layout, layout
from models.networks.scaling import Scaling
from models.networks.starting_weights import FIELD, StartingWeights
from models.networks.terms import Term
from models.specs import InvalidInput, NetworkSpec, TrainingSpec
from models.wording import listed


@dataclass(frozen=True)
class Recipe:
    """Data, network and training settings. On one machine, equal recipes give equal weights, bit for bit.

    Attributes:
        points: all points, or if there are `validation` points, those to train on.
        network: the architecture.
        training: the settings.
        validation: points for validation only, with the features and the classes of `points`.
        start: the weights at which the training begins; None begins at random ones. They must fit the network.

    Raises:
        InvalidInput: the combination is out of bounds: too many weights, too much work or memory.
    """

    points: LabelledPoints
    network: NetworkSpec
    training: TrainingSpec
    validation: LabelledPoints | None = None
    start: StartingWeights | None = None

    def __post_init__(self) -> None:
        _ = self.terms  # raises
        self._check_feature_weights()
        self._check_validation()
        self._check_start()
        weights = self.training.ensemble * self.weights
        if weights > MAX_WEIGHTS:
            whole = f" in {self.training.ensemble} networks" if self.training.ensemble > 1 else ""
            raise InvalidInput(
                "network.hidden", f"must be smaller: {weights:,} weights{whole}, at most {MAX_WEIGHTS:,} are allowed"
            )
        count = len(self.points.xy_ND)
        is_lbfgs = self.training.optimizer == "lbfgs"
        trainings = self.training.networks + (self.training.validation_folds or 0)
        passes = trainings * self.training.epochs * (MAX_LBFGS_EVALUATIONS if is_lbfgs else 1)
        work = passes * (count + (len(self.validation.xy_ND) if self.validation else 0)) * self.weights
        if work > MAX_WORK:
            factors = f"epochs{f' x {MAX_LBFGS_EVALUATIONS} evaluations' if is_lbfgs else ''} x points x weights"
            raise InvalidInput(
                "training.epochs",
                f"must be smaller: trainings x {factors} is {work:,}, at most {MAX_WORK:,} is allowed",
            )
        batch = min(self.training.batch_size or count, count)
        steps = passes * math.ceil(count / batch)
        if steps > MAX_STEPS:
            raise InvalidInput(
                "training.batch_size",
                f"must be larger: the training would take {steps:,} steps, at most {MAX_STEPS:,} are allowed",
            )
        if step_values(self.points, self.network, self.training) > MAX_STEP_VALUES:
            raise InvalidInput(
                "training.batch_size", f"must be smaller: {batch:,} points in these layers need too much memory"
            )
        class_weights(self.training, self.parts[0])  # raises, as does `parts`
        self._check_derived()

    def _check_feature_weights(self) -> None:
        """Checks that there is one weight for each feature, if there are any."""
        weights, features = self.network.feature_weights, self.points.features
        if weights is not None and len(weights) != features:
            raise InvalidInput(
                "network.feature_weights",
                f"must have one number for each of the {features:,} features, not {len(weights):,}",
            )

    def _check_validation(self) -> None:
        """Checks that points can be held out in folds, and that only one field decides on which points to validate."""
        if self.training.validation_folds is not None and np.bincount(self.points.label_N).max() < 2:
            raise InvalidInput("training.validation_folds", "needs a class with two points or more")
        if self.validation is None:
            return
        for name in ("validation_fraction", "validation_folds"):
            if getattr(self.training, name):
                raise InvalidInput("validation", f"cannot be combined with training.{name}: leave out one of the two")

    def _check_start(self) -> None:
        if self.start is None:
            return
        if self.training.restarts > 1:
            raise InvalidInput(
                "training.restarts", f"must be 1 with {FIELD}, because all networks would begin at the same weights"
            )
        if self.training.validation_folds is not None:
            raise InvalidInput(
                "training.validation_folds",
                f"must be left out with {FIELD}, because the version may have been trained on the held-out points",
            )
        if self.training.ensemble != self.start.members:
            raise InvalidInput(
                "training.ensemble",
                f"must be {self.start.members}, as the number of networks of the version in {FIELD}",
            )
        _ = self.initial_states  # raises

    def _check_derived(self) -> None:
        """Checks that no derived input of a point overflows float32, by the largest coordinates."""
        transform = self.scaling.transform
        if not isinstance(transform, Derived):
            return
        parts = [part.xy_ND for part in (self.points, self.validation) if part is not None]
        edge_ED = np.stack([edge_D for xy_ND in parts for edge_D in (xy_ND.min(axis=0), xy_ND.max(axis=0))])
        largest_D1 = np.abs(transform.scaled(edge_ED)).max(axis=1, keepdims=True)
        with np.errstate(over="ignore", invalid="ignore"):
            overflows_I1 = ~(np.abs(transform.of_scaled(largest_D1)) <= np.finfo(np.float32).max)
        if overflows_I1.any():
            raise InvalidInput(
                "network.inputs",
                "overflow float32 for these points: try the scale standard, or points in a larger unit",
            )

    @cached_property
    def terms(self) -> tuple[Term, ...] | None:
        """The derived inputs of the network; None if its inputs are the coordinates.

        Raises:
            InvalidInput: they are not terms of these points' coordinates.
        """
        if self.network.inputs is None:
            return None
        return terms.parse(self.network.inputs, self.points.features, self.points.feature_names)

    @cached_property
    def scaling(self) -> Scaling:
        """How the coordinates of the points are scaled for the training: by those that are not held out."""
        return self._unweighted_scaling.weighted(self.network.feature_weights)

    @property
    def _unweighted_scaling(self) -> Scaling:
        """The scaling without feature weights."""
        if self.start is not None:
            return self.start.scaling(self.parts[0], self.network.scale, self.terms)
        if self.network.scale == "none":
            return Scaling.none(self.points.features, self.terms)
        kept, _ = self.parts
        return Scaling.standard(kept, self.terms)

    @cached_property
    def initial_states(self) -> list[dict[str, FloatArray]]:
        """The state dict at which each network begins, see `StartingWeights.in_training`; empty if they are random.

        Raises:
            InvalidInput: a weight overflows float32.
        """
        if self.start is None:
            return []
        return self.start.in_training(self.layout, self.scaling, self.training.temperature)

    @cached_property
    def parts(self) -> tuple[LabelledPoints, LabelledPoints | None]:
        """The points to train on, and those for validation, if any.

        Raises:
            InvalidInput: no point would be held out.
        """
        if self.validation is not None:
            return self.points, self.validation
        return split(self.points, fraction=self.training.validation_fraction, seed=self.training.seed)

    @property
    def weights(self) -> int:
        """Number of parameters of the network."""
        return self.layout.weights

    @cached_property
    def layout(self) -> Layout:
        """The layout of the network."""
        return layout(self.network, self.points.features, len(self.points.classes))

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of data, network, training settings with the seed, and starting weights."""
        parts: list[Any] = [self.points.digest, specs.asdict(self.network), specs.asdict(self.training)]
        if self.terms is not None:  # which depend on the names of the features
            parts.append([asdict(term) for term in self.terms])
        if self.validation is not None:
            parts.append({"validation": self.validation.digest})
        if self.start is not None:
            parts.append({"from": [self.start.digest, self.start.offset, self.start.divisor]})
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def class_weights(training: TrainingSpec, points: LabelledPoints) -> FloatArray | None:
    """The weight of each class in the loss, float32 (K,); None if all points weigh the same.

    `balanced` gives n / (K n_k) for n_k points of the class among n, as scikit-learn does.

    Args:
        training: the settings.
        points: the points to train on, without those held out.

    Raises:
        InvalidInput: the weights do not have the labels of the points.
    """
    given, classes = training.class_weight, points.classes
    if given is None:
        return None
    if given == "balanced":
        count_K = np.bincount(points.label_N, minlength=len(classes))
        weight_K: FloatArray = (len(points.label_N) / (len(classes) * np.maximum(count_K, 1))).astype(np.float32)
        return weight_K
    labels = [str(label) for label in classes]
    weights = dict(zip(spelled_like([*given], labels), given.values(), strict=True))
    if weights.keys() != set(labels) or len(weights) < len(given):
        raise InvalidInput("training.class_weight", f"must have one weight for each label, which are: {listed(labels)}")
    return np.array([weights[label] for label in labels], np.float32)


def step_values(points: LabelledPoints, network: NetworkSpec, training: TrainingSpec) -> int:
    """Number of values that one restart keeps in memory for a step.

    Those are the values in all layers for its points. L-BFGS instead keeps its past steps, since the kernel takes the
    points block by block.
    """
    if training.optimizer == "lbfgs":
        return 2 * LBFGS_MEMORY * layout(network, points.features, len(points.classes)).weights
    count = len(points.xy_ND)
    batch = min(training.batch_size or count, count)
    return batch * (terms.count(network.inputs, points.features) + sum(network.widths) + len(points.classes))
