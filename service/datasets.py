"""The data of a job: how they are named in its row, and how a worker gets them back."""

from typing import Any

from models import specs
from models.datasets import LabelledPoints, generate
from models.specs import DatasetSpec
from service.store.files import DamagedData, Files


def points_of(data: DatasetSpec | LabelledPoints) -> LabelledPoints:
    """The points that are meant, generated if need be."""
    return generate(data) if isinstance(data, DatasetSpec) else data


def describe(data: DatasetSpec | LabelledPoints) -> dict[str, Any]:
    """The data as a job's row and a checkpoint's card name them."""
    if isinstance(data, DatasetSpec):
        return specs.asdict(data)
    return {"points": len(data.xy_ND), "features": data.features}


def keep(files: Files, data: DatasetSpec | LabelledPoints) -> None:
    """Keeps data that cannot be generated again."""
    if isinstance(data, LabelledPoints):
        files.put_points(data)


def load(files: Files, description: dict[str, Any], digest: str) -> LabelledPoints:
    """The points that a description names: generated again, or read back from where they were kept.

    Raises:
        DamagedData: they cannot be read back, or are not those that had that digest.
    """
    points = generate(DatasetSpec(**description)) if "dataset" in description else files.points(digest)
    if points.digest != digest:
        raise DamagedData("The job's data are not those that it was made for.")
    return points
