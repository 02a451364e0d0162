"""What a picture of a grid shows on top: the training points, and the decision boundary."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from models.boundary import contours
from models.boundary.contours import Line
from models.datasets import LabelledPoints
from models.specs import InvalidInput
from service.errors import VersionBroken
from service.inference import grids
from service.inference.grids import BoundaryGrid
from service.inference.windows import PlacedWindow
from service.jobs import training_data
from service.store.files import DamagedData, Files

OverlayPart = Literal["points", "line"]
"""The training points, or the decision boundary."""


@dataclass(frozen=True)
class Overlay:
    """What to draw over a picture, in data units.

    Attributes:
        points: the training points, whose two coordinates are those along the picture's axes; None draws none.
        lines: the decision boundary.
    """

    points: LabelledPoints | None = None
    lines: Sequence[Line] = ()


def require_plane(window: PlacedWindow, parts: Collection[str]) -> None:
    """Checks that a window can have an overlay of some `OverlayPart`s.

    Raises:
        InvalidInput: an overlay is asked for, and the window is a curve.
    """
    if parts and window.spec.is_curve:
        raise InvalidInput("overlay", "needs two axes, but this window is a curve along one")


def overlay(boundary: BoundaryGrid, files: Files, parts: Collection[str]) -> Overlay:
    """What to draw over the picture of a grid of the plane.

    Raises:
        InvalidInput: there are too many cells, or the lines have too many vertices.
        VersionBroken: the training points cannot be read.
    """
    shown = _training_points(boundary.window, files) if "points" in parts else None
    if "line" not in parts:
        return Overlay(shown)
    return Overlay(shown, contours.between_classes(boundary.logits or grids.logits(boundary.window)))


def _training_points(window: PlacedWindow, files: Files) -> LabelledPoints:
    version = window.version
    try:
        points = training_data.load(files, version.published.job_id, version.card.data, version.card.data_digest)
    except (DamagedData, OSError) as error:
        raise VersionBroken("Its training points cannot be read. Ask for the picture without them.") from error
    axes = list(window.axes)
    names = points.feature_names and tuple(points.feature_names[axis] for axis in axes)
    return replace(points, xy_ND=points.xy_ND[:, axes], feature_names=names)
