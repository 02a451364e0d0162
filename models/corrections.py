"""Corrections: training points with other labels, and new points."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.datasets import IntArray, Label, LabelledPoints, PointArray, class_indices, stored_type
from models.limits import MAX_POINTS
from models.specs import InvalidInput
from models.wording import listed


@dataclass(frozen=True)
class Corrected:
    """Training points with corrections.

    Attributes:
        points: the points without corrections in their order, and then the corrected ones, `repeat` times in a row.
        relabelled: number of corrected points that had another label.
        confirmed: number of those that had this label already.
        added: number of those that are new.
        repeat: how often each corrected point is among the points.
    """

    points: LabelledPoints
    relabelled: int
    confirmed: int
    added: int
    repeat: int

    @property
    def count(self) -> int:
        """Number of corrected points."""
        return self.relabelled + self.confirmed + self.added


def corrected_part(points: LabelledPoints, count: int, repeat: int) -> LabelledPoints:
    """The `count` corrected points, each once, of `Corrected.points`."""
    start = len(points.label_N) - count * repeat
    chosen = slice(start, start + count)
    return replace(points, xy_ND=points.xy_ND[chosen], label_N=points.label_N[chosen])


def corrected(points: LabelledPoints, xy_MD: PointArray, labels: Sequence[Label], *, repeat: int) -> Corrected:
    """Applies corrections to training points.

    A correction replaces all training points with its coordinates, as they are stored. The same correction twice counts
    once.

    Args:
        points: the training points.
        xy_MD: the coordinates of the corrections, (M, D).
        labels: the M right labels, among the classes of `points`.
        repeat: how often each corrected point becomes a training point, from 1.

    Raises:
        InvalidInput: a label is none of the classes, two corrections contradict each other, or there are too many
            points.
    """
    label_M = _class_indices(points, xy_MD, labels)
    rounded_MD = xy_MD.astype(np.float32) if points.xy_ND.dtype == np.float32 else xy_MD.astype(np.float64)
    label_of: dict[bytes, int] = {}
    first: list[int] = []
    for i, (key, label) in enumerate(zip(_keys(rounded_MD), label_M.tolist(), strict=True)):
        if key not in label_of:
            first.append(i)
            label_of[key] = label
        elif label_of[key] != label:
            raise InvalidInput(
                f"labels.{i}", "must be the label of the equal point before it: leave out one of the two points"
            )
    before: dict[bytes, set[int]] = {}
    is_kept_N = np.ones(len(points.label_N), dtype=bool)
    for n, (key, label) in enumerate(zip(_keys(points.xy_ND), points.label_N.tolist(), strict=True)):
        if key in label_of:
            is_kept_N[n] = False
            before.setdefault(key, set()).add(label)
    confirmed = sum(labels_before == {label_of[key]} for key, labels_before in before.items())
    total = int(is_kept_N.sum()) + len(first) * repeat
    if total > MAX_POINTS:
        raise InvalidInput("points", f"must be fewer: {total:,} training points, at most {MAX_POINTS:,} are allowed")
    wide_ND = np.concatenate([points.xy_ND[is_kept_N], np.tile(xy_MD[first], (repeat, 1))], dtype=np.float64)
    stored_ND: PointArray = wide_ND.astype(stored_type(wide_ND))
    label_N = np.concatenate([points.label_N[is_kept_N], np.tile(label_M[first], repeat)])
    whole = replace(points, xy_ND=stored_ND, label_N=label_N)
    return Corrected(whole, len(before) - confirmed, confirmed, len(first) - len(before), repeat)


def _class_indices(points: LabelledPoints, xy_MD: PointArray, labels: Sequence[Label]) -> IntArray:
    if len(labels) != len(xy_MD):
        raise InvalidInput(
            "labels", f"must have one label for each point, but there are {len(labels)} labels for {len(xy_MD)} points"
        )
    indices = class_indices(labels, points.classes)
    if None in indices:
        classes = listed(map(repr, points.classes))
        raise InvalidInput(f"labels.{indices.index(None)}", f"must be one of the classes of the version: {classes}")
    return np.array(indices, np.int64)


def _keys(xy_ND: PointArray) -> list[bytes]:
    """A key for each point. Equal points have equal keys."""
    return [row_D.tobytes() for row_D in np.ascontiguousarray(xy_ND + 0)]  # + 0: -0.0 equals 0.0
