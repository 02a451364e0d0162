"""The palette: colors of classes, the scales between them, and their mixtures.

Colors are mixed in Oklab, where equal distances look equal (Ottosson 2020, bottosson.github.io/posts/oklab).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.boundary.contours import Line
from models.datasets import DoubleArray

Palette = npt.NDArray[np.uint8]
"""Colors in sRGB, (C, 3), or one, (3,)."""

TUTORIAL = ((0xC8, 0x37, 0x2D), (0x2F, 0x6F, 0xB3))
"""Red and blue, in which the tutorial draws its two classes."""

FURTHER = (
    (0x42, 0x72, 0x06),
    (0x88, 0x37, 0x7A),
    (0x74, 0x75, 0x76),
    (0x00, 0x55, 0x52),
    (0x5A, 0x3B, 0x00),
    (0x5A, 0x3E, 0xC6),
)
"""Colors of the classes after the first two: green, magenta, gray, teal, brown and violet. Any two of the eight also
look different to those who see no red, no green or no blue. A search found them among the colors that stand out from
all regions."""

FIRST_HUE = np.radians(155)
"""Of the ninth class, in Oklab: a green."""

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
"""Between the hues of successive further classes, in radians: it keeps any number of hues apart."""

LIGHTNESS, CHROMA = (0.55, 0.45), 0.12
"""Of further classes, in Oklab: first about as light and as vivid as the tutorial's, then darker."""

HUES_AT_ONCE = 6
"""Successive classes of the same lightness. More hues would look alike."""

CALM_LIGHTNESS, CALM_CHROMA = 0.9, 0.4
"""Of regions below points: their lightness, and the share of chroma that they keep. A point of any class then has a
contrast of at least 3 to 1 with the region of every class, which WCAG 2.2 (1.4.11) requires of graphics."""

DARK = (0x5B, 0x2E, 0x8C)
"""The dark end of the scale of entropy, where all classes are equally probable: a violet."""

OTHERS = (0x5E, 0x5E, 0x5E)
"""All other classes together, on the scale of one class's logit: a gray."""

PALE = 0.97
"""Lightness of the middle of a diverging scale, where neither side is more probable."""

_CONE_OF_RGB = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB_OF_CONE = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def class_palette(count: int) -> Palette:
    """A color for each class: the tutorial's two, six that suit color-blind people too, then distinct hues."""
    fixed = (*TUTORIAL, *FURTHER)
    further_C = np.arange(max(0, count - len(fixed)))
    hue_C = FIRST_HUE + GOLDEN_ANGLE * further_C
    lightness_C = np.array(LIGHTNESS)[further_C // HUES_AT_ONCE % len(LIGHTNESS)]
    further_C3 = _rgb(np.column_stack([lightness_C, CHROMA * np.cos(hue_C), CHROMA * np.sin(hue_C)]))
    return np.concatenate([np.array(fixed[:count], np.uint8), further_C3])


def class_codes(count: int) -> list[str]:
    """The color of each class, `#rrggbb`."""
    return hex_codes(class_palette(count))


def line_code(count: int, line: Line, class_index: int | None) -> str:
    """The color of a boundary line, `#rrggbb`: its classes' colors in the shares of their probabilities along it.

    Args:
        count: the number of classes.
        line: the line.
        class_index: the class whose probability its level is.
    """
    shares = [1 / len(line.classes)] * len(line.classes)
    if line.level is not None and len(line.classes) == 2:
        shares = [line.level if k == class_index else 1 - line.level for k in line.classes]
    (code,) = hex_codes(mixture(class_palette(count)[list(line.classes)], shares)[None])
    return code


def calm(palette_C3: Palette) -> Palette:
    """The same hues, light and pale, for regions below points."""
    lab_C3 = _lab(palette_C3)
    calm_C3 = np.column_stack([np.full(len(lab_C3), CALM_LIGHTNESS), CALM_CHROMA * lab_C3[:, 1:]])
    return _rgb(calm_C3)


def faded(palette_C3: Palette, opacity: float) -> Palette:
    """The colors mixed with the pale gray; an opacity of 1 leaves them as they are."""
    return _rgb(opacity * _lab(palette_C3) + (1 - opacity) * np.array([PALE, 0.0, 0.0]))


def opaque_scale(low: Palette | None, high: Palette, *, steps: int) -> Palette:
    """A diverging scale from `low` over a pale gray to `high`, or without `low` a sequential one from the gray.

    Returns:
        The scale's colors, (steps, 3).
    """
    gray = np.array([PALE, 0.0, 0.0])
    knots = [gray, _lab(high)] if low is None else [_lab(low), gray, _lab(high)]
    places = np.linspace(0, len(knots) - 1, steps)
    columns = [np.interp(places, np.arange(len(knots)), column) for column in np.transpose(knots)]
    return _rgb(np.column_stack(columns))


def transparent_scale(low: Palette | None, high: Palette, *, steps: int) -> tuple[Palette, DoubleArray]:
    """`opaque_scale` with transparency in place of the gray, so that what is below the picture shows through.

    Returns:
        The scale's colors, (steps, 3), each equal to that of its end; and their opacities, (steps,), which rise evenly
        from 0 in place of the gray to 1 at the ends.
    """
    if low is None:
        return np.tile(high, (steps, 1)), np.linspace(0, 1, steps)
    places = np.linspace(-1, 1, steps)
    return np.where(places[:, None] < 0, low, high), np.abs(places)


def mixture(palette_C3: Palette, shares: Sequence[float]) -> Palette:
    """One color, (3,), from several in shares that sum to 1."""
    lab_3 = sum((share * _lab(one_3) for share, one_3 in zip(shares, palette_C3, strict=True)), start=np.zeros(3))
    mixed: Palette = _rgb(lab_3[None])[0]
    return mixed


def hex_codes(palette_C3: Palette) -> list[str]:
    """`#rrggbb` for each color."""
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in palette_C3.tolist()]


def _lab(palette_C3: Palette) -> DoubleArray:
    """Colors, or one color, in Oklab."""
    value = palette_C3 / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    lab_C3: DoubleArray = np.cbrt(linear @ _CONE_OF_RGB.T) @ _LAB_OF_CONE.T
    return lab_C3


def _rgb(lab_C3: DoubleArray) -> Palette:
    cone_C3 = (lab_C3 @ np.linalg.inv(_LAB_OF_CONE).T) ** 3
    linear = np.clip(cone_C3 @ np.linalg.inv(_CONE_OF_RGB).T, 0, 1)
    value = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * value).astype(np.uint8)
