"""The request schemas of `POST /train` and `POST /jobs`."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, FailFast, Field, FiniteFloat, Tag, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from models.datasets import FRACTIONS, label_text
from models.limits import (
    MAX_CLASS_WEIGHT,
    MAX_CLASSES,
    MAX_ENSEMBLE,
    MAX_EPOCHS,
    MAX_FEATURE_WEIGHT,
    MAX_FEATURES,
    MAX_FOLDS,
    MAX_HIDDEN_LAYERS,
    MAX_INPUT_LENGTH,
    MAX_INPUTS,
    MAX_LABEL_LENGTH,
    MAX_LABEL_NUMBER,
    MAX_LEARNING_RATE,
    MAX_NOISE,
    MAX_POINTS,
    MAX_RESTARTS,
    MAX_SEED,
    MAX_SNAPSHOTS,
    MAX_TEMPERATURE,
    MAX_WEIGHT_DECAY,
    MAX_WIDTH,
    MIN_CLASS_WEIGHT,
    MIN_FEATURE_WEIGHT,
    MIN_TEMPERATURE,
)
from models.specs import (
    DATASET_NAMES,
    Activation,
    DatasetName,
    ImplementationChoice,
    NetworkKind,
    Optimizer,
    Preset,
    Scale,
)
from service.api.points import FeatureName, Points
from service.api.references import AliasName
from service.datasets.json_pages import ONE_OF_SEVERAL, data_of, is_page
from service.http.schema import WHOLE, Body, Whole, whole
from service.records import ALIAS_PATTERN, LOSS_CONDITION_PATTERN, NAME_PATTERN, SHARE_CONDITION_PATTERN

MAX_METADATA = 16
MAX_METADATA_KEY_LENGTH = 64
MAX_METADATA_LENGTH = 512
"""Maximum number of characters of one value."""


class GeneratedData(Body):
    """Points from a generator."""

    type: Literal["generated"] = Field("generated", description="May be left out.")
    dataset: DatasetName = Field(description="A built-in dataset.")
    n: Whole = Field(400, ge=2, le=MAX_POINTS, description="Number of points.")
    noise: FiniteFloat | None = Field(
        None, ge=0, le=MAX_NOISE, description="In data units; GET /datasets lists the default of each dataset."
    )
    seed: Whole = Field(1, ge=0, le=MAX_SEED, description="Seed of the points.")
    n_classes: Whole = Field(2, ge=2, le=MAX_CLASSES, description="More than 2 for `spirals` and `gaussians` only.")

    @model_validator(mode="before")
    @classmethod
    def _refuse_others(cls, value: Any) -> Any:
        _refuse_given(value)
        return value


class StoredData(Body):
    """The points of a stored dataset."""

    type: Literal["stored"] = Field("stored", description="May be left out.")
    dataset: str = Field(pattern=NAME_PATTERN, description="The name of a stored dataset.")

    @model_validator(mode="before")
    @classmethod
    def _refuse_others(cls, value: Any) -> Any:
        _refuse_given(value)
        if isinstance(value, dict) and not value.keys().isdisjoint(_OF_GENERATORS):
            raise PydanticCustomError("of_generators", "n, noise, seed and n_classes are for generators only")
        return value


_OF_GENERATORS = GeneratedData.model_fields.keys() - {"type", "dataset"}


def _refuse_given(value: Any) -> None:
    if isinstance(value, dict) and not value.keys().isdisjoint(("points", "labels")):
        raise PydanticCustomError("both", "must have either `dataset` or `points` and `labels`, not both")


class ValidationData(Body):
    """A separate validation dataset."""

    dataset: str = Field(pattern=NAME_PATTERN, description="The name of a stored dataset.")


def plain_labels(labels: Any) -> Any:
    """Labels without a list around each, as in stored datasets.

    Truth values are 1 and 0, whole numbers are integers, and texts have no blanks around them. All labels are taken at
    once, which is faster. Truth values among other labels are left to the schema, which refuses them.
    """
    if not isinstance(labels, list):
        return labels
    kinds = set(map(type, labels))
    if kinds == {list} and {len(one) for one in labels} == {1}:
        labels = [one[0] for one in labels]
        kinds = set(map(type, labels))
    if kinds == {str}:
        texts = {label: label_text(label) for label in set(labels)}
        return [*map(texts.__getitem__, labels)]
    if kinds == {bool}:
        return [*map(int, labels)]
    return [*map(whole, labels)] if float in kinds else labels


def _kind_of_label(value: Any) -> str:
    if isinstance(value, str):
        return "string"
    if value is None:
        return "[null]"
    return "[number]" if isinstance(value, float) else "integer"


def _refuse_null(_: None) -> None:
    raise PydanticCustomError("null", "must be a number or text, not null")


def _refuse_fraction(_: float) -> None:
    raise PydanticCustomError("fraction", FRACTIONS)


Label = Annotated[
    Annotated[int, Field(ge=-MAX_LABEL_NUMBER, le=MAX_LABEL_NUMBER), Tag("integer")]
    | Annotated[str, Field(min_length=1, max_length=MAX_LABEL_LENGTH), Tag("string")]
    | Annotated[int, BeforeValidator(_refuse_null), SkipJsonSchema(), Tag("[null]")]
    | Annotated[int, BeforeValidator(_refuse_fraction), SkipJsonSchema(), Tag("[number]")],
    Discriminator(_kind_of_label),
]


class GivenData(Body):
    """Your own data: N points of D coordinates, and N labels of at least 2 classes, all integers or all strings.

    A response of `GET /datasets/{name}/points` with all points of a dataset can be sent as it is.
    """

    type: Literal["points"] = Field("points", description="May be left out.")
    points: Points = Field(description="N points of D coordinates each; records have the names of the features too.")
    labels: Annotated[
        list[Label],
        FailFast(),
        Field(min_length=2, max_length=MAX_POINTS, description="The class of each point."),
        BeforeValidator(plain_labels),
    ]
    feature_names: list[FeatureName] | None = Field(
        None,
        min_length=1,
        max_length=MAX_FEATURES,
        description="The name of each coordinate, all different. Pictures and predictions know the coordinates by it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_page(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not is_page(value):
            return value
        data = data_of(value)
        if data is None:
            raise PydanticCustomError("page", ONE_OF_SEVERAL)
        return data


def _kind_of_data(value: Any) -> str:
    if not isinstance(value, dict) or "dataset" not in value or is_page(value):
        return "given"
    name = value["dataset"]
    is_stored = isinstance(name, str) and name not in DATASET_NAMES and value.get("type") != "generated"
    return "stored" if is_stored else "generated"


Data = Annotated[
    Annotated[GeneratedData, Tag("generated")]
    | Annotated[StoredData, Tag("stored")]
    | Annotated[GivenData, Tag("given")],
    Discriminator(_kind_of_data),
]


class NetworkSettings(Body):
    """The architecture. The numbers of inputs and outputs follow from the data."""

    kind: NetworkKind = Field("sequential", description="Kind of network.")
    hidden: list[Annotated[int, Field(ge=1, le=MAX_WIDTH), WHOLE]] | None = Field(
        None,
        max_length=MAX_HIDDEN_LAYERS,
        description="Width of each hidden layer. By default [4], for `logistic` none. `two_layer` has exactly one.",
    )
    activation: Activation = Field("tanh", description="Activation function of the hidden layers.")
    scale: Scale | None = Field(
        None,
        description="`standard` trains on coordinates of mean 0 and deviation 1, `none` on the coordinates as they "
        "are. By default `standard` for your own points, and `none` for the points of a generator.",
    )
    inputs: list[Annotated[str, Field(min_length=1, max_length=MAX_INPUT_LENGTH)]] | None = Field(
        None,
        min_length=1,
        max_length=MAX_INPUTS,
        description="Derived inputs: terms of the scaled coordinates, such as `x`, `x^2`, `x*y` or `sin y`; in any "
        "dimension `x1`, `x1*x2`, ..., or `coordinates`, `squares`, `products` for all of a kind. By default the "
        "coordinates.",
    )
    feature_weights: list[Annotated[FiniteFloat, Field(ge=MIN_FEATURE_WEIGHT, le=MAX_FEATURE_WEIGHT)]] | None = Field(
        None,
        min_length=1,
        max_length=MAX_FEATURES,
        description="A factor for each feature, by which its scaled coordinate is multiplied during the training, so "
        "that weight decay restrains features with large factors less. Not with `inputs`. By default 1 for all.",
    )


def _kind_of_class_weight(value: Any) -> str:
    return "[word]" if isinstance(value, str) else "[weights]"


ClassWeight = Annotated[
    Annotated[Literal["balanced"], Tag("[word]")]
    | Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=MAX_LABEL_LENGTH)],
            Annotated[FiniteFloat, Field(ge=MIN_CLASS_WEIGHT, le=MAX_CLASS_WEIGHT)],
        ],
        Field(min_length=2, max_length=MAX_CLASSES),
        Tag("[weights]"),
    ],
    Discriminator(_kind_of_class_weight),
]


class TrainingSettings(Body):
    """How to train. The defaults are the tutorial's values for the kind of network."""

    epochs: Annotated[int, Field(ge=1, le=MAX_EPOCHS), WHOLE] | None = Field(
        None, description="By default 10000, for `logistic` 100, for `lbfgs` 500."
    )
    optimizer: Optimizer | None = Field(None, description="By default `sgd`.")
    learning_rate: FiniteFloat | None = Field(
        None,
        gt=0,
        le=MAX_LEARNING_RATE,
        description="By default 1.0, for `logistic` 0.1, for `adam` 0.01. `lbfgs` has none.",
    )
    momentum: FiniteFloat | None = Field(None, ge=0, lt=1, description="For `sgd` only. By default 0.")
    weight_decay: FiniteFloat | None = Field(None, ge=0, le=MAX_WEIGHT_DECAY, description="By default 0.")
    batch_size: Annotated[int, Field(ge=1, le=MAX_POINTS), WHOLE] | None = Field(
        None, description="Points per step. By default all, which `lbfgs` always takes."
    )
    validation_fraction: FiniteFloat | None = Field(
        None, ge=0, le=0.9, description="Share of each class that is held out for validation. By default 0."
    )
    validation_folds: Annotated[int, Field(ge=2, le=MAX_FOLDS), WHOLE] | None = Field(
        None,
        description="Evaluate the settings by a cross-validation with this many parts. The published network is "
        "trained on all points. By default without, or as many as `auto` chooses.",
    )
    patience: Annotated[int, Field(ge=1, le=MAX_EPOCHS), WHOLE] | None = Field(
        None, description="Stop after this many epochs without improvement. By default never."
    )
    min_delta: FiniteFloat | None = Field(
        None,
        ge=0,
        le=MAX_LEARNING_RATE,
        description="Smallest decrease of the loss that counts as improvement. By default 0.0001.",
    )
    seed: Annotated[int, Field(ge=0, le=MAX_SEED), WHOLE] | None = Field(
        None, description="Seed of the weights, the split and the batches. By default 0."
    )
    class_weight: ClassWeight | None = Field(
        None,
        description="The weight of each class in the loss: an object with a number for each label, such as "
        '`{"yes": 2, "no": 1}`, or `balanced`, by which all classes weigh the same in total. By default all points '
        "weigh the same.",
    )
    restarts: Annotated[int, Field(ge=1, le=MAX_RESTARTS), WHOLE] | None = Field(
        None,
        description="Train this many networks in parallel, with the seeds `seed`, `seed` + 1, ..., and keep the one "
        "with the smallest validation loss, or training loss if there is no validation. By default 1.",
    )
    ensemble: Annotated[int, Field(ge=1, le=MAX_ENSEMBLE), WHOLE] | None = Field(
        None,
        description="Train this many networks with these seeds and keep all: the version answers with the mean of "
        "their probabilities, and with their spread if that is asked for. Excludes `restarts`. By default 1.",
    )
    temperature: FiniteFloat | None = Field(
        None,
        ge=MIN_TEMPERATURE,
        le=MAX_TEMPERATURE,
        description="What the logits of the trained network are divided by, to calibrate its probabilities. By "
        "default 1.",
    )
    implementation: ImplementationChoice | None = Field(
        None,
        description="`compiled`, `torch`, or `auto`, the faster of the two. `lbfgs` cannot have `torch`. By default "
        "`auto`.",
    )


