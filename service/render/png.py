"""Grids as PNG, `image/png`: a pixel for each cell, the top row at `y_max`, in the colors of a palette."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from models.boundary.contours import Line
from models.boundary.grids import Values
from models.datasets import DoubleArray, FloatArray, LabelledPoints
from models.specs import GridSpec
from service.inference.grids import ActivationMaps, BoundaryGrid
from service.inference.overlays import Overlay
from service.inference.windows import PlacedWindow
from service.render import palette
from service.render.palette import Palette

MEDIA_TYPE = "image/png"

STEPS = 128
"""Colors of a scale. A pixel of one byte has 256; the others are for 100 classes, the lines and the points' edges."""

LABEL_OPACITY = 0.5
"""Opacity of labels in a transparent picture: what is below it shows as clearly as they do."""

EDGE = (0xFF, 0xFF, 0xFF)
"""Around each training point, and between tiles."""

LINE = (0x14, 0x14, 0x14)
"""The decision boundary."""

GAP = 2
"""Pixels between tiles."""

LEAST_RANGE = 1e-30
"""Of a scale: float32 cannot divide a smaller range into steps."""

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
    two classes, from a dark gray. That of a unit is symmetric about 0, from red to blue. That of entropy runs from the
    pale gray to a violet. In a transparent picture the colors of the ends fade to nothing in place of the pale gray,
    and labels are half opaque.
    """
    classes = len(boundary.window.version.card.classes)
    scale = _scale(boundary, classes, transparent)
    index_HW = _upright(scale.indices(boundary.grid.values_HW), boundary.window)
    image = _draw(index_HW, overlay, boundary.window.spec, len(scale.palette_C3))
    has_overlay = overlay.points or overlay.lines
    own_C3 = [np.array([LINE, EDGE], np.uint8), palette.class_palette(classes)] if has_overlay else []
    palette_C3 = np.concatenate([scale.palette_C3, *own_C3])
    return Picture(_png(image, palette_C3, scale.opacity_C if transparent else None), scale.range)


def encode_tiles(maps: ActivationMaps, transparent: bool) -> Picture:
    """A tile for each unit of a layer, ceil(sqrt(U)) in a row, all on one scale symmetric about 0."""
    values_UHW = maps.outputs.values_OHW
    scale = _symmetric_scale(values_UHW, _class(0), _class(1), transparent)
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


def _scale(boundary: BoundaryGrid, classes: int, transparent: bool) -> _Scale:
    k = boundary.class_index
    if boundary.response == "label":
        return _Scale(palette.class_palette(classes), np.full(classes, LABEL_OPACITY), None)
    if boundary.response == "entropy":
        dark = np.array(palette.DARK, np.uint8)
        return _between(None, dark, (0.0, math.log2(classes)), transparent)
    if k is None:  # an activation
        return _symmetric_scale(boundary.grid.values_HW, _class(0), _class(1), transparent)
    other = _class(1 - k) if classes == 2 else None
    if boundary.response == "probability":
        return _between(other, _class(k), (0.0, 1.0), transparent)
    others = np.array(palette.OTHERS, np.uint8) if other is None else other
    return _symmetric_scale(boundary.grid.values_HW, others, _class(k), transparent)


def _class(k: int) -> Palette:
    own: Palette = palette.class_palette(k + 1)[k]
    return own


def _symmetric_scale(values: Values, low: Palette, high: Palette, transparent: bool) -> _Scale:
    """From minus to plus the greatest absolute value; from -1 to 1 if all values are practically 0."""
    greatest = float(max(values.max(), -values.min()))
    most = greatest if greatest > LEAST_RANGE else 1.0
    return _between(low, high, (-most, most), transparent)


def _between(low: Palette | None, high: Palette, values: tuple[float, float], transparent: bool) -> _Scale:
    if transparent:
        return _Scale(*palette.transparent_scale(low, high, steps=STEPS), values)
    return _Scale(palette.opaque_scale(low, high, steps=STEPS), np.ones(STEPS), values)


def _draw(index_HW: IndexArray, overlay: Overlay, spec: GridSpec, line: int) -> Image.Image:
    """The picture with its overlay. `line` is the index of the lines' color; those of edges and classes follow."""
    image = Image.fromarray(index_HW, mode="P")
    if overlay.lines:
        _draw_lines(image, overlay.lines, spec, line)
    if overlay.points is None:
        return image
    index_HW = np.array(image)
    _draw_points(index_HW, overlay.points, spec, edge=line + 1)
    return Image.fromarray(index_HW, mode="P")


def _draw_lines(image: Image.Image, lines: Sequence[Line], spec: GridSpec, color: int) -> None:
    """Lines as wide as the picture's shorter side divided by 400, at least one pixel."""
    pen = ImageDraw.Draw(image)
    thickness = max(1, round(min(image.size) / 400))
    for line in lines:
        pen.line(_pixels(line.xy_V2, spec, image.size).ravel().tolist(), fill=color, width=thickness)


def _draw_points(index_HW: IndexArray, points: LabelledPoints, spec: GridSpec, *, edge: int) -> None:
    """Discs with an edge of one pixel, later points over earlier ones. Points outside the picture are left out."""
    height, width = index_HW.shape
    radius = min(max(round(min(height, width) / 200), 2), 5)
    reach = np.arange(-radius - 1, radius + 2)
    row_M, column_M = (offset.ravel() for offset in np.meshgrid(reach, reach, indexing="ij"))
    distance_M = np.hypot(row_M, column_M)
    disc_M = distance_M < radius + 1.4  # looks rounder than a whole radius
    row_M, column_M, inner_M = row_M[disc_M], column_M[disc_M], distance_M[disc_M] < radius + 0.4
    for start in range(0, len(points.xy_ND), POINTS_AT_ONCE):
        some = slice(start, start + POINTS_AT_ONCE)
        place_N2 = np.round(_pixels(points.xy_ND[some].astype(np.float64), spec, (width, height)))
        inside_N = ((place_N2 >= 0) & (place_N2 < (width, height))).all(axis=1)
        place_N2 = place_N2[inside_N].astype(np.int64)
        color_N = edge + 1 + points.label_N[some][inside_N]
        row_NM, column_NM = place_N2[:, 1:] + row_M, place_N2[:, :1] + column_M
        color_NM = np.where(inner_M, color_N[:, None], edge)
        seen_NM = (row_NM >= 0) & (row_NM < height) & (column_NM >= 0) & (column_NM < width)
        index_HW[row_NM[seen_NM], column_NM[seen_NM]] = color_NM[seen_NM]


def _pixels(xy_V2: DoubleArray, spec: GridSpec, size: tuple[int, int]) -> DoubleArray:
    """Columns and rows, (V, 2), of points in data units. Rows count from the top; whole numbers are pixel centres."""
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
