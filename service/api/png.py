"""Grids as pictures: a pixel a cell, the top row at `y_max`."""

import io

import numpy as np
from PIL import Image

from models import colours
from models.specs import InvalidInput
from service.predictor import BoundaryGrid

MEDIA_TYPE = "image/png"

STEPS = 256
"""Colours of a picture of probabilities: as many as a pixel of one byte can tell."""


def encode(boundary: BoundaryGrid, classes: int, class_index: int | None) -> bytes:
    """The picture: each class in its colour, or how probable a class is, from the other's colour to its own.

    Of more than two classes, from pale grey to the class's own.

    Raises:
        InvalidInput: there is no picture of logits.
    """
    of_classes = colours.of_classes(classes)
    values_HW = boundary.grid.values_HW[::-1]
    if boundary.response == "label":
        return _png(values_HW.astype(np.uint8), of_classes)
    if boundary.response == "logit" or class_index is None:
        raise InvalidInput("response", "a picture shows labels or probabilities")
    other = of_classes[1 - class_index] if classes == 2 else None
    palette = colours.scale(other, of_classes[class_index], steps=STEPS)
    return _png(np.round(values_HW * np.float32(STEPS - 1)).astype(np.uint8), palette)


def _png(index_HW: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", palette: colours.Colours) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(index_HW), mode="P")
    image.putpalette(palette.tobytes())
    file = io.BytesIO()
    image.save(file, "png", compress_level=1)  # a palette's picture is small even so, and three times as fast
    return file.getvalue()
