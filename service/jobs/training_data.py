"""The points of a job: how its row describes them, and how a worker gets them."""

from dataclasses import dataclass, replace
from typing import Any

from models import categories, specs
from models.datasets import LabelledPoints, generate
from models.specs import DatasetSpec
from service.records import JobSpec
from service.store.files import Files
from service.store.points_file import DamagedData


@dataclass(frozen=True)
class FiledPoints:
    """Points that are in the data folder already.

    Attributes:
        points: the points.
        file: the name of their file: that of a data set or of another job.
        dataset: the name of the data set, if they are those of one.
    """

    points: LabelledPoints
    file: str
    dataset: str | None


Data = DatasetSpec | LabelledPoints | FiledPoints
"""What a job is trained on."""


def points_of(data: Data) -> LabelledPoints:
    """Returns the points, generated if necessary."""
    match data:
        case DatasetSpec():
            return generate(data)
        case FiledPoints(points=points):
            return points
    return data


def describe(data: Data) -> dict[str, Any]:
    """Returns the description of the data in a job's row and a checkpoint's card."""
    if isinstance(data, DatasetSpec):
        return specs.asdict(data)
    points = points_of(data)
    description = {"n_points": len(points.xy_ND), "n_features": points.features}
    names = {"feature_names": list(points.feature_names)} if points.feature_names else {}
    stored = {"stored": data.dataset} if isinstance(data, FiledPoints) and data.dataset else {}
    return description | names | categories.to_json(points.categories) | stored


def save(files: Files, job_id: str, data: Data) -> None:
    """Stores points that cannot be generated again.

    Raises:
        FileNotFoundError: the file of the points is gone.
        OSError: the disk is full or cannot be written.
    """
    match data:
        case LabelledPoints():
            files.put_points(job_id, data)
        case FiledPoints(file=file):
            files.link_points(file, job_id)


def read_back(files: Files, spec: JobSpec) -> DatasetSpec | FiledPoints:
    """Returns what `save` was given. Generates nothing.

    Raises:
        DamagedData, OSError: as `load`.
    """
    if spec.is_generated:
        return DatasetSpec(**spec.data)
    points = load(files, spec.id, spec.data, spec.data_digest)
    return FiledPoints(points, files.file_of(spec.id, spec.data_digest), spec.data.get("stored"))


def load(files: Files, job_id: str, description: dict[str, Any], digest: str) -> LabelledPoints:
    """Returns the points of a job, generated again or read from its file.

    Raises:
        DamagedData: the file is missing or damaged, or the points have another digest.
        OSError: the file cannot be read now.
    """
    points = generate(DatasetSpec(**description)) if "dataset" in description else files.points(job_id, digest)
    if points.digest != digest:
        raise DamagedData("The job's points are not the ones that it was submitted with.")
    names = description.get("feature_names")
    if not names:
        return points
    return replace(points, feature_names=tuple(names), categories=categories.from_json(description.get("categories")))
