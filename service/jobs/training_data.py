"""The points of a job: how its row describes them, and how a worker gets them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from models import categories, specs, validation
from models.datasets import LabelledPoints, generate
from models.networks.layouts import layout
from models.specs import DATASET_NAMES, DatasetSpec, InvalidInput
from models.training import snapshots
from service.datasets.stored import StoredDatasets
from service.records import Job, JobSpec
from service.store.files import Files
from service.store.points_file import DamagedData


@dataclass(frozen=True)
class FiledPoints:
    """Points that are in the data folder already.

    Attributes:
        points: the points.
        file: the name of their file, which belongs to a dataset or to another job.
        dataset: the name of the dataset, if they come from one.
    """

    points: LabelledPoints
    file: str
    dataset: str | None


TrainingData = DatasetSpec | LabelledPoints | FiledPoints


@dataclass(frozen=True)
class WithValidation:
    """Data with a separate validation set, whose points are as they were stored."""

    training: TrainingData
    validation: FiledPoints


Data = TrainingData | WithValidation
"""What a job is trained on."""

VALIDATION_FIELD = "validation.dataset"
"""What a request calls the validation points."""


def stored(datasets: StoredDatasets, name: str) -> FiledPoints:
    """Returns the points of a stored dataset.

    Raises:
        InvalidInput, DatasetNotFound, DatasetBroken: as `StoredDatasets.points`.
    """
    dataset, points = datasets.points(name, field="data.dataset")
    return FiledPoints(points, dataset.file, name)


def with_validation(data: TrainingData, datasets: StoredDatasets, name: str | None) -> Data:
    """Returns data with the validation points of a stored dataset, if one is named.

    Raises:
        InvalidInput: the name belongs to a generator, or the dataset has too many points.
        DatasetNotFound, DatasetBroken: as `StoredDatasets.points`.
    """
    if name is None:
        return data
    if name in DATASET_NAMES:
        raise InvalidInput(VALIDATION_FIELD, f"must be a stored dataset, but {name} is a generator")
    dataset, points = datasets.points(name, field=VALIDATION_FIELD)
    return WithValidation(data, FiledPoints(points, dataset.file, name))


def is_generated(data: Data) -> bool:
    """Whether the points to train on come from a generator."""
    return isinstance(data.training if isinstance(data, WithValidation) else data, DatasetSpec)


def points_of(data: Data) -> LabelledPoints:
    """Returns the points to train on, generated if necessary."""
    match data:
        case WithValidation(training=training):
            return points_of(training)
        case DatasetSpec():
            return generate(data)
        case FiledPoints(points=points):
            return points
    return data


def validation_of(data: Data, points: LabelledPoints) -> LabelledPoints | None:
    """Returns the separate validation points, with the features and classes in the order of the training `points`.

    None if there are none.

    Raises:
        InvalidInput: they do not fit; see `models.validation.matched`.
    """
    if not isinstance(data, WithValidation):
        return None
    return validation.matched(data.validation.points, points, field=VALIDATION_FIELD)


def describe(data: Data) -> dict[str, Any]:
    """Returns the description of the data in a job's row and a checkpoint's card."""
    if isinstance(data, WithValidation):
        own = describe(data.validation) | {"digest": data.validation.points.digest}
        return describe(data.training) | {"validation": own}
    if isinstance(data, DatasetSpec):
        return specs.asdict(data)
    points = points_of(data)
    description = {"n_points": len(points.xy_ND), "n_features": points.features}
    names = {"feature_names": list(points.feature_names)} if points.feature_names else {}
    stored = {"stored": data.dataset} if isinstance(data, FiledPoints) and data.dataset else {}
    return description | names | categories.to_json(points.categories) | stored


def snapshot_epochs(spec: JobSpec, data: Data, asked: int | Sequence[int]) -> list[int]:
    """Returns the epochs after which a job keeps its weights; see `models.training.snapshots`.

    Raises:
        InvalidInput: its settings are not known yet, or do not allow it.
    """
    settings = Job(spec).settings
    if settings is None:
        raise InvalidInput(
            "training.snapshots", "cannot be combined with preset=auto, which chooses the number of epochs"
        )
    network, training = settings
    points = points_of(data)
    weights = layout(network, points.features, len(points.classes)).weights
    return snapshots.snapshot_epochs(asked, training, weights=weights)


def save(files: Files, job_id: str, data: Data) -> None:
    """Stores points that cannot be generated again.

    Raises:
        FileNotFoundError: the file of the points is gone.
        OSError: the disk is full or cannot be written. No file is left.
    """
    match data:
        case WithValidation(training=training, validation=own):
            files.link_points(own.file, files.validation_file(job_id))
            try:
                save(files, job_id, training)
            except OSError:
                files.remove_points(files.validation_file(job_id))
                raise
        case LabelledPoints():
            files.put_points(job_id, data)
        case FiledPoints(file=file):
            files.link_points(file, job_id)


def remove(files: Files, job_id: str) -> None:
    """Removes what `save` has stored, if anything."""
    files.remove_points(job_id)
    files.remove_points(files.validation_file(job_id))


def read_back(files: Files, spec: JobSpec) -> Data:
    """Returns what `save` was given. Generates nothing.

    Raises:
        DamagedData, OSError: as `load`.
    """
    training = _generator(spec.data) if spec.is_generated else _filed(files, spec.id, spec.data, spec.data_digest)
    return with_own_validation(training, files, spec.id, spec.data)


def with_own_validation(training: TrainingData, files: Files, job_id: str, description: dict[str, Any]) -> Data:
    """Returns data with the separate validation points of a job, if it has any.

    Raises:
        DamagedData, OSError: as `load`.
    """
    own = description.get("validation")
    if own is None:
        return training
    return WithValidation(training, _filed(files, files.validation_file(job_id), own, own["digest"]))


def _filed(files: Files, name: str, description: dict[str, Any], digest: str) -> FiledPoints:
    points = load(files, name, description, digest)
    return FiledPoints(points, files.file_of(name, digest), description.get("stored"))


def _generator(description: dict[str, Any]) -> DatasetSpec:
    return DatasetSpec(**{key: value for key, value in description.items() if key != "validation"})


def load_validation(
    files: Files, job_id: str, description: dict[str, Any], points: LabelledPoints
) -> LabelledPoints | None:
    """Returns the separate validation points of a job; None if there are none.

    Their features and classes are in the order of the training `points`.

    `description` describes the data of the job, as in its row or in the card of its version.

    Raises:
        DamagedData, OSError: as `load`.
    """
    own = description.get("validation")
    if own is None:
        return None
    found = load(files, files.validation_file(job_id), own, own["digest"])
    return validation.matched(found, points, field=VALIDATION_FIELD)


def load(files: Files, job_id: str, description: dict[str, Any], digest: str) -> LabelledPoints:
    """Returns the points that a job is trained on, generated again or read from its file.

    Raises:
        DamagedData: the file is missing or damaged, or the points have another digest.
        OSError: the file cannot be read now.
    """
    points = generate(_generator(description)) if "dataset" in description else files.points(job_id, digest)
    if points.digest != digest:
        raise DamagedData("The job's points are not the ones that it was submitted with.")
    names = description.get("feature_names")
    if not names:
        return points
    return replace(points, feature_names=tuple(names), categories=categories.from_json(description.get("categories")))
