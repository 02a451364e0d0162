"""Grids as pictures: a pixel a cell, the top row at `y_max`, in the colours of a palette."""

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
from service.inference.grids import (
    BoundaryGrid,
    LayerMaps,
    Overlay,
    Place,
)
from service.render import palette
from service.render.palette import Colours

MEDIA_TYPE = "image/png"

STEPS = 128
"""Colours of a scale. A pixel of one byte tells 256: the rest is for 100 classes, the line and the points' edge."""

LABEL_OPACITY = 0.5
"""Of the colour of a class in a transparent picture of labels: what lies under it shows as clearly."""

EDGE = (0xFF, 0xFF, 0xFF)
"""Around each training point, and between the tiles of a sheet."""

LINE = (0x14, 0x14, 0x14)
"""Of the decision boundary."""

GAP = 2
"""Pixels between the tiles of a sheet."""

LEAST_RANGE = 1e-30
"""Of a scale: what is smaller cannot be divided into steps in float32."""

POINTS_AT_ONCE = 10_000
"""Discs that are drawn at a time, some ten megabytes of pixels' places."""

IndexArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """A picture, and between which values its scale runs, if it has one."""

    content: bytes
    range: tuple[float, float] | None


@dataclass(frozen=True)
class _Scale:
    """How values become colours: evenly from `low` to `high`, or, without a range, each by its own number.

    `opacity_C` goes with `palette_C3`, from 0 to 1.
    """

    palette_C3: Colours
    opacity_C: DoubleArray
    range: tuple[float, float] | None

    def indices(self, values: Values) -> IndexArray:
        """The place of each value in the palette, of any shape."""
        if self.range is None:
            return values.astype(np.uint8, copy=False)
        low, high = self.range
        steps_per_unit = (STEPS - 1) / (high - low)
        index: FloatArray = values * np.float32(steps_per_unit)
        index += np.float32(0.5 - low * steps_per_unit)  # the cast below cuts off
        np.minimum(index, np.float32(STEPS - 1), out=index)
        return index.astype(np.uint8)


def encode(boundary: BoundaryGrid, classes: int, overlay: Overlay, transparent: bool) -> Picture:
    """The picture of a response or of a hidden unit.

    Labels are in the colours of their classes. A probability goes from the other class's colour over a pale grey to its
    own; of more than two classes, from the grey. A logit likewise over a range even about 0, the other classes of
    several as a dark grey; so does a unit, from red to blue. Entropy goes from the grey to a violet. In a transparent
    picture there is no grey: the colours of the ends fade to nothing; those of labels are half opaque.
    """
    scale = _scale(boundary, classes, transparent)
    index_HW = _upright(scale.indices(boundary.grid.values_HW), boundary.place)
    drawn = _drawn(index_HW, overlay, boundary.place, len(scale.palette_C3))
    own_C3 = [np.array([LINE, EDGE], np.uint8), palette.of_classes(classes)] if overlay.points or overlay.lines else []
    palette_C3 = np.concatenate([scale.palette_C3, *own_C3])
    return Picture(_png(drawn, palette_C3, scale.opacity_C if transparent else None), scale.range)


