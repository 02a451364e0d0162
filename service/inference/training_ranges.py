"""Which points are outside the training range of a version; see `models.training_range`."""

from functools import lru_cache

import numpy as np

from models.boundary.grids import Grid, axes_of
from models.checkpoints import cards
from models.checkpoints.cards import DamagedCheckpoint
from models.datasets import BLOCK_VALUES
from models.limits import MAX_ANSWER_WORK
from models.specs import InvalidInput
from models.training_range import TrainingRange
from service.errors import VersionBroken
from service.inference.windows import PlacedWindow
from service.registry.networks import LoadedNetwork
from service.store.files import Files

MAX_KEPT = 32
"""Ranges in memory, of at most some MB each."""


def training_range(version: LoadedNetwork, files: Files, *, field: str) -> TrainingRange:
    """The training range of a version. `field` of the request asks for it.

    Raises:
        InvalidInput: it is not known.
        VersionBroken: its file cannot be read.
    """
    expected = version.card.files.get(cards.RANGE_FILE)
    if expected is None:
        raise InvalidInput(
            field, "needs a version whose training range is known: this one was imported, or made by an old release"
        )
    try:
        return _read(files.checkpoint_folder(version.key), expected)
    except (DamagedCheckpoint, OSError) as error:
        raise VersionBroken(
            "The file of the version's training range cannot be read. Leave out outside_training_range."
        ) from error


_read = lru_cache(maxsize=MAX_KEPT)(cards.read_range)


def outside_grid(window: PlacedWindow, known: TrainingRange) -> Grid:
    """Whether each cell of a grid, or of a curve, is outside: uint8 (H, W) or (W,), 1 outside.

    Raises:
        InvalidInput: there are too many cells.
    """
    if window.spec.cells * known.work > MAX_ANSWER_WORK:
        raise InvalidInput("resolution", "must be smaller: so many cells take too long with this training range")
    axes = axes_of(window.spec)
    y_H = np.zeros(1) if axes.y_H is None else axes.y_H
    outside_HW = np.empty((len(y_H), len(axes.x_W)), np.uint8)
    features = window.network.card.features
    point_D = np.zeros(features)
    point_D[[d for d in range(features) if d not in window.axes]] = window.at
    rows = max(1, BLOCK_VALUES // (features * len(axes.x_W)))
    for start in range(0, len(y_H), rows):
        y_h = y_H[start : start + rows]
        xy_ND = np.tile(point_D, (len(y_h) * len(axes.x_W), 1))
        coordinates = np.meshgrid(axes.x_W, y_h)
        for axis, values_hW in zip(window.axes, coordinates, strict=False):
            xy_ND[:, axis] = values_hW.ravel()
        outside_HW[start : start + rows] = known.outside(xy_ND).reshape(len(y_h), -1)
    return Grid(axes.x_W, axes.y_H, outside_HW[0] if axes.y_H is None else outside_HW)
