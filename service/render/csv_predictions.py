"""Predictions as CSV, `text/csv`: a heading, then a line for each point. Quoting as in RFC 4180, lines end with LF."""

from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import orjson

from models.boundary.certified.nearest import Nearest
from models.checkpoints.cards import Card
from models.datasets import Label, PointArray
from service.render.csv_cells import quoted

MEDIA_TYPE = "text/csv"

Column = npt.NDArray[np.generic] | Nearest
"""One output of every point."""


def encode(card: Card, xy_ND: PointArray, columns: Mapping[str, Column]) -> bytes:
    """The points, and the outputs for each of them.

    A number has the fewest digits that restore the same float64, or float32 for outputs; whole numbers have no point. A
    label is the class itself. Nearest changes become the coordinates of the point, its distance and its bound, of which
    all but the bound are empty where no other label was found.

    Args:
        card: of the version that answered.
        xy_ND: the points.
        columns: by the name of the output, as `POST /predict` has it.
    """
    names = [*(card.feature_names or (f"x{d + 1}" for d in range(card.features)))]
    lines = [_rows(xy_ND)]
    headings = list(names)
    for output, column in columns.items():
        added = _headings(output, column, names, card.classes)
        headings += [unlike(name, headings) for name in added]
        if isinstance(column, Nearest):
            lines.append(_nearest(column))
        elif output == "labels":
            labels = [_line([label]) for label in card.classes]
            lines.append(map(labels.__getitem__, column.tolist()))
        else:
            lines.append(_rows(column if column.ndim == 2 else column[:, np.newaxis]))
    body = b"\n".join(map(b",".join, zip(*lines, strict=True)))
    return _line(headings) + b"\n" + body + b"\n"


def _headings(output: str, column: object, names: list[str], classes: tuple[Label, ...]) -> list[str]:
    """The headings of the columns of an output."""
    match output:
        case "labels":
            return ["label"]
        case "probabilities":
            return [f"p({label})" for label in classes]
        case "spread":
            return [f"spread({label})" for label in classes]
        case "logits" if isinstance(column, np.ndarray) and column.shape[1] == 1:
            return [f"logit({classes[1]})"]
        case "logits":
            return [f"logit({label})" for label in classes]
        case "nearest":
            return [*(f"nearest({name})" for name in names), "distance", "at_least"]
        case "outside_training_range":
            return [output]
    return ["margin"]


def unlike(name: str, taken: Collection[str]) -> str:
    """A heading that no feature has."""
    while name in taken:
        name = f"predicted {name}"
    return name


def _rows(values_NC: npt.NDArray[np.generic]) -> Iterator[bytes]:
    """The cells of each line."""
    text = orjson.dumps(np.ascontiguousarray(values_NC), option=orjson.OPT_SERIALIZE_NUMPY)
    for row in text[2:-2].split(b"],["):
        yield (row + b",").replace(b".0,", b",")[:-1]


def _nearest(nearest: Nearest) -> Iterator[bytes]:
    found_N = np.isfinite(nearest.distance_N)
    points = _rows(np.where(found_N[:, np.newaxis], nearest.xy_N2, 0.0))
    distances = _rows(np.where(found_N, nearest.distance_N, 0.0)[:, np.newaxis])
    bounds = _rows(nearest.bound_N[:, np.newaxis])
    nothing = b"," * nearest.xy_N2.shape[1]
    for is_found, point, distance, bound in zip(found_N.tolist(), points, distances, bounds, strict=True):
        yield b",".join([point, distance, bound]) if is_found else nothing + b"," + bound


def _line(cells: Iterable[object]) -> bytes:
    return ",".join(quoted(str(cell)) for cell in cells).encode()
