"""Trainings on corrections of a version: its training data with the corrections, from its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from models.corrections import corrected
from models.datasets import Label, PointArray
from models.selection.candidates import Given
from models.specs import InvalidInput
from service.errors import VersionBroken
from service.jobs import training_data, warm_start
from service.jobs.queue import NewJob, requested_job
from service.registry.registry import LoadedVersion
from service.store.files import Files
from service.store.points_file import DamagedData

KEPT_OUT = ("validation_fraction", "validation_folds")
"""Settings that would hold corrections out of the training."""


def corrections_job(
    version: LoadedVersion,
    files: Files,
    xy_MD: PointArray,
    labels: Sequence[Label],
    *,
    repeat: int,
    training: dict[str, object],
    metadata: Mapping[str, str],
) -> NewJob:
    """Returns a job that trains the next version of a model on corrections, not yet submitted.

    Args:
        version: the version to correct.
        files: have its training data and its weights.
        xy_MD: the corrected points, in the order of the features of the version.
        labels: their right labels.
        repeat: how often each corrected point is in the training data.
        training: the settings that the client decided. The others are taken from the version.
        metadata: of the job.

    Raises:
        InvalidInput: the corrections do not fit the version, or a setting is out of bounds.
        VersionBroken: the training data or the weights of the version cannot be read.
    """
    for name in KEPT_OUT:
        if training.get(name):
            raise InvalidInput(f"training.{name}", "must be left out: all corrections are training points")
    card, job_id = version.card, version.published.job_id
    if job_id is None or card.data is None or card.data_digest is None:
        raise InvalidInput("version", "must be one that was trained here: the training data of this one are not known")
    try:
        points = training_data.load(files, job_id, card.data, card.data_digest)
        result = corrected(points, xy_MD, labels, repeat=repeat)
        left = _validation_left(files, job_id, card.data)
        data = training_data.with_own_validation(result.points, files, job_id, left)
    except (DamagedData, OSError) as error:
        raise VersionBroken(
            "The training data of the version cannot be read. Send all points to POST /train."
        ) from error
    counts = {name: getattr(result, name) for name in ("count", "relabelled", "confirmed", "added", "repeat")}
    start = replace(warm_start.start_of(version, files), corrections=counts)
    given = Given({}, training)
    return requested_job(version.published.model, data, None, given, origin="http", metadata=metadata, start=start)


def _validation_left(files: Files, job_id: str, data: dict[str, object]) -> dict[str, object]:
    """The description of the data of a version, without validation points that were deleted with its job."""
    if files.points_file(files.validation_file(job_id)).exists():
        return data
    return {name: value for name, value in data.items() if name != "validation"}