class StartingVersion(Body):
    """The version at whose weights a training begins."""

    model: str = Field(pattern=NAME_PATTERN, description="The name of its model.")
    version: Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE] | None = Field(
        None, description="Its number. By default the version that `latest` names."
    )
    alias: AliasName = None


def _kind_of_snapshots(value: Any) -> str:
    return "[list]" if isinstance(value, list) else "[number]"


Snapshots = Annotated[
    Annotated[int, Field(ge=1, le=MAX_SNAPSHOTS), WHOLE, Tag("[number]")]
    | Annotated[
        list[Annotated[int, Field(ge=0, le=MAX_EPOCHS), WHOLE]],
        Field(min_length=1, max_length=MAX_SNAPSHOTS),
        Tag("[list]"),
    ],
    Discriminator(_kind_of_snapshots),
]


class StartedTrainingSettings(TrainingSettings):
    """How to train, and where to begin."""

    start: StartingVersion | None = Field(
        None,
        alias="from",
        description="Begin at the weights of a version, which must have the features, the classes and the network of "
        "the training. Settings that the request leaves open are taken from the version. By default random weights.",
    )
    snapshots: Snapshots | None = Field(
        None,
        description="For `publish: false` only: keep the weights after some epochs, for `epoch`. A number asks for "
        "this many epochs, spaced logarithmically from 0 to the last; a list names them. Not with several networks.",
    )


