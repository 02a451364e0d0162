"""Grids as PNG, `image/png`: a pixel for each cell, the top row at `y_max`, in the colors of a palette.

Dimension letters: B pixels of a point's disc; the others are those of `models`.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from models.boundary.contours import Line
from models.boundary.grids import Values
from models.datasets import DoubleArray, FloatArray
from models.specs import GridSpec
from service.inference.grids import ActivationMaps, BoundaryGrid
from service.inference.overlays import Overlay, OverlayPoints
from service.inference.windows import PlacedWindow
from service.render import palette
from service.render.palette import Palette

MEDIA_TYPE = "image/png"

STEPS = 128
"""Colors of a scale. A pixel of one byte has 256; the others are for 100 classes, the lines and the points' edges."""

LABEL_OPACITY = 0.5
"""Opacity of labels in a transparent picture: what is below it shows as clearly as they do."""

EDGE = (0xFF, 0xFF, 0xFF)
"""Around training points that the network classifies correctly, and between tiles."""

LINE = (0x14, 0x14, 0x14)
"""The decision boundary."""

OUTSIDE = palette.OTHERS
"""Cells outside the training range: the gray of all other classes."""

MARK = LINE
"""Around training points that the network misclassifies."""

SHADES = 4
"""Colors of a class's points, from those in the plane of a slice to those far from it. There are fewer if the palette
has no room: from 31 classes on, and a single one from 63."""

LEAST_OPACITY = 0.4
"""Opacity of the points farthest from the plane: paler ones could not be told from regions."""

GAP = 2
"""Pixels between tiles."""

MOST_SPREAD = 0.5
"""The greatest standard deviation of numbers from 0 to 1."""

LEAST_RANGE = 1e-30
"""Minimum range of a scale: float32 cannot divide a smaller range into steps."""

POINTS_AT_ONCE = 10_000
"""Training points drawn at a time: the coordinates of their pixels take about 10 MB."""

IndexArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """A PNG file, and the values at the two ends of its scale; None for labels, which have no scale."""

    content: bytes
    range: tuple[float, float] | None


@dataclass(frozen=True)
class _Scale:
    """Maps values to the colors of a palette, from `range[0]` to `range[1]`; without a range, a value is an index.

    `opacity_C` has the opacity of each color, from 0 to 1.
    """

    palette_C3: Palette
    opacity_C: DoubleArray
    range: tuple[float, float] | None

    def indices(self, values: Values) -> IndexArray:
        """The index of each value's color, in an array of the same shape."""
        if self.range is None:
            return values.astype(np.uint8, copy=False)
        low, high = self.range
        steps_per_unit = (STEPS - 1) / (high - low)
        index: FloatArray = values * np.float32(steps_per_unit)
        index += np.float32(0.5 - low * steps_per_unit)  # the cast below rounds down
        np.minimum(index, np.float32(STEPS - 1), out=index)
        return index.astype(np.uint8)


def encode(boundary: BoundaryGrid, overlay: Overlay, transparent: bool) -> Picture:
    """The picture of a response or of the activation of a hidden unit.

    Labels have the colors of their classes. The scale of a probability runs from the other class over a pale gray to
    its own class; with more than two classes, from the gray. So does that of a logit, symmetric about 0; with more than
    two classes, from a dark gray. That of a unit is symmetric about 0, from red to blue. Those of entropy and of spread
    run from the pale gray to a violet. Below points all these colors are calm. In a transparent picture the colors of
    the ends fade to nothing in place of the pale gray, and labels are half opaque.
    """
    classes = len(boundary.window.network.card.classes)
    scale = _scale(boundary, classes, transparent, is_calm=overlay.points is not None)
    image = Image.fromarray(_upright(scale.indices(boundary.grid.values_HW), boundary.window), mode="P")
    palette_C3 = scale.palette_C3
    if overlay.lines:
        draw_lines(image, overlay.lines, boundary.window.spec, color=len(palette_C3))
        palette_C3 = np.concatenate([palette_C3, np.array([LINE], np.uint8)])
    if overlay.points is not None:
        index_HW = np.array(image)
        own_C3 = _draw_points(index_HW, overlay.points, boundary.window.spec, classes, first=len(palette_C3))
        image = Image.fromarray(index_HW, mode="P")
        palette_C3 = np.concatenate([palette_C3, own_C3])
    return Picture(_png(image, palette_C3, scale.opacity_C if transparent else None), scale.range)


