"""The data of a job: how they are named in its row, and how a worker gets them back."""

from typing import Any

from models import specs
from models.datasets import LabelledPoints, generate
from models.specs import DatasetSpec
from service.records import JobSpec
from service.store.files import DamagedData, Files


def points_of(data: DatasetSpec | LabelledPoints) -> LabelledPoints:
    """The points that are meant, generated if need be."""
    return generate(data) if isinstance(data, DatasetSpec) else data


def describe(data: DatasetSpec | LabelledPoints) -> dict[str, Any]:
    """The data as a job's row and a checkpoint's card name them."""
    if isinstance(data, DatasetSpec):
        return specs.asdict(data)
    return {"points": len(data.xy_ND), "features": data.features}


def keep(files: Files, job_id: str, data: DatasetSpec | LabelledPoints) -> None:
    """Keeps data of a job that cannot be generated again.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    if isinstance(data, LabelledPoints):
        files.put_points(job_id, data)


def of_job(files: Files, spec: JobSpec) -> DatasetSpec | LabelledPoints:
    """What `keep` was given; nothing is generated.

    Raises:
        DamagedData, OSError: as `load`.
    """
    if "dataset" in spec.data:
        return DatasetSpec(**spec.data)
    return load(files, spec.id, spec.data, spec.data_digest)


def load(files: Files, job_id: str, description: dict[str, Any], digest: str) -> LabelledPoints:
    """The points of a job that a description names: generated again, or read back from where they were kept.

    Raises:
        DamagedData: they cannot be read back, or are not those that had that digest.
    """
    points = generate(DatasetSpec(**description)) if "dataset" in description else files.points(job_id, digest)
    if points.digest != digest:
        raise DamagedData("The job's data are not those that it was made for.")
    return points
