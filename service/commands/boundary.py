"""`separatrix boundary`."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from models.boundary import contours
from models.checkpoints.cards import Card
from models.specs import GridSpec, InvalidInput
from service import outputs
from service.commands.workspace import open_workspace
from service.inference import features, grids, overlays, windows
from service.inference.grids import BoundaryGrid
from service.inference.overlays import Overlay, OverlayPoints
from service.inference.windows import PlacedWindow, Window
from service.records import Reference
from service.render import palette
from service.render.palette import Palette
from service.settings import Settings

FORMATS = (".png", ".svg", ".pdf", ".jpg")
INCHES = 6.0
LEGEND_INCHES = 1.6
"""Width of each column of the legend, beside the picture."""

DOTS_PER_INCH = 120

LEGEND_ROWS = 25
"""Classes in each column of the legend."""

MAX_TEXT = 24
"""Characters of a class in the legend and of a name in the title. Longer texts would push the picture aside."""

MAX_FIXED = 2
"""Features of a slice that the title names with their values."""

RIM, MARK = "white", "#141414"
"""Around points that the network classifies correctly, and around those that it misclassifies."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The part of the points that the figure shows.

    Attributes:
        axes: the two features along x and y, by number or name, separated by commas; by default two that vary.
        at: the values of the other features, see `service.inference.features.position`.
        margin: what the figure adds to the range of the points on each side, see `models.boundary.grids.padded_range`.
        within: the greatest distance from the plane of the points that are shown, see `models.boundary.slices`.
    """

    axes: str | None = None
    at: str | None = None
    margin: float | None = None
    within: float | None = None


def run(
    settings: Settings,
    *,
    model: str,
    version: Reference,
    epoch: int | None,
    out: Path,
    resolution: int,
    part: Part | None = None,
) -> None:
    """Draws the decision boundary of a model into a file, in the format that its suffix names.

    `epoch` is the epoch of its training to draw; None for the published weights.

    Raises:
        InvalidInput: the suffix is not one of `FORMATS`, the model has a single feature, or it does not have the part.
    """
    part = part or Part()
    require_format(out)
    with open_workspace(settings) as workspace:
        found = workspace.version(model, version, epoch)
        if found.plan.features == 1:
            raise InvalidInput("model", "must have at least 2 features to be drawn, but this one has 1")
        axes, at = (None if text is None else [text] for text in (part.axes, part.at))
        window = windows.place(found, Window(width=resolution, margin=part.margin, axes=axes, at=at))
        if window.spec.is_curve:
            raise InvalidInput("axes", "must be two features")
        boundary = grids.response_grid(window, response="label", with_logits=True)
        points = overlays.training_points(window, workspace.files, within=part.within)
        assert boundary.logits is not None
        figure = draw(boundary, Overlay(points, contours.between_classes(boundary.logits)))
    write(figure, out)
    print(f"wrote {out}")


def write(figure: Figure, out: Path) -> None:
    """Writes a figure in the format that the suffix of its file names.

    Raises:
        OSError: the file cannot be written.
    """
    content = BytesIO()
    figure.savefig(content, format=out.suffix[1:].lower())
    outputs.write(out, content.getvalue())


def require_format(out: Path) -> None:
    """Raises `InvalidInput` if matplotlib cannot write a file with this suffix."""
    if out.suffix.lower() not in FORMATS:
        raise InvalidInput("out", f"must end in one of {', '.join(FORMATS)}")


def draw(boundary: BoundaryGrid, overlay: Overlay) -> Figure:
    """The tutorial's figure: the region of each class, the boundary, and the training points with a legend.

    For a model of more than two features, it shows a plane, in which the points fade with their distance from it.
    """
    window, points = boundary.window, overlay.points
    assert points is not None
    card = window.network.card
    columns = -(-len(card.classes) // LEGEND_ROWS)
    size = (INCHES + LEGEND_INCHES * columns, INCHES)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    _draw_regions(axes, boundary)
    axes.add_collection(LineCollection([line.xy_V2 for line in overlay.lines], colors=MARK, linewidths=0.6))
    _draw_points(axes, points, len(card.classes))
    titled = axes.set_title(_title(window, points), fontsize="medium")
    labelled = name_axes(axes, window)
    legend = figure.legend(handles=_legend(points, card), loc="outside right upper", ncols=columns, frameon=False)
    for text in (titled, *labelled, *legend.get_texts()):
        text.set_parse_math(False)  # a label or a name may contain a $
    return figure


def name_axes(axes: Axes, window: PlacedWindow) -> list[Text]:
    """Labels both axes with the names of their features."""
    names = features.names(window.network.card, window.axes) or [f"x{d + 1}" for d in window.axes]
    return [axes.set_xlabel(names[0]), axes.set_ylabel(names[1])]


def _draw_regions(axes: Axes, boundary: BoundaryGrid) -> None:
    """The cells in calm colors. Contours of labels would put a band of class 1 between the regions of 0 and 2."""
    calm_C3 = palette.calm(palette.class_palette(len(boundary.window.network.card.classes)))
    draw_cells(axes, calm_C3[boundary.grid.values_HW], boundary.window.spec)


def draw_cells(axes: Axes, rgb_HW3: Palette, spec: GridSpec) -> None:
    """Draws the cells of a grid in their colors, row 0 at `y_min`."""
    assert spec.y_min is not None
    assert spec.y_max is not None
    assert spec.height is not None
    half_x = (spec.x_max - spec.x_min) / (spec.width - 1) / 2
    half_y = (spec.y_max - spec.y_min) / (spec.height - 1) / 2
    extent = (spec.x_min - half_x, spec.x_max + half_x, spec.y_min - half_y, spec.y_max + half_y)
    axes.imshow(rgb_HW3, origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    axes.set_xlim(spec.x_min, spec.x_max)
    axes.set_ylim(spec.y_min, spec.y_max)


def _draw_points(axes: Axes, points: OverlayPoints, classes: int) -> None:
    rgb_M3 = palette.class_palette(classes)[points.label_M] / 255
    for is_wrong, rim, thickness in ((False, RIM, 0.4), (True, MARK, 1.2)):
        some_M = points.is_wrong_M == is_wrong
        colors_M4 = np.column_stack([rgb_M3[some_M], points.opacity_M[some_M]])
        x_M, y_M = points.xy_M2[some_M].T
        axes.scatter(x_M, y_M, s=16, c=colors_M4, edgecolors=rim, linewidths=thickness, zorder=3)


def _title(window: PlacedWindow, points: OverlayPoints) -> str:
    card = window.network.card
    lines = [window.network.name, _accuracy(card)]
    if window.network.epoch is not None:  # the card has no accuracy of it
        lines[1:] = [f"after {window.network.epoch:,} of {card.epochs:,} epochs"]
    if len(window.axes) < card.features:
        lines.append(plane(window, card))
    if len(points.label_M) < points.total:
        lines.append(f"{len(points.label_M):,} of {points.total:,} points shown")
    return "\n".join(lines)


def _accuracy(card: Card) -> str:
    """The share of correct labels, of points that the network was not trained on if there are any."""
    for kind in ("validation", "cross_validation", "training"):
        accuracy = card.evaluation.get(kind, {}).get("accuracy") or (card.metrics or {}).get(f"{kind}_accuracy")
        if accuracy is not None:
            return f"{kind.replace('_', '-')} accuracy {accuracy:.1%}"
    return "accuracy unknown"


def plane(window: PlacedWindow, card: Card) -> str:
    """The plane of a slice in words: the values of the first few fixed features."""
    others = [d for d in range(card.features) if d not in window.axes]
    names = features.names(card, others) or [f"x{d + 1}" for d in others]
    shown = [f"{short(name)} = {value:.4g}" for name, value in zip(names, window.at, strict=True)][:MAX_FIXED]
    more = len(others) - len(shown)
    return f"at {', '.join(shown)}" + (f" and {more} more" if more else "")


def _legend(points: OverlayPoints, card: Card) -> Sequence[Line2D]:
    """A dot for each class, with the number of its points that are shown, and the mark of misclassified points."""
    codes = palette.class_codes(len(card.classes))
    counts_C = np.bincount(points.label_M, minlength=len(card.classes))
    dots = [
        _dot(f"{short(str(label))} ({count:,})", codes[k], RIM, 0.4)
        for k, (label, count) in enumerate(zip(card.classes, counts_C, strict=True))
    ]
    wrong = int(points.is_wrong_M.sum())
    return [*dots, _dot(f"misclassified ({wrong:,})", "none", MARK, 1.2)] if wrong else dots


def _dot(label: str, color: str, rim: str, thickness: float) -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker="o", label=label, color=color, markeredgecolor=rim, markeredgewidth=thickness
    )


def short(text: str) -> str:
    """A name or a class as it fits into a figure."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "\u2026"
