"""What `POST /train` is asked."""

from typing import Annotated, Any

from pydantic import Discriminator, FailFast, Field, FiniteFloat, Tag, model_validator
from pydantic_core import PydanticCustomError

from models.limits import (
    MAX_CLASSES,
    MAX_EPOCHS,
    MAX_FEATURES,
    MAX_HIDDEN_LAYERS,
    MAX_LABEL_LENGTH,
    MAX_LABEL_NUMBER,
    MAX_LEARNING_RATE,
    MAX_NOISE,
    MAX_POINTS,
    MAX_RESTARTS,
    MAX_SEED,
    MAX_WEIGHT_DECAY,
    MAX_WIDTH,
)
from models.specs import (
    Activation,
    DatasetName,
    ImplementationChoice,
    NetworkKind,
    Optimizer,
)
from service.http.schema import Body
from service.records import NAME_PATTERN

MAX_METADATA = 16
MAX_METADATA_KEY_LENGTH = 64
MAX_METADATA_LENGTH = 512
"""Of one value."""


class GeneratedData(Body):
    """Points that a generator makes."""

    dataset: DatasetName = Field(description="A built-in data set.")
    n: int = Field(400, ge=2, le=MAX_POINTS, description="Number of points.")
    noise: FiniteFloat | None = Field(
        None, ge=0, le=MAX_NOISE, description="In data units; GET /datasets lists the default of each data set."
    )
    seed: int = Field(1, ge=0, le=MAX_SEED, description="Seed of the points.")
    classes: int = Field(2, ge=2, le=MAX_CLASSES, description="More than 2 for `spirals` and `gaussians` only.")

    @model_validator(mode="before")
    @classmethod
    def _refuse_given(cls, value: Any) -> Any:
        if isinstance(value, dict) and not value.keys().isdisjoint(("points", "labels")):
            raise PydanticCustomError("both", "either a dataset or points and labels, not both")
        return value


def _kind_of_label(value: Any) -> str:
    return "string" if isinstance(value, str) else "integer"


Label = Annotated[
    Annotated[int, Field(ge=-MAX_LABEL_NUMBER, le=MAX_LABEL_NUMBER), Tag("integer")]
    | Annotated[str, Field(min_length=1, max_length=MAX_LABEL_LENGTH), Tag("string")],
    Discriminator(_kind_of_label),
]


class GivenData(Body):
    """Points of your own: N of D coordinates, and as many labels, all integers or all strings, 2 classes or more."""

    points: Annotated[
        list[Annotated[list[FiniteFloat], FailFast(), Field(min_length=1, max_length=MAX_FEATURES)]], FailFast()
    ] = Field(min_length=2, max_length=MAX_POINTS)
    labels: Annotated[
        list[Label],
        FailFast(),
    ] = Field(min_length=2, max_length=MAX_POINTS)


def _kind_of_data(value: Any) -> str:
    return "generated" if isinstance(value, dict) and "dataset" in value else "given"


Data = Annotated[
    Annotated[GeneratedData, Tag("generated")] | Annotated[GivenData, Tag("given")], Discriminator(_kind_of_data)
]


class NetworkSettings(Body):
    """The architecture; the data decide how many inputs and outputs there are."""

    kind: NetworkKind = Field("sequential", description="Kind of network.")
    hidden: list[Annotated[int, Field(ge=1, le=MAX_WIDTH)]] | None = Field(
        None,
        max_length=MAX_HIDDEN_LAYERS,
        description="Width of each hidden layer: by default [4], none for `logistic`; exactly one for `two_layer`.",
    )
    activation: Activation = Field("tanh", description="Activation function of the hidden layers.")


class TrainingSettings(Body):
    """How to train; what is not given is as the tutorial has it for that kind of network."""

    epochs: int | None = Field(None, ge=1, le=MAX_EPOCHS, description="By default 10000, for `logistic` 100.")
    optimizer: Optimizer | None = Field(None, description="By default `sgd`.")
    learning_rate: FiniteFloat | None = Field(
        None, gt=0, le=MAX_LEARNING_RATE, description="By default 1.0, for `logistic` 0.1, for `adam` 0.01."
    )
    momentum: FiniteFloat | None = Field(None, ge=0, lt=1, description="Of `sgd`; by default 0.")
    weight_decay: FiniteFloat | None = Field(None, ge=0, le=MAX_WEIGHT_DECAY, description="By default 0.")
    batch_size: int | None = Field(None, ge=1, le=MAX_POINTS, description="By default all points at once.")
    validation_fraction: FiniteFloat | None = Field(
        None, ge=0, le=0.9, description="Share of each class kept out of training; by default 0."
    )
    patience: int | None = Field(
        None, ge=1, le=MAX_EPOCHS, description="Epochs without improvement after which to stop; by default never."
    )
    min_delta: FiniteFloat | None = Field(
        None, ge=0, le=MAX_LEARNING_RATE, description="Least decrease of the loss that counts; by default 0.0001."
    )
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Of weights, split and batches; by default 0.")
    restarts: int | None = Field(
        None,
        ge=1,
        le=MAX_RESTARTS,
        description="Train so many networks, from `seed`, `seed` + 1, ..., on all cores, and keep the one with the "
        "least validation loss, without validation the least training loss; by default 1.",
    )
    implementation: ImplementationChoice | None = Field(
        None, description="`compiled`, `torch`, or by default `auto`, the faster of the two."
    )


class TrainRequest(Body):
    """What to train, on what, and under which name to publish it."""

    model: str = Field(pattern=NAME_PATTERN, description="The result becomes its next version.", examples=["my-flower"])
    data: Data = Field(examples=[{"dataset": "flower"}])
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    metadata: dict[
        Annotated[str, Field(min_length=1, max_length=MAX_METADATA_KEY_LENGTH)],
        Annotated[str, Field(max_length=MAX_METADATA_LENGTH)],
    ] = Field({}, max_length=MAX_METADATA, description="Whatever you want to know the job by.")
