"""What a picture of a grid shows on top: the training points, and the decision boundary."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.boundary import slices
from models.boundary.contours import Line
from models.datasets import DoubleArray, IntArray, LabelledPoints, PointArray
from models.inference import dispatch, numpy_forward
from models.limits import MAX_ANSWER_WORK, MAX_DISTANCE
from models.specs import InvalidInput
from service.errors import VersionBroken
from service.inference import grids, predictions
from service.inference.grids import BoundaryGrid, BoundaryLines
from service.inference.windows import PlacedWindow
from service.jobs import training_data
from service.store.files import Files
from service.store.points_file import DamagedData

OverlayPart = Literal["points", "line"]
"""The training points, or the decision boundary."""


@dataclass(frozen=True)
class OverlayPoints:
    """The M training points that a picture shows: the misclassified ones last, and those near its plane last.

    Attributes:
        xy_M2: their coordinates along the picture's axes, in data units.
        label_M: the index of each point's class.
        is_wrong_M: whether the network gives the point, at all its coordinates, another class.
        opacity_M: 1 in the plane, 1/2 at a distance of 1 from it (see `slices.distances`), and 1 / (1 + distance^2) in
            general.
        total: the number of training points.
    """

    xy_M2: PointArray
    label_M: IntArray
    is_wrong_M: npt.NDArray[np.bool_]
    opacity_M: DoubleArray
    total: int


@dataclass(frozen=True)
class Overlay:
    """What to draw over a picture, in data units.

    Attributes:
        points: the training points; None draws none.
        lines: the decision boundary.
    """

    points: OverlayPoints | None = None
    lines: Sequence[Line] = ()


def require_plane(window: PlacedWindow, parts: Collection[str]) -> None:
    """Checks that a window can have an overlay of some `OverlayPart`s.

    Raises:
        InvalidInput: an overlay is asked for, and the window is a curve.
    """
    if parts and window.spec.is_curve:
        raise InvalidInput("overlay", "needs two axes, but this window is a curve along one")


def overlay(
    boundary: BoundaryGrid,
    files: Files,
    parts: Collection[str],
    *,
    within: float | None = None,
    levels: Sequence[float] = (),
) -> Overlay:
    """What to draw over the picture of a grid of the plane.

    For `within` see `training_points`, and for `levels` see `grids.boundary_lines`.

    Raises:
        InvalidInput: there are too many cells or points, or the lines have too many vertices.
        VersionBroken: the training points cannot be read.
    """
    shown = None
    if "points" in parts:
        shown = training_points(
            boundary.window, files, within=within, threshold=boundary.threshold, max_work=MAX_ANSWER_WORK
        )
    if "line" not in parts:
        return Overlay(shown)
    return Overlay(shown, lines_over(boundary, levels).lines)


def lines_over(boundary: BoundaryGrid, levels: Sequence[float] = ()) -> BoundaryLines:
    """The decision boundary in a grid of the plane. For `levels` see `grids.boundary_lines`.

    Raises:
        InvalidInput: see `grids.boundary_lines`.
    """
    if boundary.threshold is not None:
        levels = [boundary.threshold]
    k = boundary.class_index
    name = str(boundary.window.network.card.classes[k]) if levels and k is not None else None
    return grids.boundary_lines(boundary.window, levels, name, known=boundary.logits)


def training_points(
    window: PlacedWindow,
    files: Files,
    *,
    within: float | None = None,
    threshold: float | None = None,
    max_work: float = math.inf,
) -> OverlayPoints:
    """The training points in a window. An imported version has none.

    Args:
        window: a window of the plane.
        files: has the points.
        within: the greatest distance from the plane of the points that are shown, see `slices.distances`; by default
            there is no limit.
        threshold: of two classes: the probability above which a point gets the second label; by default 0.5.
        max_work: the greatest cost of classifying the points, in multiplications.

    Raises:
        InvalidInput: `within` is out of bounds, or to classify the points would cost too much.
        VersionBroken: the points cannot be read.
    """
    if within is not None and not 0 <= within <= MAX_DISTANCE:
        raise InvalidInput("within", f"must be between 0 and {MAX_DISTANCE:g} standard deviations")
    points = _all_points(window, files)
    if points is None:
        none = np.zeros(0)
        return OverlayPoints(np.zeros((0, 2)), none.astype(np.int64), none.astype(np.bool_), none, total=0)
    distance_N = slices.distances(points.xy_ND, window.axes, window.at)
    shown_N = _inside(points.xy_ND[:, list(window.axes)], window)
    if within is not None:
        shown_N &= distance_N <= within
    if predictions.work(window.network, int(shown_N.sum())) > max_work:
        raise InvalidInput("overlay", "must not contain points: the network is too large to classify so many of them")
    shown_MD, label_M, distance_M = points.xy_ND[shown_N], points.label_N[shown_N], distance_N[shown_N]
    prob_MK = dispatch.probabilities(window.network.plan, shown_MD)
    predicted_M = numpy_forward.predicted(prob_MK) if threshold is None else prob_MK[:, 1] > threshold
    is_wrong_M = predicted_M != label_M
    order_M = np.lexsort((-distance_M, is_wrong_M))  # the last key counts first; equal points stay in their order
    return OverlayPoints(
        xy_M2=shown_MD[order_M][:, list(window.axes)],
        label_M=label_M[order_M],
        is_wrong_M=is_wrong_M[order_M],
        opacity_M=1 / (1 + distance_M[order_M] ** 2),
        total=len(points.label_N),
    )


def _inside(xy_N2: PointArray, window: PlacedWindow) -> npt.NDArray[np.bool_]:
    spec = window.spec
    assert spec.y_min is not None
    assert spec.y_max is not None
    low, high = (spec.x_min, spec.y_min), (spec.x_max, spec.y_max)
    inside_N: npt.NDArray[np.bool_] = np.all((xy_N2 >= low) & (xy_N2 <= high), axis=1)
    return inside_N


def _all_points(window: PlacedWindow, files: Files) -> LabelledPoints | None:
    """The training points; None for an imported version, which has none."""
    job_id, card = window.network.job_id, window.network.card
    if job_id is None or card.data is None or card.data_digest is None:
        return None
    try:
        return training_data.load(files, job_id, card.data, card.data_digest)
    except (DamagedData, OSError) as error:
        raise VersionBroken(
            "The training points of the version cannot be read. Ask for the picture without them."
        ) from error
