"""Pages of points as JSON, CSV or `.npy`, with the fewest digits that restore the numbers exactly."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from models.datasets import Label, LabelledPoints
from models.limits import MAX_ANSWER_VALUES
from service.http.bodies import request_body
from service.http.content_negotiation import Format
from service.render import csv_cells, npy

JSON = Format("json", request_body.JSON)
CSV = Format("csv", csv_cells.MEDIA_TYPE)
NPY = Format("npy", npy.MEDIA_TYPE)

FORMATS = (JSON, CSV, NPY)


@dataclass(frozen=True)
class PointsPage:
    """Some points of a dataset.

    Attributes:
        dataset: the name of the dataset.
        points: the points of the page.
        total: the number of points of the whole dataset.
        offset: how many of them precede the page.
    """

    dataset: str
    points: LabelledPoints
    total: int
    offset: int

    @property
    def has_more(self) -> bool:
        """Whether points follow."""
        return self.offset + len(self.points.xy_ND) < self.total

    @property
    def labels(self) -> list[Label]:
        """The label of each point."""
        return [self.points.classes[k] for k in self.points.label_N.tolist()]

    def encode(self, kind: Format, array: str) -> bytes:
        """The page in one of the `FORMATS`. `array` says what an `.npy` file holds: `points` or `labels`."""
        if kind is JSON:
            return self._json()
        return self._csv() if kind is CSV else self._npy(array)

    def _json(self) -> bytes:
        points = self.points
        content = {
            "object": "points",
            "dataset": self.dataset,
            "feature_names": points.feature_names,
            "classes": points.classes,
            "n_points": self.total,
            "offset": self.offset,
            "has_more": self.has_more,
            "points": points.xy_ND,
            "labels": self.labels,
        }
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)

    def _csv(self) -> bytes:
        points = self.points
        names = points.feature_names or [f"x{d + 1}" for d in range(points.features)]
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, _label_name(names)])
        # orjson writes the fewest digits of a float32, which Python's own floats do not have
        rows = orjson.loads(orjson.dumps(points.xy_ND, option=orjson.OPT_SERIALIZE_NUMPY))
        writer.writerows([*row, label] for row, label in zip(rows, self.labels, strict=True))
        return file.getvalue().encode()

    def _npy(self, array: str) -> bytes:
        if array == "labels":
            return npy.encode(self.points.label_N.astype(np.uint8))
        return npy.encode(np.ascontiguousarray(self.points.xy_ND))


def _label_name(names: Sequence[str]) -> str:
    """A heading for the labels that no feature has."""
    name = "label"
    while name in names:
        name += "_"
    return name


def page_size(limit: int, features: int) -> int:
    """Maximum number of points of a page, if each has this many features."""
    return max(1, min(limit, MAX_ANSWER_VALUES // features))