def encode_sheet(maps: LayerMaps, transparent: bool) -> Picture:
    """The pictures of all units of a layer, row by row, ceil(sqrt(U)) of them in each, on one scale even about 0."""
    values_UHW = maps.outputs.values_OHW
    scale = _even_scale(values_UHW, _class(0), _class(1), transparent)
    gap = len(scale.palette_C3)
    units, height, width = len(values_UHW), maps.place.rows, maps.place.spec.width
    columns = math.ceil(math.sqrt(units))
    rows = math.ceil(units / columns)
    sheet_HW = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), gap, np.uint8)
    for unit in range(units):
        row, column = divmod(unit, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        sheet_HW[top : top + height, left : left + width] = _upright(scale.indices(values_UHW[unit]), maps.place)
    palette_C3 = np.concatenate([scale.palette_C3, np.array([EDGE], np.uint8)])
    opacity_C = np.append(scale.opacity_C, 0.0) if transparent else None
    return Picture(_png(Image.fromarray(sheet_HW, mode="P"), palette_C3, opacity_C), scale.range)


def _upright(index_HW: IndexArray, place: Place) -> IndexArray:
    """Row 0 on top; a curve as a strip, all rows of which are the same."""
    if place.spec.is_curve:
        return np.tile(index_HW, (place.rows, 1))
    return np.ascontiguousarray(index_HW[::-1])


def _scale(boundary: BoundaryGrid, classes: int, transparent: bool) -> _Scale:
    k = boundary.class_index
    if boundary.response == "label":
        return _Scale(palette.of_classes(classes), np.full(classes, LABEL_OPACITY), None)
    if boundary.response == "entropy":
        dark = np.array(palette.DARK, np.uint8)
        return _between(None, dark, (0.0, math.log2(classes)), transparent)
    if k is None:  # the activation of a unit
        return _even_scale(boundary.grid.values_HW, _class(0), _class(1), transparent)
    other = _class(1 - k) if classes == 2 else None
    if boundary.response == "probability":
        return _between(other, _class(k), (0.0, 1.0), transparent)
    others = np.array(palette.OTHERS, np.uint8) if other is None else other
    return _even_scale(boundary.grid.values_HW, others, _class(k), transparent)


def _class(k: int) -> Colours:
    own: Colours = palette.of_classes(k + 1)[k]
    return own


def _even_scale(values: Values, low: Colours, high: Colours, transparent: bool) -> _Scale:
    """As wide as the value of the greatest size; of values that are all next to nothing, from -1 to 1."""
    greatest = float(max(values.max(), -values.min()))
    most = greatest if greatest > LEAST_RANGE else 1.0
    return _between(low, high, (-most, most), transparent)


def _between(low: Colours | None, high: Colours, values: tuple[float, float], transparent: bool) -> _Scale:
    if transparent:
        return _Scale(*palette.veil(low, high, steps=STEPS), values)
    return _Scale(palette.scale(low, high, steps=STEPS), np.ones(STEPS), values)


def _drawn(index_HW: IndexArray, overlay: Overlay, place: Place, line: int) -> Image.Image:
    """The picture with what is drawn over it: in the colours `line`, after it the points' edge, then the classes."""
    image = Image.fromarray(index_HW, mode="P")
    if overlay.lines:
        _draw_lines(image, overlay.lines, place.spec, line)
    if overlay.points is None:
        return image
    index_HW = np.array(image)
    _draw_points(index_HW, overlay.points, place.spec, edge=line + 1)
    return Image.fromarray(index_HW, mode="P")


def _draw_lines(image: Image.Image, lines: Sequence[Line], spec: GridSpec, colour: int) -> None:
    """One pixel wide, in pictures of 600 and more two and so on."""
    pen = ImageDraw.Draw(image)
    thickness = max(1, round(min(image.size) / 400))
    for line in lines:
        pen.line(_pixels(line.xy_V2, spec, image.size).ravel().tolist(), fill=colour, width=thickness)


def _draw_points(index_HW: IndexArray, points: LabelledPoints, spec: GridSpec, *, edge: int) -> None:
    """Each as a disc with an edge one pixel wide, later points over earlier ones; none whose centre is outside."""
    height, width = index_HW.shape
    radius = min(max(round(min(height, width) / 200), 2), 5)
    reach = np.arange(-radius - 1, radius + 2)
    row_M, column_M = (offset.ravel() for offset in np.meshgrid(reach, reach, indexing="ij"))
    distance_M = np.hypot(row_M, column_M)
    disc_M = distance_M < radius + 1.4  # rounder than whole radii
    row_M, column_M, inner_M = row_M[disc_M], column_M[disc_M], distance_M[disc_M] < radius + 0.4
    for start in range(0, len(points.xy_ND), POINTS_AT_ONCE):
        some = slice(start, start + POINTS_AT_ONCE)
        place_N2 = np.round(_pixels(points.xy_ND[some].astype(np.float64), spec, (width, height)))
        inside_N = ((place_N2 >= 0) & (place_N2 < (width, height))).all(axis=1)
        place_N2 = place_N2[inside_N].astype(np.int64)
        colour_N = edge + 1 + points.label_N[some][inside_N]
        row_NM, column_NM = place_N2[:, 1:] + row_M, place_N2[:, :1] + column_M
        colour_NM = np.where(inner_M, colour_N[:, None], edge)
        seen_NM = (row_NM >= 0) & (row_NM < height) & (column_NM >= 0) & (column_NM < width)
        index_HW[row_NM[seen_NM], column_NM[seen_NM]] = colour_NM[seen_NM]


def _pixels(xy_V2: DoubleArray, spec: GridSpec, size: tuple[int, int]) -> DoubleArray:
    """Column and row (V, 2), from the top, of places in data units; whole numbers are the centres of pixels."""
    assert spec.y_min is not None
    assert spec.y_max is not None
    width, height = size
    column_V = (xy_V2[:, 0] - spec.x_min) / (spec.x_max - spec.x_min) * (width - 1)
    row_V = (spec.y_max - xy_V2[:, 1]) / (spec.y_max - spec.y_min) * (height - 1)
    return np.column_stack([column_V, row_V])


def _png(image: Image.Image, palette_C3: Colours, opacity_C: DoubleArray | None) -> bytes:
    """The file. Colours beyond those that have an opacity are opaque; without any, all are."""
    image.putpalette(palette_C3.tobytes())
    alpha = {} if opacity_C is None else {"transparency": np.round(255 * opacity_C).astype(np.uint8).tobytes()}
    file = io.BytesIO()
    image.save(file, "png", compress_level=1, **alpha)  # a palette's picture is small even so, and three times as fast
    return file.getvalue()
