"""`separatrix boundary`."""

from pathlib import Path

from matplotlib.figure import Figure

from models.datasets import LabelledPoints
from models.inference import dispatch, numpy_forward
from models.specs import InvalidInput
from service.commands.workspace import open_workspace
from service.inference import grids, windows
from service.inference.grids import BoundaryGrid
from service.inference.windows import Window
from service.jobs import training_data
from service.render import palette
from service.settings import Settings

FORMATS = (".png", ".svg", ".pdf", ".jpg")
INCHES = 6.0
DOTS_PER_INCH = 120


def run(settings: Settings, *, model: str, version: int | None, out: Path, resolution: int) -> None:
    """Draws the decision boundary of a model into a file, in the format that its suffix names.

    Raises:
        InvalidInput: the suffix is not one of `FORMATS`, or the model has a single feature.
    """
    if out.suffix.lower() not in FORMATS:
        raise InvalidInput("out", f"must end in one of {', '.join(FORMATS)}")
    with open_workspace(settings) as workspace:
        found = workspace.registry.resolve(model, version)
        if found.plan.features == 1:
            raise InvalidInput("model", "must have at least 2 features to be drawn, but this one has 1")
        boundary = grids.response_grid(windows.place(found, Window(width=resolution)), response="label")
        points = training_data.load(workspace.files, found.published.job_id, found.card.data, found.card.data_digest)
    figure = draw(boundary, points)
    figure.savefig(out)
    print(f"wrote {out}")


def draw(boundary: BoundaryGrid, points: LabelledPoints) -> Figure:
    """The tutorial's figure: the region of each class, the training points, and the share of them classified correctly.

    For a model of more than two features, it shows the plane of the first two, through the medians of the others.
    """
    version = boundary.window.version
    classes = version.card.classes
    codes = palette.class_codes(len(classes))
    figure = Figure(figsize=(INCHES, INCHES), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    grid = boundary.grid
    levels = [k - 0.5 for k in range(len(classes) + 1)]
    axes.contourf(grid.x_W, grid.y_H, grid.values_HW, levels=levels, colors=codes, alpha=0.35)
    dots = []
    for k in range(len(classes)):
        xy_N2 = points.xy_ND[points.label_N == k]
        dots.append(axes.scatter(xy_N2[:, 0], xy_N2[:, 1], s=14, color=codes[k], edgecolors="white", linewidths=0.4))
    right = (numpy_forward.predicted(dispatch.probabilities(version.plan, points.xy_ND)) == points.label_N).mean()
    published = version.published
    axes.set_title(f"{published.model} version {published.version}: {right:.1%} of {len(points.xy_ND)} points right")
    axes.set_xlabel("x1")
    axes.set_ylabel("x2")
    legend = axes.legend(dots, [str(label) for label in classes], loc="upper right")
    for text in legend.get_texts():
        text.set_parse_math(False)  # a label may contain a $
    return figure