Metadata = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=MAX_METADATA_KEY_LENGTH)],
        Annotated[str, Field(max_length=MAX_METADATA_LENGTH)],
    ],
    Field(max_length=MAX_METADATA, description="Your own key-value pairs, returned with the job."),
]


class Conditions(Body):
    """Conditions on the figures of a training: an operator `>=`, `>`, `<=` or `<`, and a number."""

    accuracy: str | None = Field(
        None, pattern=SHARE_CONDITION_PATTERN, description="Share of the points that get their label, 0 to 1."
    )
    log_loss: str | None = Field(None, pattern=LOSS_CONDITION_PATTERN, description="Mean loss, in nats.")


class TrainRequest(Body):
    """A training: its data, network and settings, and the model to publish."""

    model: str | None = Field(
        None,
        pattern=NAME_PATTERN,
        description="The result is published as the next version of this model. Required, unless `publish` is false.",
        examples=["my-flower"],
    )
    data: Data = Field(description="What to train on.", examples=[{"dataset": "flower"}])
    validation: ValidationData | None = Field(
        None,
        description="A stored dataset whose points are for validation only. It has the features of the training data, "
        "and no other labels. Excludes `training.validation_fraction` and `training.validation_folds`.",
    )
    preset: Preset | None = Field(
        None,
        description="Where settings that the request leaves open come from: `tutorial`, the tutorial's values, or "
        "`auto`, a search by cross-validation; or `version`, the version in `training.from`. By default "
        "`version` with `training.from`, `auto` for your own points if the request has no settings of `network` or "
        "`training`, else `tutorial`.",
    )
    network: NetworkSettings = NetworkSettings()
    training: StartedTrainingSettings = StartedTrainingSettings()
    promote_if: Conditions | None = Field(
        None,
        description="Move the alias only if all these conditions hold on the validation points, or without any in the "
        "cross-validation. The version is published in any case.",
        examples=[{"accuracy": ">=0.95", "log_loss": "<=0.2"}],
    )
    promote_to: str | None = Field(
        None,
        pattern=ALIAS_PATTERN,
        description="The alias that `promote_if` is about. By default `latest`, which moves without conditions if "
        "another alias is named.",
    )
    metadata: Metadata = Field({})
    publish: bool = Field(
        True,
        description="`false` trains without publishing a version. The job is not listed. It answers in place of a "
        "model, and can be read until `expires_at`, which each read extends.",
    )
    supersede: str | None = Field(
        None,
        pattern=NAME_PATTERN,
        description="A group of trainings of which only the newest counts: this one cancels the queued trainings of "
        "the group, and never the running one. Each API key has groups of its own. Choose a random name.",
    )
