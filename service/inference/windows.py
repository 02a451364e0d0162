"""The window of a grid: as a request asks for it, and as it is placed on a version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.boundary import grids, slices
from models.checkpoints.cards import Card
from models.limits import MAX_GRID_CELLS, MAX_MARGIN, MAX_RESOLUTION
from models.networks.plans import AnyPlan
from models.specs import GridSpec, InvalidInput
from service.inference import features
from service.registry.networks import LoadedNetwork

STRIP_RATIO = 8
"""The width of a curve's picture divided by its default height."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """The window that a request asks for; the version that answers supplies whatever is None.

    Attributes:
        x_min, x_max, y_min, y_max: the edges in data units; by default from `default_range`.
        margin: of the edges that are None, see `default_range`.
        width, height: columns and rows; by default as many rows as columns.
        axes: the features along x and y, or the one along which a curve runs, as in `features.axes`.
        at: the values of the other features, as in `features.position`.
        is_picture: whether the grid becomes a picture. A curve has a height only as a picture.
        is_adaptive: whether labels are certified for many cells at once; a picture of them may have more cells.
    """

    x_min: float | None = None
    x_max: float | None = None
    y_min: float | None = None
    y_max: float | None = None
    margin: float | None = None
    width: int
    height: int | None = None
    axes: Sequence[str] | None = None
    at: Sequence[str] | None = None
    is_picture: bool = False
    is_adaptive: bool = False


@dataclass(frozen=True)
class PlacedWindow:
    """A window placed on the network that answers, with every default resolved.

    Attributes:
        network: the network.
        plan: the same over `axes` alone.
        spec: the cells.
        axes: the features along x and y, zero-based, or the one along which a curve runs.
        at: the values of all other features, in their order.
        rows: the height as it is shown: for the picture of a curve, its equal rows.
    """

    network: LoadedNetwork
    plan: AnyPlan
    spec: GridSpec
    axes: tuple[int, ...]
    at: tuple[float, ...]
    rows: int

    @property
    def position(self) -> dict[str, Any]:
        """The axes, the values of the other features and the window, as the bodies of responses name them."""
        return {
            "axes": self.axes,
            "axis_names": features.names(self.network.card, self.axes),
            "at": [float(value) for value in self.at],
            "window": edges(self.spec),
        }


def edges(spec: GridSpec) -> dict[str, float | None]:
    """The edges of a window, as the bodies of responses name them. Those along y are None for a curve."""
    return {"x_min": spec.x_min, "x_max": spec.x_max, "y_min": spec.y_min, "y_max": spec.y_max}


def place(
    network: LoadedNetwork, window: Window, *, ranges: Sequence[tuple[float, float]] | None = None
) -> PlacedWindow:
    """Places a window on a network.

    Args:
        network: of a version or of a job.
        window: as it was asked for.
        ranges: the default window along each axis, if it depends on more than the network.

    Raises:
        InvalidInput: the model has no such axes, `at` does not fit the other features, the edges, the margin or the
            resolution are out of bounds, or a margin is given although all edges are.
    """
    card = network.card
    axes = features.axes(card, window.axes)
    at = features.position(card, axes, window.at)
    _check_margin_is_used(window, len(axes))
    spec = _spec(window, ranges or [default_range(card, d, margin=window.margin) for d in axes])
    rows = spec.height or _curve_rows(window)
    return PlacedWindow(network, slices.sliced(network.plan, axes, at), spec, axes, at, rows)


def default_range(card: Card, d: int, *, margin: float | None = None) -> tuple[float, float]:
    """The default window of a version along one of its features. For the margin see `grids.padded_range`.

    Raises:
        InvalidInput: the margin is out of bounds.
    """
    check_margin(margin)
    return grids.padded_range(card.low[d], card.high[d], is_generated=card.is_generated, margin=margin)


def check_margin(margin: float | None) -> None:
    """Checks the margin of a window.

    Raises:
        InvalidInput: it is negative, or so large that the data would be a dot.
    """
    if margin is not None and not 0 <= margin <= MAX_MARGIN:
        raise InvalidInput("margin", f"must be between 0 and {MAX_MARGIN:g}, as a share of the range of the data")


def _check_margin_is_used(window: Window, axes: int) -> None:
    edges_given = (window.x_min, window.x_max, window.y_min, window.y_max)[: 2 * axes]
    if window.margin is not None and None not in edges_given:
        raise InvalidInput("margin", "has no effect if all edges are given: leave out margin, or one of the edges")


def _spec(window: Window, defaults: Sequence[tuple[float, float]]) -> GridSpec:
    x_min = defaults[0][0] if window.x_min is None else window.x_min
    x_max = defaults[0][1] if window.x_max is None else window.x_max
    if len(defaults) == 1:
        _require_curve(window)
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


def _curve_rows(window: Window) -> int:
    """The rows of a curve, of which only its picture has more than one."""
    if not window.is_picture:
        return 1
    rows = max(1, window.width // STRIP_RATIO) if window.height is None else window.height
    if not 1 <= rows <= MAX_RESOLUTION or rows * window.width > MAX_GRID_CELLS:
        limit = f"must have 1 to {MAX_RESOLUTION:,} rows, and at most {MAX_GRID_CELLS:,} cells in all"
        raise InvalidInput("resolution", limit)
    return rows


def _require_curve(window: Window) -> None:
    for name, edge in (("y_min", window.y_min), ("y_max", window.y_max)):
        if edge is not None:
            raise InvalidInput(name, "must be left out, or axes must have two features: a curve along one has no y")
    if window.height is not None and not window.is_picture:
        raise InvalidInput("resolution", "must be one number, such as 200: only the picture of a curve takes WxH")
    if window.is_adaptive:
        raise InvalidInput("adaptive", "needs two axes, but this window is a curve along one")
