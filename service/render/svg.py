"""Boundary lines as SVG, `image/svg+xml`: a path for each line, in data units, without a background."""

import html
import re

import orjson

from models.boundary.contours import Line
from models.datasets import DoubleArray
from service.inference import features
from service.inference.grids import BoundaryLines
from service.inference.windows import PlacedWindow
from service.render import palette

MEDIA_TYPE = "image/svg+xml"

STROKE_PX = 2
"""Width of the lines, whatever the size at which the picture is shown."""

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow (section 2.2)."""


def encode(boundary: BoundaryLines) -> bytes:
    """A document whose `viewBox` is the window and whose size is the resolution, in pixels.

    The paths are in a group that is flipped by `scale(1 -1)`, so their coordinates are data units with y up. The
    color of a line is mixed from the colors of its classes, in the shares of their probabilities along it.
    """
    spec = boundary.window.spec
    assert spec.y_min is not None
    assert spec.y_max is not None
    view_box = (spec.x_min, -spec.y_max, spec.x_max - spec.x_min, spec.y_max - spec.y_min)
    classes = ", ".join(map(str, boundary.window.network.card.classes))
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" preserveAspectRatio="none" '
        f'viewBox="{" ".join(map(repr, map(float, view_box)))}" width="{spec.width}" height="{spec.height}">\n'
        f"<title>{_text(boundary.window.network.name)}: decision boundary</title>\n"
        f"<desc>{_text(_place(boundary.window))} Classes: {_text(classes)}.</desc>\n"
        f'<g transform="scale(1 -1)" fill="none" stroke-width="{STROKE_PX}" stroke-linejoin="round">\n'
    )
    return "".join([head, *(_path(boundary, line) for line in boundary.lines), "</g>\n</svg>\n"]).encode()


def _place(window: PlacedWindow) -> str:
    """The axes and the values of the other features, by name if they have names."""
    card = window.network.card
    others = [d for d in range(card.features) if d not in window.axes]
    axes, fixed = (features.names(card, some) or [*map(str, some)] for some in (window.axes, others))
    at = ", ".join(f"{name} = {float(value)!r}" for name, value in zip(fixed, window.at, strict=True))
    return f"Axes: {', '.join(axes)}." + (f" At: {at}." if at else "")


def _path(boundary: BoundaryLines, line: Line) -> str:
    classes = boundary.window.network.card.classes
    names = " | ".join(str(classes[k]) for k in line.classes)
    title = names if boundary.class_index is None else f"{classes[boundary.class_index]}: {line.level}"
    stroke = palette.line_code(len(classes), line, boundary.class_index)
    return (
        f'<path vector-effect="non-scaling-stroke" stroke="{stroke}" d="{_data(line)}">'
        f"<title>{_text(title)}</title></path>\n"
    )


def _data(line: Line) -> str:
    """The path of a line; coordinate pairs that follow the first are connected by straight segments."""
    xy_V2: DoubleArray = line.xy_V2[:-1] if line.closed else line.xy_V2
    pairs = orjson.dumps(xy_V2, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return f"M{pairs[2:-2].replace('],[', ' ')}{'Z' if line.closed else ''}"


def _text(text: str) -> str:
    return html.escape(_NOT_XML.sub("\ufffd", text), quote=False)
