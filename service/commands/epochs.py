"""Versions as they were after an epoch of their training, for the commands. Imports torch."""

from dataclasses import replace

from service.registry.registry import LoadedVersion
from service.store.files import Files
from service.time_travel import replays
from service.time_travel.past_training import PastTraining
from service.time_travel.task import replayed


def at_epoch(version: LoadedVersion, epoch: int, files: Files) -> LoadedVersion:
    """A version as it was after an epoch. Repeats its training up to there, however long that takes.

    Raises:
        InvalidInput: the training is unknown or had no such epoch, or its points cannot be read.
    """
    past = PastTraining.of(version)
    past.require_epoch(epoch)
    if epoch == past.epochs:
        return replace(version, epoch=epoch)
    return replays.as_version(version, replayed(files, past, epoch), epoch)
