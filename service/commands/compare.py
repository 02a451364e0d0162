"""`separatrix compare`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from models.specs import InvalidInput
from service.commands import boundary
from service.commands.boundary import DOTS_PER_INCH, INCHES, LEGEND_INCHES, RIM, Part, short
from service.commands.workspace import open_workspace
from service.datasets.stored import StoredDatasets
from service.inference import comparison
from service.inference.comparison import PointsComparison, WindowComparison
from service.inference.pairs import Agreement, Pair
from service.inference.windows import Window
from service.registry.references import named
from service.registry.registry import LoadedVersion
from service.render import comparison_png, palette
from service.settings import Settings

MAX_DRAWN = 1_000
"""Points of a dataset whose labels differ that the figure shows; more would hide it."""

MAX_PAIRS = 12
"""Pairs of classes in the legend: the most frequent differences."""

METRICS = ("training_accuracy", "validation_accuracy", "training_loss", "validation_loss")


def run(
    settings: Settings, *, a: str, b: str, out: Path, resolution: int, dataset: str | None, part: Part | None = None
) -> None:
    """Prints how the labels of two versions differ, in a window and perhaps on a dataset, and draws it into a file.

    Args:
        settings: of the data folder.
        a: the first version, `MODEL`, `MODEL:VERSION` or `MODEL:ALIAS`.
        b: the second version.
        out: the figure, in the format that its suffix names.
        resolution: columns and rows of the window.
        dataset: the name of a stored dataset or a generator.
        part: the part of the space that the figure shows; `within` does not apply.

    Raises:
        InvalidInput: the suffix is unknown, the versions cannot be compared, or they do not have the part.
        ServiceError: there is no such version or dataset.
    """
    part = part or Part()
    boundary.require_format(out)
    with open_workspace(settings) as workspace:
        pair = Pair.of(*(workspace.registry.resolve(*named(text)) for text in (a, b)))
        if pair.a.plan.features == 1:
            raise InvalidInput("a", "must have at least 2 features to be drawn, but this one has 1")
        axes, at = (None if text is None else [text] for text in (part.axes, part.at))
        window = Window(width=resolution, margin=part.margin, axes=axes, at=at)
        cells = comparison.over_window(pair, window, with_lines=True)
        if cells.window.spec.is_curve:
            raise InvalidInput("axes", "must be two features")
        points = None
        if dataset is not None:
            datasets = StoredDatasets(workspace.store, workspace.files, max_bytes=settings.max_datasets_bytes)
            points = comparison.over_dataset(pair, dataset, datasets, max_flips=MAX_DRAWN)
    for line in _report(cells, points, dataset):
        print(line)
    boundary.write(draw(cells, points), out)
    print(f"wrote {out}")


def _report(cells: WindowComparison, points: PointsComparison | None, dataset: str | None) -> list[str]:
    pair = cells.pair
    lines = [f"a: {_name(pair.a)}", f"b: {_name(pair.b)}"]
    for metric in METRICS:
        values = [(one.card.metrics or {}).get(metric) for one in (pair.a, pair.b)]
        if any(value is not None for value in values):
            lines.append(f"{metric.replace('_', ' ')}: {' and '.join(map(_figure, values))}")
    edges = ", ".join(f"{value:.4g}" for value in cells.window.position["window"].values())
    lines.append(f"window {edges}: {_differing(cells.agreement, 'cells', pair)}")
    if points:
        lines.append(f"dataset {dataset}: {_differing(points.agreement, 'points', pair)}")
        accuracies = [_figure(one.accuracy) for one in (points.evaluation_a, points.evaluation_b)]
        lines.append(f"accuracy on {dataset}: {' and '.join(accuracies)}")
    return lines


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _differing(agreement: Agreement, what: str, pair: Pair) -> str:
    count = f"{agreement.differing:,} of {agreement.compared:,} {what} differ ({agreement.share:.2%})"
    classes = pair.a.card.classes
    most = [f"{number:,} from {classes[i]} to {classes[j]}" for i, j, number in agreement.differences[:MAX_PAIRS]]
    more = len(agreement.differences) - len(most)
    return f"{count}: {', '.join(most)}{f' and {more} more pairs' if more > 0 else ''}" if most else count


def draw(cells: WindowComparison, points: PointsComparison | None = None) -> Figure:
    """The regions where the versions agree, pale, and where they differ; both boundaries; and points that differ."""
    figure = Figure(figsize=(INCHES + LEGEND_INCHES * 1.4, INCHES), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    boundary.draw_cells(axes, comparison_png.colors(cells), cells.window.spec)
    for lines, color in (
        (cells.lines_a, comparison_png.LINE_OF_A),
        (cells.lines_b, comparison_png.LINE_OF_B),
    ):
        vertices = [line.xy_V2 for line in lines]
        axes.add_collection(LineCollection(vertices, colors=_code(color), linewidths=0.8))
    if points is not None:
        _draw_flips(axes, cells, points)
    titled = axes.set_title(_title(cells, points), fontsize="medium")
    labelled = boundary.name_axes(axes, cells.window)
    legend = figure.legend(handles=_legend(cells, points), loc="outside right upper", frameon=False)
    for text in (titled, *labelled, *legend.get_texts()):
        text.set_parse_math(False)  # a label or a name may contain a $
    return figure


def _draw_flips(axes: Axes, cells: WindowComparison, points: PointsComparison) -> None:
    rgb_F3 = palette.class_palette(len(cells.pair.class_K))[points.flips.label_F] / 255
    x_F, y_F = points.flips.xy_FD[:, list(cells.window.axes)].T
    axes.scatter(x_F, y_F, s=18, c=rgb_F3, edgecolors=RIM, linewidths=0.6, zorder=3)


def _title(cells: WindowComparison, points: PointsComparison | None) -> str:
    pair, card = cells.pair, cells.pair.a.card
    lines = [f"{_name(pair.a)} and {_name(pair.b)}", f"differ in {cells.agreement.share:.2%} of the window"]
    if points is not None:
        lines.append(f"and on {points.agreement.differing:,} of {points.agreement.compared:,} points")
    if len(cells.window.axes) < card.features:
        lines.append(boundary.plane(cells.window, card))
    return "\n".join(lines)


def _legend(cells: WindowComparison, points: PointsComparison | None) -> Sequence[Patch | Line2D]:
    classes = cells.pair.a.card.classes
    names, count = [short(str(label)) for label in classes], len(classes)
    agreed = [k for k in range(count) if cells.agreement.confusion_KK[k, k]][:MAX_PAIRS]
    handles: list[Patch | Line2D] = [Patch(color=_color(count, k, k), label=f"both {names[k]}") for k in agreed]
    for i, j, _ in cells.agreement.differences[:MAX_PAIRS]:
        handles.append(Patch(color=_color(count, i, j), label=f"a {names[i]}, b {names[j]}"))
    for who, color in (("a", comparison_png.LINE_OF_A), ("b", comparison_png.LINE_OF_B)):
        handles.append(Line2D([], [], color=_code(color), linewidth=1.2, label=f"boundary of {who}"))
    if points is not None:
        handles += [_dot(names[k], k, count) for k in np.unique(points.flips.label_F)]
    return handles


def _dot(name: str, k: int, count: int) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker="o",
        color=palette.class_codes(count)[k],
        markeredgecolor=RIM,
        label=f"point of {name} that differs",
    )


def _color(classes: int, a: int, b: int) -> str:
    return palette.hex_codes(comparison_png.color_of(classes, a, b)[None])[0]


def _code(rgb: tuple[int, int, int]) -> str:
    return palette.hex_codes(np.array([rgb], np.uint8))[0]


def _name(version: LoadedVersion) -> str:
    return f"{version.published.model} version {version.published.version}"