def encode_tiles(maps: ActivationMaps, transparent: bool) -> Picture:
    """A tile for each unit of a layer, ceil(sqrt(U)) in a row, all on one scale symmetric about 0."""
    values_UHW = maps.outputs.values_OHW
    low, high = palette.class_palette(2)
    scale = _symmetric_scale(values_UHW, low, high, transparent)
    gap = len(scale.palette_C3)
    units, height, width = len(values_UHW), maps.window.rows, maps.window.spec.width
    columns = math.ceil(math.sqrt(units))
    rows = math.ceil(units / columns)
    tiles_HW = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), gap, np.uint8)
    for unit in range(units):
        row, column = divmod(unit, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        tiles_HW[top : top + height, left : left + width] = _upright(scale.indices(values_UHW[unit]), maps.window)
    palette_C3 = np.concatenate([scale.palette_C3, np.array([EDGE], np.uint8)])
    opacity_C = np.append(scale.opacity_C, 0.0) if transparent else None
    return Picture(_png(Image.fromarray(tiles_HW, mode="P"), palette_C3, opacity_C), scale.range)


def _upright(index_HW: IndexArray, window: PlacedWindow) -> IndexArray:
    """Turns the last row to the top, and a curve into a strip of equal rows."""
    if window.spec.is_curve:
        return np.tile(index_HW, (window.rows, 1))
    return np.ascontiguousarray(index_HW[::-1])


def _scale(boundary: BoundaryGrid, classes: int, transparent: bool, *, is_calm: bool) -> _Scale:
    k = boundary.class_index
    class_C3, dark_C3, others_C3 = (
        palette.class_palette(classes),
        *(np.array([color], np.uint8) for color in (palette.DARK, palette.OTHERS)),
    )
    if is_calm:
        class_C3, dark_C3, others_C3 = map(palette.calm, (class_C3, dark_C3, others_C3))
    if boundary.response == "label":
        return _Scale(class_C3, np.full(classes, LABEL_OPACITY), None)
    if boundary.response == "outside_training_range":
        within_C3 = palette.faded(np.array([OUTSIDE], np.uint8), 0.0)
        return _Scale(np.concatenate([within_C3, np.array([OUTSIDE], np.uint8)]), np.array([0.0, LABEL_OPACITY]), None)
    if boundary.response == "entropy":
        return _between(None, dark_C3[0], (0.0, math.log2(classes)), transparent)
    if boundary.response == "spread":
        return _between(None, dark_C3[0], (0.0, MOST_SPREAD), transparent)
    if k is None:  # an activation
        return _symmetric_scale(boundary.grid.values_HW, class_C3[0], class_C3[1], transparent)
    other = class_C3[1 - k] if classes == 2 else None
    if boundary.response == "probability":
        return _between(other, class_C3[k], (0.0, 1.0), transparent)
    low = others_C3[0] if other is None else other
    return _symmetric_scale(boundary.grid.values_HW, low, class_C3[k], transparent)


def _symmetric_scale(values: Values, low: Palette, high: Palette, transparent: bool) -> _Scale:
    """From minus to plus the greatest absolute value; from -1 to 1 if all values are practically 0."""
    greatest = float(max(values.max(), -values.min()))
    most = greatest if greatest > LEAST_RANGE else 1.0
    return _between(low, high, (-most, most), transparent)


def _between(low: Palette | None, high: Palette, values: tuple[float, float], transparent: bool) -> _Scale:
    if transparent:
        return _Scale(*palette.transparent_scale(low, high, steps=STEPS), values)
    return _Scale(palette.opaque_scale(low, high, steps=STEPS), np.ones(STEPS), values)


def draw_lines(image: Image.Image, lines: Sequence[Line], spec: GridSpec, color: int | tuple[int, ...]) -> None:
    """Draws lines as wide as the picture's shorter side divided by 400, at least one pixel."""
    pen = ImageDraw.Draw(image)
    thickness = max(1, round(min(image.size) / 400))
    for line in lines:
        pen.line(_pixels(line.xy_V2, spec, image.size).ravel().tolist(), fill=color, width=thickness)


def _draw_points(index_HW: IndexArray, points: OverlayPoints, spec: GridSpec, classes: int, *, first: int) -> Palette:
    """Discs with a rim, later points over earlier ones: a thin pale rim, or a dark one that marks a wrong label.

    Returns:
        The colors that the indices from `first` on stand for.
    """
    shades = max(1, min(SHADES, (256 - first - 1) // (classes + 1)))
    shade_M = np.minimum(((1 - points.opacity_M) * shades).astype(np.int64), shades - 1)
    # The colors are the edge, the marks of all shades, and the classes of all shades.
    color_M = first + 1 + shades + classes * shade_M + points.label_M
    rim_M = np.where(points.is_wrong_M, first + 1 + shade_M, first)
    height, width = index_HW.shape
    radius = min(max(round(min(height, width) / 200), 2), 5)
    thickest = max(1, radius // 2)
    thickness_M = np.where(points.is_wrong_M, thickest, 1)
    reach = np.arange(-radius - thickest, radius + thickest + 1)
    row_BB, column_BB = np.meshgrid(reach, reach, indexing="ij")
    distance_BB = np.hypot(row_BB, column_BB) - 0.4  # looks rounder than a whole radius
    disc_BB = distance_BB < radius + thickest
    row_B, column_B, distance_B = row_BB[disc_BB], column_BB[disc_BB], distance_BB[disc_BB]
    for start in range(0, len(points.xy_M2), POINTS_AT_ONCE):
        some = slice(start, start + POINTS_AT_ONCE)
        place_M2 = np.round(_pixels(points.xy_M2[some].astype(np.float64), spec, (width, height))).astype(np.int64)
        row_MB, column_MB = place_M2[:, 1:] + row_B, place_M2[:, :1] + column_B
        color_MB = np.where(distance_B < radius, color_M[some, None], rim_M[some, None])
        seen_MB = distance_B < radius + thickness_M[some, None]
        seen_MB &= (row_MB >= 0) & (row_MB < height) & (column_MB >= 0) & (column_MB < width)
        index_HW[row_MB[seen_MB], column_MB[seen_MB]] = color_MB[seen_MB]
    opacities = np.linspace(1, LEAST_OPACITY, shades).tolist()
    marks_C3 = [palette.faded(np.array([MARK], np.uint8), opacity) for opacity in opacities]
    classes_C3 = [palette.faded(palette.class_palette(classes), opacity) for opacity in opacities]
    return np.concatenate([np.array([EDGE], np.uint8), *marks_C3, *classes_C3])


def _pixels(xy_V2: DoubleArray, spec: GridSpec, size: tuple[int, int]) -> DoubleArray:
    """Columns and rows, (V, 2), of points in data units. Rows count from the top; whole numbers are pixel centers."""
    assert spec.y_min is not None
    assert spec.y_max is not None
    width, height = size
    column_V = (xy_V2[:, 0] - spec.x_min) / (spec.x_max - spec.x_min) * (width - 1)
    row_V = (spec.y_max - xy_V2[:, 1]) / (spec.y_max - spec.y_min) * (height - 1)
    return np.column_stack([column_V, row_V])


def _png(image: Image.Image, palette_C3: Palette, opacity_C: DoubleArray | None) -> bytes:
    """A PNG file. Colors without an opacity are opaque."""
    image.putpalette(palette_C3.tobytes())
    alpha = {} if opacity_C is None else {"transparency": np.round(255 * opacity_C).astype(np.uint8).tobytes()}
    file = io.BytesIO()
    image.save(file, "png", compress_level=1, **alpha)  # three times as fast, and still small
    return file.getvalue()
