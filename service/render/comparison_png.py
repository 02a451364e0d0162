"""Where two versions differ in a window, as PNG: a pixel for each cell, the top row at `y_max`.

A cell is pale where the versions agree, in the hue of the class. Where they differ it has a color of the two classes:
mostly the color of the class that `b` gives.
"""

import io

import numpy as np
from PIL import Image

from models.datasets import IntArray
from service.inference.comparison import WindowComparison
from service.render import palette, png
from service.render.palette import Palette

MEDIA_TYPE = png.MEDIA_TYPE

SHARE_OF_B = 0.85
"""Share of the class of `b` in the color of a cell: the region shows the class of `b`, and still differs from that."""

LINE_OF_A, LINE_OF_B = (0x8A, 0x8A, 0x8A), png.LINE
"""The boundaries of the two versions: `a` gray, `b` dark."""


def encode(comparison: WindowComparison) -> bytes:
    """The picture of a comparison, with the boundary lines that it has."""
    rgb_HW3 = colors(comparison)
    if rgb_HW3.ndim == 2:
        rgb_HW3 = np.tile(rgb_HW3, (comparison.window.rows, 1, 1))
    image = Image.fromarray(np.ascontiguousarray(rgb_HW3[::-1]), mode="RGB")
    for lines, color in ((comparison.lines_a, LINE_OF_A), (comparison.lines_b, LINE_OF_B)):
        png.draw_lines(image, lines, comparison.window.spec, color)
    file = io.BytesIO()
    image.save(file, "png", compress_level=1)
    return file.getvalue()


def colors(comparison: WindowComparison) -> Palette:
    """The color of each cell, uint8 (H, W, 3), row 0 at `y_min`; for a curve (W, 3)."""
    classes = len(comparison.pair.class_K)
    code_HW: IntArray = comparison.label_a_HW * classes + comparison.label_b_HW
    found_P, index_HW = np.unique(code_HW, return_inverse=True)
    table_P3 = np.array([color_of(classes, *divmod(int(code), classes)) for code in found_P], np.uint8)
    rgb_HW3: Palette = table_P3[index_HW.reshape(code_HW.shape)]
    return rgb_HW3


def color_of(classes: int, a: int, b: int) -> Palette:
    """The color, uint8 (3,), of cells that the versions give the classes `a` and `b`."""
    own_C3 = palette.class_palette(classes)
    if a == b:
        calm_3: Palette = palette.calm(own_C3[a : a + 1])[0]
        return calm_3
    return palette.mixture(own_C3[[a, b]], (1 - SHARE_OF_B, SHARE_OF_B))
