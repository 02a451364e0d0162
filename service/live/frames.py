"""Boundary frames: what a network in training predicts on a coarse grid, as events that all its viewers share."""

import base64
import math
from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from models.boundary import grids
from models.boundary.slices import hidden, hidden_widths
from models.limits import MAX_ANSWER_WORK
from models.networks.plans import Plan
from models.specs import GridSpec, InvalidInput, ResponseKind
from service.inference import windows
from service.inference.windows import PlacedWindow, Window
from service.live import envelopes
from service.live.trainings import RunningTraining
from service.records import Job, Snapshot
from service.registry.networks import LoadedNetwork
from service.render import palette

MIN_CELLS = 8
"""Smallest number of columns, and of rows, of a frame."""

MAX_CELLS = 256
"""Largest number of columns, and of rows, of a frame: an event of 87 KB, up to twenty times a second."""


LAYER_CELLS = 24
"""The columns and rows of the map of a hidden unit where nothing else is asked for."""

MAX_LAYER_CELLS = 64
"""Maximum number of columns, and rows, of the map of a hidden unit."""

MAX_LAYER_VALUES = 2**17
"""Maximum number of cells of all units in a frame: 32 units of 64 x 64, or 227 of 24 x 24. The event then has 175
KB."""

MOST_BYTE = 127
"""The byte of the greatest activation of a unit."""

ALL_LAYERS: Literal["all"] = "all"


class FrameView(NamedTuple):
    """Which frames a viewer receives.

    Attributes:
        cells: their columns and rows.
        margin: of their window.
        threshold: for two classes: shows labels, the second one above this probability, in place of the probability.
        layer: the hidden layer whose activations are sent too, zero-based, or all of them.
        layer_cells: the columns and rows of these.
    """

    cells: int
    margin: float | None = None
    threshold: float | None = None
    layer: int | Literal["all"] | None = None
    layer_cells: int = LAYER_CELLS


def require_plane(jobs: Collection[Job]) -> None:
    """Checks that the points of all jobs have two coordinates.

    Raises:
        InvalidInput: the points of one job do not.
    """
    for job in jobs:
        if not job.spec.is_generated and job.spec.data["n_features"] != 2:
            raise InvalidInput("boundary", "needs jobs whose points have two coordinates")


def require(training: RunningTraining, view: FrameView) -> None:
    """Checks that a training can have such frames, and that these do not take too long.

    Raises:
        InvalidInput: there are too many cells for a network of this size, it has no such layer, or the threshold is
            not for two classes.
    """
    if view.cells**2 * training.layout.weights > MAX_ANSWER_WORK:
        raise InvalidInput("boundary", "must be smaller: so many cells take too long for a network of this size")
    classes = len(training.card.classes)
    if view.threshold is not None and classes > 2:
        raise InvalidInput("threshold", f"must be left out: it needs two classes, but this job has {classes}")
    if view.layer is None:
        return
    widths = [layer.outputs for layer in training.layout.stack[:-1]]
    shown = _shown_layers(widths, view)
    if not shown:
        raise InvalidInput("layer", f"must be one of the hidden layers, of which the network has {len(widths)}")
    units = sum(widths[layer] for layer in shown)
    if units * view.layer_cells**2 > MAX_LAYER_VALUES:
        most = math.isqrt(MAX_LAYER_VALUES // units)
        if most < MIN_CELLS:
            raise InvalidInput("layer", f"cannot be shown in frames: {units:,} units are too many")
        raise InvalidInput("layer_cells", f"must be at most {most} for {units:,} units")


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
    data: dict[str, Any] = {
        "epoch": network.card.epochs if network.epoch is None else network.epoch,
        **_response(window, view),
    }
    if view.layer is not None:
        data["layers"] = _layers(network, view)
    return envelopes.streamed("boundary", data, job_id=job_id)


def _response(window: PlacedWindow, view: FrameView) -> dict[str, Any]:
    """The probability of the second of two classes; the labels of more, or at a threshold."""
    classes = window.network.card.classes
    of_two = len(classes) == 2
    response: ResponseKind = "probability" if of_two else "label"
    values_HW = grids.evaluate(window.plan, window.spec, response=response, class_index=1).values_HW
    shows_labels = not of_two or view.threshold is not None
    if of_two and view.threshold is not None:
        values_HW = (values_HW > view.threshold).astype(np.uint8)
    bytes_HW = np.rint(values_HW if shows_labels else values_HW * 255).astype(np.uint8)
    return {
        "response": "label" if shows_labels else "probability",
        "classes": classes,
        "colors": palette.class_codes(len(classes)),
        "window": windows.edges(window.spec),
        "shape": bytes_HW.shape,
        "dtype": "uint8",
        "scale": 1 if shows_labels else 1 / 255,
        "values_base64": base64.b64encode(bytes_HW.tobytes()).decode(),
    }


def _layers(network: LoadedNetwork, view: FrameView) -> list[dict[str, Any]]:
    """The activations of the units of one hidden layer, or of all; nothing for an ensemble."""
    if not isinstance(network.plan, Plan):
        return []
    window = windows.place(network, Window(width=view.layer_cells, margin=view.margin))
    assert isinstance(window.plan, Plan)
    widths = hidden_widths(window.plan)
    shown = _shown_layers(widths, view)
    if sum(widths[layer] for layer in shown) * window.spec.cells > MAX_LAYER_VALUES:
        return []  # the preset `auto` has chosen too many units
    return [_layer(window.plan, window.spec, layer) for layer in shown]


def _shown_layers(widths: Sequence[int], view: FrameView) -> list[int]:
    """The layers that a view asks for, of hidden layers of these widths."""
    return [layer for layer in range(len(widths)) if view.layer in (layer, ALL_LAYERS)]


def _layer(plan: Plan, spec: GridSpec, layer: int) -> dict[str, Any]:
    """The activations of a layer in eight bits, each unit on a separate scale that is symmetric about 0."""
    values_UHW = grids.outputs(hidden(plan, layer), spec).values_OHW
    most_U = np.abs(values_UHW).max(axis=(1, 2)).astype(np.float64)
    scale_U = np.where(most_U > 0, most_U, 1.0) / MOST_BYTE
    bytes_UHW = np.rint(values_UHW / scale_U[:, None, None]).astype(np.int8)
    return {
        "layer": layer,
        "shape": bytes_UHW.shape,
        "dtype": "int8",
        "scales": scale_U.tolist(),
        "values_base64": base64.b64encode(bytes_UHW.tobytes()).decode(),
    }
