"""Boundary frames: what a network in training predicts on a coarse grid, as events that all its viewers share."""

import base64
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from models.boundary import grids
from models.limits import MAX_ANSWER_WORK
from models.specs import InvalidInput, ResponseKind
from service.inference import windows
from service.inference.windows import Window
from service.live import envelopes
from service.live.trainings import RunningTraining
from service.records import Job, Snapshot
from service.registry.networks import LoadedNetwork
from service.render import palette

MIN_CELLS = 8
"""Smallest number of columns, and of rows, of a frame."""

MAX_CELLS = 256
"""Largest number of columns, and of rows, of a frame: an event of 87 KB, up to twenty times a second."""


class FrameView(NamedTuple):
    """Which frames a viewer receives: their columns and rows, and the `margin` of their window."""

    cells: int
    margin: float | None = None


def require_plane(jobs: Collection[Job]) -> None:
    """Checks that the points of all jobs have two coordinates.

    Raises:
        InvalidInput: those of one job do not.
    """
    for job in jobs:
        if not job.spec.is_generated and job.spec.data["n_features"] != 2:
            raise InvalidInput("boundary", "only for jobs whose points have two coordinates")


def require_cells(training: RunningTraining, cells: int) -> None:
    """Checks that frames of `cells` x `cells` do not take too long.

    Raises:
        InvalidInput: these are too many cells for a network of this size.
    """
    if cells * cells * training.layout.weights > MAX_ANSWER_WORK:
        raise InvalidInput("boundary", "too many cells for a network of this size: ask for fewer")


def of_snapshot(training: RunningTraining, snapshot: Snapshot, views: Collection[FrameView]) -> dict[FrameView, bytes]:
    """The frames of some views, as events by view; empty events if the weights are too large to be shown."""
    try:
        network = training.network(snapshot)
        return {view: frame(training.job_id, network, view) for view in views}
    except InvalidInput:
        return dict.fromkeys(views, b"")


def frame(job_id: str, network: LoadedNetwork, view: FrameView) -> bytes:
    """What a job's network predicts, as an event: each value is its byte times `scale`, row 0 at `y_min`.

    Raises:
        InvalidInput: the network cannot be shown.
    """
    window = windows.place(network, Window(width=view.cells, margin=view.margin))
    card = network.card
    of_two = len(card.classes) == 2
    response: ResponseKind = "probability" if of_two else "label"
    values_HW = grids.evaluate(window.plan, window.spec, response=response, class_index=1).values_HW
    bytes_HW = np.rint(values_HW * 255 if of_two else values_HW).astype(np.uint8)
    data = {
        "epoch": card.epochs if network.epoch is None else network.epoch,
        "response": response,
        "classes": card.classes,
        "colors": palette.class_codes(len(card.classes)),
        "window": windows.edges(window.spec),
        "shape": bytes_HW.shape,
        "dtype": "uint8",
        "scale": 1 / 255 if of_two else 1,
        "values_base64": base64.b64encode(bytes_HW.tobytes()).decode(),
    }
    return envelopes.streamed("boundary", data, job_id=job_id)
