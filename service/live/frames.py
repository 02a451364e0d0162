"""Boundary frames: what a network in training predicts on a coarse grid, as events that all its viewers share."""

import base64
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

from models.boundary import grids
from models.datasets import Label
from models.limits import MAX_ANSWER_WORK
from models.networks.layouts import Layout
from models.networks.plans import AnyPlan, plan_of
from models.networks.transforms import IDENTITY, Transform
from models.recipes import Recipe
from models.specs import (
    GridSpec,
    InvalidInput,
    ResponseKind,
)
from service.inference import windows
from service.inference.windows import Window
from service.jobs import training_data, warm_start
from service.live import envelopes
from service.records import Job, Snapshot
from service.registry.registry import LoadedVersion
from service.render import palette
from service.store.files import Files

MIN_CELLS = 8
"""Smallest number of columns, and of rows, of a frame."""

MAX_CELLS = 256
"""Largest number of columns, and of rows, of a frame: an event of 87 KB, up to twenty times a second."""


class FrameView(NamedTuple):
    """Which frames a viewer receives: their columns and rows, and the `margin` of their window."""

    cells: int
    margin: float | None = None


@dataclass(frozen=True)
class FrameContext:
    """What all frames of a job have in common.

    Attributes:
        layout: the layout of the network in training; None until it is chosen.
        transform: its input transform.
        classes: the classes, in the order of the network's outputs.
        x, y: the ranges of the points, in data units.
        is_generated: whether the points are those of a generator.
    """

    layout: Layout | None
    transform: Transform
    classes: tuple[Label, ...]
    x: tuple[float, float]
    y: tuple[float, float]
    is_generated: bool

    @classmethod
    def of(cls, job: Job, files: Files) -> "FrameContext":
        """The context of a job whose points have two coordinates.

        Raises:
            DamagedData, OSError: its points, or the weights that it starts from, cannot be read.
        """
        points = training_data.load(files, job.id, job.spec.data, job.spec.data_digest)
        low, high = points.xy_ND.min(axis=0).tolist(), points.xy_ND.max(axis=0).tolist()
        x, y = zip(low, high, strict=True)
        if job.settings is None:
            return cls(None, IDENTITY, points.classes, x, y, job.spec.is_generated)
        recipe = Recipe(points, *job.settings, start=warm_start.load(files, job.id, job.spec.started_from))
        return cls(recipe.layout, recipe.scaling.transform, points.classes, x, y, job.spec.is_generated)

    def require(self, cells: int) -> None:
        """Checks that frames of `cells` x `cells` do not take too long.

        Raises:
            InvalidInput: these are too many cells for a network of this size.
        """
        if self.layout and cells * cells * self.layout.weights > MAX_ANSWER_WORK:
            raise InvalidInput("boundary", "too many cells for a network of this size: ask for fewer")

    def frames(self, job_id: str, snapshot: Snapshot, views: Collection[FrameView]) -> dict[FrameView, bytes]:
        """The frames of some views, as events by view; empty events if the weights are too large to be shown.

        The network must be chosen.
        """
        assert self.layout is not None
        try:
            plan = plan_of(self.layout, safetensors.numpy.load(snapshot.weights), self.transform)
            frames = {view: _frame(snapshot.epoch, self.classes, plan, self._spec(view)) for view in views}
            return {view: envelopes.streamed("boundary", frame, job_id=job_id) for view, frame in frames.items()}
        except InvalidInput:
            return dict.fromkeys(views, b"")

    def _spec(self, view: FrameView) -> GridSpec:
        (x_min, x_max), (y_min, y_max) = (
            grids.padded_range(*ends, is_generated=self.is_generated, margin=view.margin) for ends in (self.x, self.y)
        )
        return GridSpec(x_min=x_min, x_max=x_max, y_min=y_min, y_max=y_max, width=view.cells, height=view.cells)


def require_plane(jobs: Collection[Job]) -> None:
    """Checks that the points of all jobs have two coordinates.

    Raises:
        InvalidInput: those of one job do not.
    """
    for job in jobs:
        if not job.spec.is_generated and job.spec.data["n_features"] != 2:
            raise InvalidInput("boundary", "only for jobs whose points have two coordinates")


def last_frame(job_id: str, version: LoadedVersion, view: FrameView) -> bytes:
    """The frame of the version that a job has published, as an event.

    Raises:
        InvalidInput: the version cannot be shown.
    """
    window = windows.place(version, Window(width=view.cells, margin=view.margin))
    return envelopes.streamed(
        "boundary", _frame(version.card.epochs, version.card.classes, window.plan, window.spec), job_id=job_id
    )


def _frame(epoch: int | None, classes: tuple[Label, ...], plan: AnyPlan, spec: GridSpec) -> dict[str, Any]:
    """The data of a `boundary` event: each value is its byte times `scale`, row 0 at `y_min`."""
    of_two = len(classes) == 2
    response: ResponseKind = "probability" if of_two else "label"
    values_HW = grids.evaluate(plan, spec, response=response, class_index=1).values_HW
    bytes_HW = np.rint(values_HW * 255 if of_two else values_HW).astype(np.uint8)
    return {
        "epoch": epoch,
        "response": response,
        "classes": classes,
        "colors": palette.class_codes(len(classes)),
        "window": windows.edges(spec),
        "shape": bytes_HW.shape,
        "dtype": "uint8",
        "scale": 1 / 255 if of_two else 1,
        "values_base64": base64.b64encode(bytes_HW.tobytes()).decode(),
    }
