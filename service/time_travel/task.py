"""A published version as it was after an epoch of its training, from the settings and the points of its job."""

from dataclasses import replace
from pathlib import Path

import safetensors.numpy

from models.datasets import FloatArray
from models.networks.layouts import joined_state
from models.recipes import Recipe
from models.specs import InvalidInput
from models.training.replay import weights_after
from service.jobs import training_data, warm_start
from service.registry.registry import LoadedVersion
from service.store.files import Files
from service.store.points_file import DamagedData
from service.time_travel import replays
from service.time_travel.past_training import PastTraining


def at_epoch(version: LoadedVersion, epoch: int, files: Files) -> LoadedVersion:
    """A version as it was after an epoch. Repeats its training up to there, however long that takes.

    Raises:
        InvalidInput: the training is unknown or had no such epoch, or its points cannot be read.
    """
    past = PastTraining.of(version)
    past.require_epoch(epoch)
    if epoch == past.epochs:
        return replace(version, epoch=epoch)
    return replays.as_network(version, replayed(files, past, epoch), epoch)


def run(data_dir: Path, past: PastTraining, epoch: int) -> bytes:
    """`replayed` in the safetensors format, for `service.processes.torch_tasks`. Raises the same."""
    return safetensors.numpy.save(replayed(Files(data_dir, make=False), past, epoch))


def replayed(files: Files, past: PastTraining, epoch: int) -> dict[str, FloatArray]:
    """The state dict that a training had after an epoch; see `models.training.replay`.

    A network of an ensemble whose training ended before has its last weights.

    Raises:
        InvalidInput: the points or the starting weights of the job cannot be read, or the training ends before the
            epoch.
    """
    try:
        points = training_data.load(files, past.job_id, past.data, past.data_digest)
        validation = training_data.load_validation(files, past.job_id, past.data, points)
        start = warm_start.load(files, past.job_id, past.start)
    except (DamagedData, OSError) as error:
        raise InvalidInput("epoch", "must be left out: the files of the training are gone") from error
    recipe = Recipe(points, past.network, past.training, validation, start)
    return joined_state(
        [weights_after(recipe, restart=restart, epoch=min(epoch, last)) for restart, last in past.members]
    )
