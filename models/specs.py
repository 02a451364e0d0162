"""Specifications of datasets, networks, trainings and grids, with their defaults and bounds.

A specification checks itself when it is created, and raises `InvalidInput` with the name of the field. The defaults are
the tutorial's settings.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from models.generators import GENERATORS
from models.limits import (
    MAX_ADAPTIVE_RESOLUTION,
    MAX_CLASS_WEIGHT,
    MAX_CLASSES,
    MAX_ENSEMBLE,
    MAX_EPOCHS,
    MAX_FEATURE_WEIGHT,
    MAX_FOLDS,
    MAX_GRID_CELLS,
    MAX_HIDDEN_LAYERS,
    MAX_INPUT_LENGTH,
    MAX_INPUTS,
    MAX_LEARNING_RATE,
    MAX_NOISE,
    MAX_POINTS,
    MAX_RESOLUTION,
    MAX_RESTARTS,
    MAX_SEED,
    MAX_TEMPERATURE,
    MAX_WEIGHT_DECAY,
    MAX_WIDTH,
    MAX_WINDOW,
    MIN_CLASS_WEIGHT,
    MIN_FEATURE_WEIGHT,
    MIN_TEMPERATURE,
)

DatasetName = Literal["flower", "circles", "moons", "xor", "spirals", "gaussians"]
NetworkKind = Literal["logistic", "two_layer", "sequential", "module", "residual"]
Activation = Literal["relu", "leaky_relu", "elu", "silu", "gelu", "softplus", "tanh", "sigmoid", "identity"]
Optimizer = Literal["sgd", "adam", "lbfgs"]
Scale = Literal["standard", "none"]
Implementation = Literal["compiled", "torch"]
ImplementationChoice = Literal["auto", "compiled", "torch"]
ClassWeight = Literal["balanced"] | dict[str, float]
Preset = Literal["auto", "tutorial", "version"]
"""What decides the settings that a request leaves open: a search, the tutorial's values, or the settings of the version
at whose weights the training begins."""

ResponseKind = Literal["probability", "label", "logit", "entropy"]
AnyResponse = Literal[ResponseKind, "spread"]
"""What a network or an ensemble says about a point. Only an ensemble has a spread."""

EmbeddingCoordinates = Literal["first", "principal"]

DATASET_NAMES: tuple[DatasetName, ...] = get_args(DatasetName)
NETWORK_KINDS: tuple[NetworkKind, ...] = get_args(NetworkKind)
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
SCALES: tuple[Scale, ...] = get_args(Scale)
IMPLEMENTATION_CHOICES: tuple[ImplementationChoice, ...] = get_args(ImplementationChoice)

LEARNING_RATES: dict[Optimizer, float] = {"sgd": 1.0, "adam": 0.01}
"""The default learning rate of each optimizer that has one."""

LBFGS_EPOCHS = 500
"""Default epochs of `lbfgs`. On the tutorial's data more epochs change the loss little."""


