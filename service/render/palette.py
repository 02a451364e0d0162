"""Colours of classes, and of what lies between them, even to the eye.

They are mixed in Oklab, where equal distances look equal (Ottosson 2020, bottosson.github.io/posts/oklab).
"""

import numpy as np
import numpy.typing as npt

from models.datasets import DoubleArray

Colours = npt.NDArray[np.uint8]
"""sRGB, (C, 3)."""

TUTORIAL = ((0xC8, 0x37, 0x2D), (0x2F, 0x6F, 0xB3))
"""Red and blue, as the tutorial draws its two classes."""

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
"""Between the hues of classes that follow each other, in radians: no two of them ever come to lie close."""

LIGHTNESS, CHROMA = 0.65, 0.12
"""Of further classes, in Oklab: about as light and as vivid as the tutorial's."""

DARK = (0x5B, 0x2E, 0x8C)
"""Where all classes are equally probable: the dark end of a scale of entropy, a violet."""

OTHERS = (0x5E, 0x5E, 0x5E)
"""A grey for all other classes together, on a scale of one class's logit."""

PALE = 0.97
"""Lightness of the middle of a scale, where neither side is likelier."""

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


def of_classes(count: int) -> Colours:
    """A colour for each class: the tutorial's two, then hues of their own."""
    hues_C = GOLDEN_ANGLE * np.arange(count)
    lab_C3 = np.column_stack([np.full(count, LIGHTNESS), CHROMA * np.cos(hues_C), CHROMA * np.sin(hues_C)])
    colours_C3 = _rgb(lab_C3)
    colours_C3[: len(TUTORIAL)] = TUTORIAL[:count]
    return colours_C3


def scale(low: Colours | None, high: Colours, *, steps: int) -> Colours:
    """Colours (steps, 3) from `low` over a pale grey to `high`, or from the grey on without a `low`; (3,) each."""
    grey = np.array([PALE, 0.0, 0.0])
    knots = [grey, _lab(high)] if low is None else [_lab(low), grey, _lab(high)]
    places = np.linspace(0, len(knots) - 1, steps)
    columns = [np.interp(places, np.arange(len(knots)), column) for column in np.transpose(knots)]
    return _rgb(np.column_stack(columns))


def veil(low: Colours | None, high: Colours, *, steps: int) -> tuple[Colours, DoubleArray]:
    """`scale` for what lies under it to show through: the end's colour alone, and opacities (steps,) from 0 to 1.

    They are 0 where the scale has its grey and rise evenly to 1 at its ends.
    """
    if low is None:
        return np.tile(high, (steps, 1)), np.linspace(0, 1, steps)
    places = np.linspace(-1, 1, steps)
    return np.where(places[:, None] < 0, low, high), np.abs(places)


def hexadecimal(colours: Colours) -> list[str]:
    """`#rrggbb` for each."""
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colours.tolist()]


def _lab(colour: Colours) -> DoubleArray:
    value = colour / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    lab: DoubleArray = _LAB_OF_CONE @ np.cbrt(_CONE_OF_RGB @ linear)
    return lab


def _rgb(lab_C3: DoubleArray) -> Colours:
    cone_C3 = (lab_C3 @ np.linalg.inv(_LAB_OF_CONE).T) ** 3
    linear = np.clip(cone_C3 @ np.linalg.inv(_CONE_OF_RGB).T, 0, 1)
    value = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * value).astype(np.uint8)
