"""The points of a job: how its row describes them, and how a worker gets them."""

from dataclasses import replace
from typing import Any

from models import specs
from models.datasets import LabelledPoints, generate
from models.specs import DatasetSpec
from service.records import JobSpec
from service.store.files import DamagedData, Files


def points_of(data: DatasetSpec | LabelledPoints) -> LabelledPoints:
    """Returns the points, generated if necessary."""
    return generate(data) if isinstance(data, DatasetSpec) else data


def describe(data: DatasetSpec | LabelledPoints) -> dict[str, Any]:
    """Returns the description of the data in a job's row and a checkpoint's card."""
    if isinstance(data, DatasetSpec):
        return specs.asdict(data)
    description = {"n_points": len(data.xy_ND), "n_features": data.features}
    return description | ({"feature_names": list(data.feature_names)} if data.feature_names else {})


def save(files: Files, job_id: str, data: DatasetSpec | LabelledPoints) -> None:
    """Stores points that cannot be generated again.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    if isinstance(data, LabelledPoints):
        files.put_points(job_id, data)


def read_back(files: Files, spec: JobSpec) -> DatasetSpec | LabelledPoints:
    """Returns what `save` was given. Generates nothing.

    Raises:
        DamagedData, OSError: as `load`.
    """
    if spec.is_generated:
        return DatasetSpec(**spec.data)
    return load(files, spec.id, spec.data, spec.data_digest)


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
    return replace(points, feature_names=tuple(names)) if names else points
