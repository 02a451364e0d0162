"""Boundary grids for published versions: what a request leaves open is resolved, and the mathematics asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.boundary import (
    contours,
    grids,
    hidden_space,
    slices,
)
from models.boundary.certified import quadtree
from models.boundary.certified.quadtree import AdaptiveGrid
from models.boundary.contours import Line
from models.boundary.grids import Grid, Outputs
from models.boundary.hidden_space import HiddenSpaceMap
from models.datasets import FloatArray, Label, LabelledPoints
from models.limits import (
    MAX_ANSWER_WORK,
    MAX_GRID_CELLS,
    MAX_GRID_VALUES,
    MAX_RESOLUTION,
)
from models.networks.plans import Plan
from models.specs import (
    GridSpec,
    HiddenSpaceCoordinates,
    InvalidInput,
    ResponseKind,
)
from service.errors import VersionBroken
from service.jobs import training_data
from service.registry.registry import LoadedVersion
from service.store.files import DamagedData, Files

STRIP = 8
"""A curve's picture is by default this much wider than it is high."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which cells somebody wants; what is None depends on the version that answers.

    Attributes:
        x_min, x_max, y_min, y_max: the edges, in data units; by default the training data's range and 1 around it.
        width, height: columns and rows; without a height as many rows as columns.
        axes: the features along x and y, zero-based, or the one along which a curve runs; by default the first two, of
            a model of one feature that one.
        at: the values of all other features, in their order; by default the medians of the training data.
        is_picture: whether a picture is to be made, the only form in which a curve has a height.
        is_adaptive: whether labels are to be proven where they can be.
    """

    x_min: float | None = None
    x_max: float | None = None
    y_min: float | None = None
    y_max: float | None = None
    width: int
    height: int | None = None
    axes: tuple[int, ...] | None = None
    at: tuple[float, ...] | None = None
    is_picture: bool = False
    is_adaptive: bool = False


@dataclass(frozen=True, kw_only=True)
class GridRequest(Window):
    """The grid that somebody wants.

    Attributes:
        response: by default the probability for two classes, or of a class that is named; else the label.
        class_name: whose probability or logit, as a string; by default the second of two classes.
    """

    response: ResponseKind | None = None
    class_name: str | None = None


@dataclass(frozen=True)
class Place:
    """A window with nothing left open.

    Attributes:
        plan: the version's network over `axes`, of as many features as they are.
        spec: the cells.
        axes, at: see `Window`.
        rows: of a picture.
    """

    plan: Plan
    spec: GridSpec
    axes: tuple[int, ...]
    at: tuple[float, ...]
    rows: int


@dataclass(frozen=True)
class BoundaryGrid:
    """A grid and what its values are.

    Attributes:
        response: None for the activation of a hidden unit.
        class_index: whose probability or logit; None for everything else.
        unit: layer and index of the hidden unit, None for a response.
    """

    place: Place
    grid: Grid
    response: ResponseKind | None
    class_index: int | None
    unit: tuple[int, int] | None = None

    @property
    def evaluated(self) -> int:
        """Cells that the network computed, all of them unless they were proven."""
        return self.grid.evaluated if isinstance(self.grid, AdaptiveGrid) else self.place.spec.cells


@dataclass(frozen=True)
class LayerMaps:
    """The activations of all units of a hidden layer, see `grids.Outputs`."""

    place: Place
    outputs: Outputs


@dataclass(frozen=True)
class WarpedGrid:
    """The image of a grid under a hidden layer."""

    place: Place
    warp: HiddenSpaceMap


@dataclass(frozen=True)
class BoundaryLines:
    """The decision boundary as lines; `class_index` is whose probability their levels are of, None without levels."""

    place: Place
    lines: list[Line]
    class_index: int | None


@dataclass(frozen=True)
class Overlay:
    """What is drawn over a picture.

    Attributes:
        xy_N2: float32 (N, 2), training points along the picture's axes, in data units.
        label_N: int64 (N,), their classes.
        lines: the decision boundary.
    """

    points: LabelledPoints | None = None
    lines: Sequence[Line] = ()


def boundary_grid(version: LoadedVersion, request: GridRequest) -> BoundaryGrid:
    """A version's response on a grid, or along a curve.

    Raises:
        InvalidInput: the window, the axes or the resolution are out of bounds, or the class is none of the model's or
            is not given though there are more than two.
    """
    place = placed(version, request)
    classes = version.card.classes
    if request.is_adaptive:
        return BoundaryGrid(place, quadtree.labels(place.plan, grids.axes_of(place.spec)), "label", None)
    of_one = len(classes) == 2 or request.class_name is not None
    response = request.response or ("probability" if of_one else "label")
    k = _class_index(classes, request.class_name, response)
    _check_work(place, place.plan.parameters.size)
    grid = grids.evaluate(place.plan, place.spec, response=response, class_index=k)
    return BoundaryGrid(place, grid, response, k if response in ("probability", "logit") else None)


def unit_map(version: LoadedVersion, window: Window, layer: int, index: int) -> BoundaryGrid:
    """The activation of one hidden unit on a grid, or along a curve.

    Raises:
        InvalidInput: there is no such unit; see also `boundary_grid`.
    """
    units = _units("unit", version.plan, layer)
    if index >= units:
        raise InvalidInput("unit", f"must be {layer}.0 to {layer}.{units - 1}: layer {layer} has {units} units")
    place = placed(version, window)
    up_to = slices.unit(place.plan, layer, index)
    _check_work(place, up_to.parameters.size)
    grid = grids.evaluate(up_to, place.spec, response="logit", class_index=1)
    return BoundaryGrid(place, grid, None, None, (layer, index))


def layer_maps(version: LoadedVersion, window: Window, layer: int) -> LayerMaps:
    """The activations of all units of a hidden layer.

    Raises:
        InvalidInput: there is no such layer, or it has too many units for so many cells; see also `boundary_grid`.
    """
    units = _units("layer", version.plan, layer)
    place = placed(version, window)
    cells = place.spec.width * place.rows if window.is_picture else place.spec.cells
    _check_values(units, cells)
    up_to = slices.hidden(place.plan, layer)
    _check_work(place, up_to.parameters.size)
    return LayerMaps(place, grids.outputs(up_to, place.spec))


def warped_grid(
    version: LoadedVersion, window: Window, layer: int, coordinates: HiddenSpaceCoordinates | None = None
) -> WarpedGrid:
    """Where a hidden layer takes the cells of a grid, or of a curve.

    Raises:
        InvalidInput: there is no such layer, or it has too few units, or too many for so many cells; see also
            `boundary_grid`.
    """
    units = _units("warp", version.plan, layer)
    place = placed(version, window)
    _check_values(units, place.spec.cells)
    _check_work(place, hidden_space.work_per_cell(place.plan, layer))
    return WarpedGrid(place, hidden_space.map_grid(place.plan, place.spec, layer, coordinates))


def boundary_lines(
    version: LoadedVersion, window: Window, levels: Sequence[float] = (), class_name: str | None = None
) -> BoundaryLines:
    """Where the classes part, or where the probability of a class has one of some levels.

    Raises:
        InvalidInput: the window is a curve's, the class is missing or does not fit, or there are too many classes for
            so many cells; see also `boundary_grid`.
    """
    place = placed(version, window)
    if place.spec.is_curve:
        raise InvalidInput("format", "lines need two axes, this is a curve along one: ask for json, npy or png")
    classes = version.card.classes
    if class_name is not None and len(classes) > 2 and not levels:
        raise InvalidInput("class", "of more than two classes only levels have a class")
    k = _class_index(classes, class_name, "probability" if levels else "label")
    logits = _logits(place)
    if not levels:
        return BoundaryLines(place, contours.between_classes(logits), None)
    return BoundaryLines(place, contours.at_levels(logits, k, levels), k)


def overlay(version: LoadedVersion, files: Files, place: Place, *, points: bool, line: bool) -> Overlay:
    """What a picture of a place is to have drawn over it.

    Raises:
        InvalidInput: the picture is that of a curve; see also `boundary_lines`.
        VersionBroken: the training points cannot be read back.
    """
    for name, wanted in (("points", points), ("line", line)):
        if wanted and place.spec.is_curve:
            raise InvalidInput(name, "only over a picture of two axes, this is a curve along one")
    shown = _training_points(version, files, place.axes) if points else None
    return Overlay(shown, contours.between_classes(_logits(place)) if line else ())


def placed(version: LoadedVersion, window: Window) -> Place:
    """A window as a version fills it in.

    Raises:
        InvalidInput: there are no such axes, `at` has not a value for each of the others, or a bound is broken.
    """
    card = version.card
    axes = _axes(version.plan.features, window.axes)
    others = [d for d in range(version.plan.features) if d not in axes]
    at = tuple(card.middle[d] for d in others) if window.at is None else window.at
    if len(at) != len(others):
        raise InvalidInput("at", f"must have {len(others)} values, one for each feature that is not on an axis")
    spec = _spec(window, [grids.padded_range(card.low[d], card.high[d]) for d in axes])
    rows = spec.height or (max(1, window.width // STRIP) if window.height is None else window.height)
    if spec.is_curve and (not 1 <= rows <= MAX_RESOLUTION or rows * spec.width > MAX_GRID_CELLS):
        raise InvalidInput("resolution", f"each 1 to {MAX_RESOLUTION:,}, and at most {MAX_GRID_CELLS:,} cells in all")
    return Place(slices.sliced(version.plan, axes, at), spec, axes, at, rows)


def _axes(features: int, given: tuple[int, ...] | None) -> tuple[int, ...]:
    if given is None:
        return (0, 1)[:features]
    if max(given) >= features:
        raise InvalidInput("axes", f"must be of the model's features, 0 to {features - 1}")
    return given


def _spec(window: Window, defaults: Sequence[tuple[float, float]]) -> GridSpec:
    x_min = defaults[0][0] if window.x_min is None else window.x_min
    x_max = defaults[0][1] if window.x_max is None else window.x_max
    if len(defaults) == 1:
        for name in ("y_min", "y_max"):
            if getattr(window, name) is not None:
                raise InvalidInput(name, "a curve along one axis has no ordinates: give two axes, or leave it out")
        if window.height is not None and not window.is_picture:
            raise InvalidInput("resolution", "must be W, such as 200: a curve has no rows, its picture alone takes WxH")
        if window.is_adaptive:
            raise InvalidInput("adaptive", "needs two axes, this is a curve along one")
        return GridSpec(x_min=x_min, x_max=x_max, width=window.width)
    return GridSpec(
        x_min=x_min,
        x_max=x_max,
        y_min=defaults[1][0] if window.y_min is None else window.y_min,
        y_max=defaults[1][1] if window.y_max is None else window.y_max,
        width=window.width,
        height=window.width if window.height is None else window.height,
        is_adaptive=window.is_adaptive and window.is_picture,
    )


def _class_index(classes: tuple[Label, ...], name: str | None, response: ResponseKind) -> int:
    names = [str(label) for label in classes]
    if name is not None and name not in names:
        raise InvalidInput("class", "must be one of the model's classes; GET /models/{name}/versions/{v} lists them")
    if name is not None:
        return names.index(name)
    if response in ("probability", "logit") and len(classes) > 2:
        raise InvalidInput("class", f"must say which of the model's {len(classes)} classes, or ask for response=label")
    return 1


def _units(field: str, plan: Plan, layer: int) -> int:
    """How many units a hidden layer has."""
    widths = slices.hidden_widths(plan)
    if not widths:
        raise InvalidInput(field, "this model has no hidden layers")
    if layer >= len(widths):
        there = ", ".join(f"{number} of {units} units" for number, units in enumerate(widths))
        raise InvalidInput(field, f"must be one of the model's hidden layers: {there}")
    return widths[layer]


def _logits(place: Place) -> Outputs:
    _check_values(place.plan.widths[-1], place.spec.cells)
    _check_work(place, place.plan.parameters.size)
    return grids.outputs(place.plan, place.spec)


def _training_points(version: LoadedVersion, files: Files, axes: tuple[int, ...]) -> LabelledPoints:
    try:
        points = training_data.load(files, version.published.job_id, version.card.data, version.card.data_digest)
    except (DamagedData, OSError) as error:
        raise VersionBroken("Its training points cannot be read back; ask for the picture without them.") from error
    along: FloatArray = points.xy_ND[:, list(axes)]
    return LabelledPoints(along, points.label_N, points.classes)


def _check_work(place: Place, per_cell: int) -> None:
    if place.spec.cells * per_cell > MAX_ANSWER_WORK:
        raise InvalidInput("resolution", "too many cells for a network of this size")


def _check_values(outputs: int, cells: int) -> None:
    if outputs * cells > MAX_GRID_VALUES:
        most = MAX_GRID_VALUES // outputs
        raise InvalidInput("resolution", f"at most {most:,} cells where each has {outputs:,} values")