class InvalidInput(ValueError):
    """A value of a request is not allowed.

    `field` is the dotted path of the value (`network.hidden`, `points.3.1`); `reason` says what is allowed.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A generated dataset: `n` points, divided as evenly among the classes as possible.

    `noise` is in data units; by default the generator's, see `models.generators`. `n_classes` is the number of
    arms of `spirals` or of clouds of `gaussians`; the other datasets have two.

    Raises:
        InvalidInput: a value is out of bounds.
    """

    dataset: DatasetName = "flower"
    n: int = 400
    noise: float | None = None
    seed: int = 1
    n_classes: int = 2

    def __post_init__(self) -> None:
        _one_of("data.dataset", self.dataset, DATASET_NAMES)
        object.__setattr__(self, "noise", self.noise_level)
        _within("data.noise", self.noise, 0.0, MAX_NOISE)
        _within("data.seed", self.seed, 0, MAX_SEED)
        _within("data.n_classes", self.n_classes, 2, MAX_CLASSES)
        if self.n_classes != 2 and not GENERATORS[self.dataset].many_classes:
            capable = " and ".join(name for name, generator in GENERATORS.items() if generator.many_classes)
            raise InvalidInput("data.n_classes", f"must be 2: only {capable} can have more classes")
        _within("data.n", self.n, self.n_classes, MAX_POINTS)

    @property
    def noise_level(self) -> float:
        """The noise, or the generator's default."""
        return GENERATORS[self.dataset].noise if self.noise is None else self.noise


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """A network's architecture, except for the numbers of inputs and outputs, which follow from the data.

    `hidden` lists the widths of the hidden layers: none for `logistic`, exactly one for `two_layer`. With the scale
    `standard`, the network is trained on coordinates of mean 0 and deviation 1; see `models.networks.scaling`. `inputs`
    lists what the first layer takes, see `models.networks.terms`; by default the coordinates. `feature_weights` has
    one factor for each coordinate. The training multiplies the scaled coordinate by it, so that weight decay restrains
    features with large factors less. The finished network takes the coordinates without the factors.

    Raises:
        InvalidInput: a value is out of bounds.
    """

    kind: NetworkKind = "sequential"
    hidden: tuple[int, ...] | None = None
    activation: Activation = "tanh"
    scale: Scale = "none"
    inputs: tuple[str, ...] | None = None
    feature_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _one_of("network.scale", self.scale, SCALES)
        _one_of("network.kind", self.kind, NETWORK_KINDS)
        _one_of("network.activation", self.activation, ACTIVATIONS)
        if self.inputs is not None:
            self._check_inputs(tuple(self.inputs))
        if self.feature_weights is not None:
            self._check_feature_weights(tuple(map(float, self.feature_weights)))
        hidden = self.widths
        object.__setattr__(self, "hidden", hidden)
        if self.kind == "logistic" and hidden:
            raise InvalidInput("network.hidden", "must be empty: a logistic network has no hidden layer")
        if self.kind == "two_layer" and len(hidden) != 1:
            raise InvalidInput("network.hidden", "must list exactly one hidden layer for a two_layer network")
        if len(hidden) > MAX_HIDDEN_LAYERS:
            raise InvalidInput("network.hidden", f"must list at most {MAX_HIDDEN_LAYERS} hidden layers")
        for i, width in enumerate(hidden):
            _within(f"network.hidden.{i}", width, 1, MAX_WIDTH)

    def _check_inputs(self, inputs: tuple[str, ...]) -> None:
        object.__setattr__(self, "inputs", inputs)
        if not 1 <= len(inputs) <= MAX_INPUTS:
            raise InvalidInput("network.inputs", f"must list 1 to {MAX_INPUTS:,} terms")
        for i, text in enumerate(inputs):
            if len(text) > MAX_INPUT_LENGTH:
                raise InvalidInput(f"network.inputs.{i}", f"must have at most {MAX_INPUT_LENGTH} characters")

    def _check_feature_weights(self, weights: tuple[float, ...]) -> None:
        """Checks the bounds of the factors, and keeps them as a tuple of floats."""
        object.__setattr__(self, "feature_weights", weights)
        if self.inputs is not None:
            raise InvalidInput("network.feature_weights", "cannot be combined with inputs: leave out one of the two")
        for d, weight in enumerate(weights):
            _within(f"network.feature_weights.{d}", weight, MIN_FEATURE_WEIGHT, MAX_FEATURE_WEIGHT)

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths of the hidden layers, or the default for this kind of network."""
        if self.hidden is None:
            return () if self.kind == "logistic" else (4,)
        return tuple(self.hidden)


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """How a network is trained.

    Attributes:
        epochs: largest number of passes over the training points.
        optimizer: `sgd` or `adam`, as in torch, with torch's default betas and epsilon; or `lbfgs`, see
            `models.kernel.lbfgs`. An epoch of `lbfgs` is one iteration, and it also stops when it has converged.
        learning_rate: the optimizer's step size; by default from `LEARNING_RATES`. None for `lbfgs`, which has none.
        momentum: of `sgd`, in [0, 1), by default 0. None for `lbfgs`.
        weight_decay: L2 penalty added to the gradient, as in torch.
        batch_size: points per step, in a new random order in each epoch; None takes all points at once, as `lbfgs`
            always does.
        validation_fraction: share of each class that is held out of training, in [0, 0.9].
        validation_folds: number of parts of a cross-validation, from 2. For each part, a network is trained on the
            others and evaluated on it. The network that is kept is trained on all points.
        patience: training stops early after this many epochs without an improvement of the watched loss, which is that
            of the validation points, or without these of the training points. None never stops early.
        min_delta: smallest decrease of the watched loss that counts as an improvement.
        seed: for the initial weights, the validation split and the batch order.
        class_weight: the weight of each class in the loss, by the text of its label; `balanced` makes the weights of
            all classes add up to the same, see `models.recipes.class_weights`. None weighs all points alike. Reported
            losses of epochs are weighted means; the final metrics are never weighted.
        restarts: how many networks to train, with the seeds `seed`, `seed` + 1, ...; the best is kept.
        ensemble: how many networks to train, with these seeds; all are kept, and answer together. Excludes `restarts`.
        temperature: what the logits of the trained network are divided by, to calibrate its probabilities.
        implementation: `compiled`, `torch`, or `auto` for the faster one that can train the network.

    Raises:
        InvalidInput: a value is out of bounds.
    """

    epochs: int = 10_000
    optimizer: Optimizer = "sgd"
    learning_rate: float | None = None
    momentum: float | None = None
    weight_decay: float = 0.0
    batch_size: int | None = None
    validation_fraction: float = 0.0
    validation_folds: int | None = None
    patience: int | None = None
    min_delta: float = 1e-4
    seed: int = 0
    class_weight: ClassWeight | None = None
    restarts: int = 1
    ensemble: int = 1
    temperature: float = 1.0
    implementation: ImplementationChoice = "auto"

    def __post_init__(self) -> None:
        _within("training.epochs", self.epochs, 1, MAX_EPOCHS)
        _one_of("training.optimizer", self.optimizer, OPTIMIZERS)
        _one_of("training.implementation", self.implementation, IMPLEMENTATION_CHOICES)
        if self.optimizer == "lbfgs":
            self._check_lbfgs()
        else:
            self._check_steps()
        _within("training.weight_decay", self.weight_decay, 0.0, MAX_WEIGHT_DECAY)
        _within("training.validation_fraction", self.validation_fraction, 0.0, 0.9)
        if self.validation_folds is not None:
            _within("training.validation_folds", self.validation_folds, 2, MAX_FOLDS)
            if self.validation_fraction:
                raise InvalidInput("training.validation_folds", "must be left out if validation_fraction is given")
        _within("training.temperature", self.temperature, MIN_TEMPERATURE, MAX_TEMPERATURE)
        if self.patience is not None:
            _within("training.patience", self.patience, 1, MAX_EPOCHS)
        _within("training.min_delta", self.min_delta, 0.0, MAX_LEARNING_RATE)
        _within("training.seed", self.seed, 0, MAX_SEED)
        _within("training.restarts", self.restarts, 1, MAX_RESTARTS)
        _within("training.ensemble", self.ensemble, 1, MAX_ENSEMBLE)
        if self.restarts > 1 and self.ensemble > 1:
            raise InvalidInput(
                "training.ensemble",
                "cannot be combined with restarts: an ensemble keeps all networks, restarts keep the best one",
            )
        if isinstance(self.class_weight, str):
            _one_of("training.class_weight", self.class_weight, ("balanced",))
        elif self.class_weight is not None:
            for weight in self.class_weight.values():
                _within("training.class_weight", weight, MIN_CLASS_WEIGHT, MAX_CLASS_WEIGHT)

    def _check_lbfgs(self) -> None:
        if self.learning_rate is not None:
            raise InvalidInput("training.learning_rate", "must be left out: lbfgs finds its step sizes by itself")
        if self.momentum is not None:
            raise InvalidInput("training.momentum", "must be left out: lbfgs has no momentum")
        if self.batch_size is not None:
            raise InvalidInput("training.batch_size", "must be left out: lbfgs takes all points in each step")
        if self.implementation == "torch":
            raise InvalidInput(
                "training.implementation", "must be auto or compiled: torch does not train by lbfgs here"
            )

    def _check_steps(self) -> None:
        """Checks the settings of optimizers that step along each gradient, and completes them."""
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", LEARNING_RATES[self.optimizer])
        _within("training.learning_rate", self.learning_rate, 0.0, MAX_LEARNING_RATE)
        if self.learning_rate == 0.0:
            raise InvalidInput("training.learning_rate", "must be greater than 0")
        if self.momentum is None:
            object.__setattr__(self, "momentum", 0.0)
        _within("training.momentum", self.momentum, 0.0, 1.0)
        if self.momentum == 1.0:
            raise InvalidInput("training.momentum", "must be less than 1")
        if self.momentum and self.optimizer != "sgd":
            raise InvalidInput("training.momentum", "must be 0 unless the optimizer is sgd")
        if self.batch_size is not None:
            _within("training.batch_size", self.batch_size, 1, MAX_POINTS)

    @property
    def networks(self) -> int:
        """Number of networks to train."""
        return self.restarts * self.ensemble

    @property
    def rate(self) -> float:
        """The learning rate, or 0 for an optimizer without one."""
        return self.learning_rate or 0.0


def resolve_network(given: dict[str, Any], *, is_generated: bool) -> NetworkSpec:
    """The architecture in `given`, with a scale of `none` for points of a generator and `standard` for others.

    Generators make points of the size that the tutorial's settings suit.

    Raises:
        InvalidInput: a value is out of bounds.
    """
    return NetworkSpec(**({"scale": "none" if is_generated else "standard"} | given))


def resolve_training(kind: NetworkKind, given: dict[str, Any]) -> TrainingSpec:
    """The settings in `given`, completed by the tutorial's settings for this kind of network.

    The tutorial uses SGD: for logistic regression with a learning rate of 0.1 for 100 epochs, for other networks with
    1.0 for 10,000. For other optimizers see `LEARNING_RATES` and `LBFGS_EPOCHS`.

    Raises:
        InvalidInput: a value is out of bounds.
    """
    optimizer = given.get("optimizer", "sgd")
    defaults: dict[str, Any] = {}
    if optimizer == "lbfgs":
        defaults["epochs"] = LBFGS_EPOCHS
    elif kind == "logistic":
        defaults["epochs"] = 100
        if optimizer == "sgd":
            defaults["learning_rate"] = 0.1
    return TrainingSpec(**(defaults | given))


@dataclass(frozen=True, kw_only=True)
class GridSpec:
    """A regular grid over a window of the plane: `width` columns from `x_min` to `x_max` and `height` rows, inclusive.

    Without `y_min`, `y_max` and `height`, it is a curve: `width` cells of one axis, from `x_min` to `x_max`.
    `is_adaptive` allows more cells, for `models.boundary.certified.quadtree`.

    Raises:
        InvalidInput: the window is empty or not finite, or the resolution is out of bounds.
    """

    x_min: float
    x_max: float
    y_min: float | None = None
    y_max: float | None = None
    width: int
    height: int | None = None
    is_adaptive: bool = False

    def __post_init__(self) -> None:
        for axis in ("x",) if self.is_curve else ("x", "y"):
            low, high = getattr(self, f"{axis}_min"), getattr(self, f"{axis}_max")
            _within(f"{axis}_min", low, -MAX_WINDOW, MAX_WINDOW)
            _within(f"{axis}_max", high, -MAX_WINDOW, MAX_WINDOW)
            if not low < high:
                raise InvalidInput(f"{axis}_max", f"must be greater than {axis}_min")
            steps = self.width if axis == "x" else self.height or 1
            if not high - low > steps * math.ulp(max(abs(low), abs(high))):
                raise InvalidInput(f"{axis}_max", f"must be farther from {axis}_min: the cells would coincide")
        for cells in (self.width,) if self.is_curve else (self.width, self.height):
            _within("resolution", cells, 2, MAX_ADAPTIVE_RESOLUTION if self.is_adaptive else MAX_RESOLUTION)
        if self.cells > MAX_GRID_CELLS and not self.is_adaptive:
            raise InvalidInput("resolution", f"must have at most {MAX_GRID_CELLS} cells")

    @property
    def is_curve(self) -> bool:
        """Whether it has one axis only."""
        return self.height is None

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.width * (self.height or 1)


def output_count(classes: int) -> int:
    """Number of logits of a network: one for two classes, else one per class."""
    return 1 if classes == 2 else classes


def asdict(spec: DatasetSpec | NetworkSpec | TrainingSpec) -> dict[str, Any]:
    """The specification as JSON values: tuples become lists.

    `feature_weights` are left out if there are none, so that digests and cards are as in releases without them.
    """
    fields = dataclasses.asdict(spec)
    if fields.get("feature_weights", ()) is None:
        del fields["feature_weights"]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}


def _within(field: str, value: float | None, low: float, high: float) -> None:
    if value is None or not math.isfinite(value) or not low <= value <= high:
        raise InvalidInput(field, f"must be between {low:,} and {high:,}")


def _one_of(field: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InvalidInput(field, f"must be one of {', '.join(allowed)}")
