"""Response schemas that several resources share."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from models.specs import Activation, DatasetName, NetworkKind, Optimizer
from models.training.runs import StopReason
from service.api.jobs.requests import NetworkSettings, TrainingSettings


def left_out(value: object) -> bool:
    """Whether a response leaves out an optional field, for `Field(exclude_if=...)`."""
    return value is None


class Metrics(BaseModel):
    """How well a network fits its training points, and the points that were held out for validation."""

    training_loss: float = Field(description="Mean loss of the training points, in nats.")
    training_accuracy: float = Field(description="Share of the training points that are classified correctly.")
    validation_loss: float | None = Field(description="The same for the validation points; null without any.")
    validation_accuracy: float | None = Field(description="The same for the validation points; null without any.")


class ClassEvaluation(BaseModel):
    """How a network classifies points, class by class, in the order of `classes`."""

    log_loss: float | None = Field(description="Mean loss, in nats; null for versions of old releases.")
    accuracy: float | None = Field(description="Share that gets its label; null for versions of old releases.")
    confusion: list[list[int]] = Field(description="(K, K) points of the class `row` with the label `column`.")
    recall: list[float | None] = Field(
        description="Share of the points of each class that get its label; null for a class without points."
    )
    precision: list[float | None] = Field(
        description="Share of the points with each label that are of its class; null for a label that no point gets."
    )


class Evaluation(BaseModel):
    """How a network classifies the points that it was trained on, and those that were held out."""

    training: ClassEvaluation = Field(description="On the training points.")
    validation: ClassEvaluation | None = Field(description="On the validation points; null without any.")
    cross_validation: ClassEvaluation | None = Field(
        description="On all points but the validation points, each by a network of the same settings that was trained "
        "without it; null unless the preset is `auto` or `validation_folds` is given.",
    )


class SearchCandidate(BaseModel):
    """A network with settings that a search compared. The figures are of points that it was not trained on."""

    kind: NetworkKind = Field(description="Kind of network.")
    hidden: list[int] = Field(description="Widths of the hidden layers.")
    activation: Activation = Field(description="Activation function of the hidden layers.")
    optimizer: Optimizer = Field(description="The optimizer.")
    weight_decay: float = Field(description="Weight decay.")
    feature_weights: list[float] | SkipJsonSchema[None] = Field(
        None, exclude_if=left_out, description="The factor of each feature; only if features are weighted."
    )
    temperature: float = Field(description="What the logits are divided by, so that the probabilities are calibrated.")
    loss: float = Field(
        description="The figure by which candidates are compared: the log loss with Platt's targets, in nats."
    )
    log_loss: float = Field(description="Mean loss with these probabilities, in nats.")
    accuracy: float = Field(description="Share of the points that get their label.")


class Search(BaseModel):
    """How the preset `auto` chose the settings."""

    folds: int = Field(description="Number of folds of the cross-validation; 1 is a single held-out part.")
    candidates: list[SearchCandidate] = Field(description="All candidates that were compared, in this order.")
    winner: int | None = Field(description="The index of the chosen one; null if none could be compared.")
    reason: str = Field(description="Why it was chosen.")


class Promotion(BaseModel):
    """The result of `promote_if`."""

    alias: str = Field(description="The alias that moves to the version if the conditions hold.")
    promoted: bool = Field(description="Whether they held, and the alias moved.")
    reason: str = Field(description="The figures that decided.")


Warnings = Annotated[list[str], Field(description="What you should know before you use the network.")]


class RestartResult(BaseModel):
    """The result of one of the networks that a job trained."""

    seed: int = Field(description="The seed of its weights and batches.")
    stop_reason: StopReason = Field(
        description="Why its training ended: all epochs are done, the loss no longer improved, `lbfgs` found no "
        "further decrease, a number is not finite, or the job was stopped."
    )
    epochs_run: int = Field(description="Number of epochs that it trained.")
    metrics: Metrics | None = Field(description="Null if the loss is not finite, or if the training was stopped.")


class ValidationDataInfo(BaseModel):
    """The points of a stored dataset that are for validation only. They stay with the job if it is deleted."""

    dataset: str = Field(description="The name that the dataset had.")
    digest: str = Field(description="SHA-256 of its points, labels and class names.")
    n_points: int = Field(description="Number of its points.")


OwnValidation = Annotated[
    ValidationDataInfo | None, Field(description="The dataset for validation; null if the request names none.")
]


class GeneratedDataInfo(BaseModel):
    """Points from a generator, with every parameter."""

    type: Literal["generated"] = "generated"
    dataset: DatasetName = Field(description="The name of the dataset.")
    n: int = Field(description="Number of points.")
    noise: float = Field(description="In data units.")
    seed: int = Field(description="Seed of the points.")
    n_classes: int = Field(description="Number of classes.")
    validation: OwnValidation


class _PointsInfo(BaseModel):
    n_points: int = Field(description="Number of points.")
    n_features: int = Field(description="Number of coordinates of a point.")
    feature_names: list[str] | None = Field(description="The name of each coordinate; null without names.")
    validation: OwnValidation
    categories: dict[str, list[str]] | None = Field(
        description="The values of each text column that became features, by its name. Predictions by name take this "
        "column in place of its features. Null without such columns.",
    )


class PointsDataInfo(_PointsInfo):
    """Points that the client sent."""

    type: Literal["points"] = "points"


class StoredDataInfo(_PointsInfo):
    """The points of a stored dataset. They stay with the job and its version if the dataset is deleted."""

    type: Literal["stored"] = "stored"
    dataset: str = Field(description="The name that the dataset had.")


DataInfo = Annotated[
    GeneratedDataInfo | PointsDataInfo | StoredDataInfo, Field(discriminator="type", description="The training data.")
]


def data_info(data: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON value of `DataInfo` for the data as it stands in a card or in the row of a job."""
    own = data.get("validation")
    validation = own and {"dataset": own["stored"], "digest": own["digest"], "n_points": own["n_points"]}
    info = {**data, "validation": validation}
    if "dataset" in info:
        return {"type": "generated", **info}
    none = {"feature_names": None, "categories": None}
    if "stored" in info:
        return {"type": "stored", "dataset": info.pop("stored"), **none, **info}
    return {"type": "points", **none, **info}


class Corrections(BaseModel):
    """The corrected points among the training data."""

    count: int = Field(description="Number of different corrected points.")
    relabelled: int = Field(description="Number of corrected points that had another label in the training data.")
    confirmed: int = Field(description="Number of corrected points that had the same label already.")
    added: int = Field(description="Number of corrected points that are new.")
    repeat: int = Field(description="How often each of them is among the training data.")


class StartedFrom(BaseModel):
    """The version at whose weights a training began. It may be deleted by now."""

    model: str = Field(description="The name of its model.")
    version: int = Field(description="Its number.")
    digest: str = Field(description="SHA-256 of its `network.safetensors`.")
    corrections: Corrections | None = Field(description="What was corrected; null for a training on given data.")


DataDigest = Annotated[str, Field(description="SHA-256 of the points, labels and class names.")]

RecipeDigest = Annotated[
    str, Field(description="SHA-256 of data, network and training. Equal recipes give equal weights, bit for bit.")
]

ResolvedNetwork = Annotated[NetworkSettings, Field(description="The architecture, with all defaults resolved.")]

ResolvedTraining = Annotated[TrainingSettings, Field(description="The training settings, with all defaults resolved.")]
