"""Labelled points: made by a seeded generator, or given."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.limits import (
    MAX_CLASSES,
    MAX_COORDINATE,
    MAX_FEATURES,
    MAX_LABEL_LENGTH,
    MAX_LABEL_NUMBER,
    MAX_POINTS,
)
from models.specs import (
    DATASET_NAMES,
    DEFAULT_NOISE,
    MANY_CLASS_DATASETS,
    DatasetName,
    DatasetSpec,
    InvalidInput,
)

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
Label = int | str


@dataclass(frozen=True)
class LabelledPoints:
    """Points and their classes.

    Attributes:
        xy_ND: float32 (N, D), finite.
        label_N: int64 (N,), the index of each point's class in `classes`.
        classes: the label of each class, integers or strings, in ascending order unless a generator names them.
    """

    xy_ND: FloatArray
    label_N: IntArray
    classes: tuple[Label, ...]

    @property
    def features(self) -> int:
        """Coordinates of a point."""
        return int(self.xy_ND.shape[1])

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of shape, coordinates, labels and class names: equal data have equal digests."""
        header = json.dumps({"shape": self.xy_ND.shape, "classes": self.classes})
        parts = (header.encode(), self.xy_ND.tobytes(), self.label_N.tobytes())
        return hashlib.sha256(b"".join(parts)).hexdigest()


DESCRIPTIONS: dict[DatasetName, str] = {
    "flower": "Two classes on the petals of a flower of radius 4, as in the tutorial.",
    "circles": "A ring (class 0) around a smaller ring (class 1).",
    "moons": "Two interleaved half circles.",
    "xor": "The square cut in four: class 1 where the signs of x and y differ.",
    "spirals": "Two or more arms that wind around the origin.",
    "gaussians": "Two or more round clouds, their centres evenly on a circle of radius 2.",
}


def describe(name: DatasetName) -> dict[str, Any]:
    """What a generator makes, and its defaults, as JSON can hold it."""
    return {
        "name": name,
        "description": DESCRIPTIONS[name],
        "features": 2,
        "classes": list(_class_names(DatasetSpec(dataset=name))),
        "max_classes": MAX_CLASSES if name in MANY_CLASS_DATASETS else 2,
        "defaults": {"n": 400, "noise": DEFAULT_NOISE[name], "seed": 1},
    }


def catalogue() -> list[dict[str, Any]]:
    """`describe` of every generator."""
    return [describe(name) for name in DATASET_NAMES]


def generate(spec: DatasetSpec) -> LabelledPoints:
    """The points of a generated data set; the same specification gives the same points, to the bit.

    The points of each class stand together, the classes in order, as in the tutorial.
    """
    counts = [len(part) for part in np.array_split(np.arange(spec.n), spec.classes)]
    xy_ND = _GENERATORS[spec.dataset](spec, counts)
    label_N = np.repeat(np.arange(spec.classes, dtype=np.int64), counts)
    return LabelledPoints(xy_ND.astype(np.float32), label_N, _class_names(spec))


def from_rows(rows: Sequence[Sequence[float]], labels: Sequence[Label]) -> LabelledPoints:
    """Points and labels that somebody gave, checked.

    Raises:
        InvalidInput: too few or too many, ragged, not finite in float32, or with labels that do not fit.
    """
    xy_ND = points_array(rows, field="data.points")
    if len(labels) != len(xy_ND):
        raise InvalidInput("data.labels", f"{len(labels)} labels for {len(xy_ND)} points")
    if len(xy_ND) > MAX_POINTS:
        raise InvalidInput("data.points", f"at most {MAX_POINTS:,} points")
    classes = _classes_of(labels)
    index = {label: i for i, label in enumerate(classes)}
    return LabelledPoints(xy_ND, np.array([index[label] for label in labels], dtype=np.int64), classes)


def points_array(rows: Sequence[Sequence[float]], *, field: str = "points") -> FloatArray:
    """Rows of numbers as a float32 array of shape (N, D), N >= 1, D >= 1.

    Raises:
        InvalidInput: no rows, rows of unequal length, or a value that is not a finite float32 within bounds.
    """
    if not len(rows) or not len(rows[0]):
        raise InvalidInput(field, "must hold at least one point of at least one coordinate")
    if len(rows[0]) > MAX_FEATURES:
        raise InvalidInput(f"{field}.0", f"at most {MAX_FEATURES:,} coordinates")
    try:
        wide_ND = np.array(rows, dtype=np.float64)
    except ValueError:
        raise _ragged(rows, field) from None
    return bounded(wide_ND, field=field)


def bounded(xy_ND: npt.NDArray[np.floating], *, field: str = "points") -> FloatArray:
    """Points as float32, C order, once each number of them is known to be within bounds.

    Raises:
        InvalidInput: one is not.
    """
    # not (<=) rather than (>): NaN compares false both ways
    outside_ND = ~(np.abs(xy_ND) <= MAX_COORDINATE)
    if outside_ND.any():
        row, column = np.argwhere(outside_ND)[0]
        raise InvalidInput(
            f"{field}.{row}.{column}", f"must be a number between -{MAX_COORDINATE} and {MAX_COORDINATE}"
        )
    return np.ascontiguousarray(xy_ND, dtype=np.float32)


def split(points: LabelledPoints, *, fraction: float, seed: int) -> tuple[LabelledPoints, LabelledPoints | None]:
    """Training points and, if `fraction` is not 0, validation points: that share of each class, drawn by `seed`.

    Every class keeps at least one training point, and points keep their order.

    Raises:
        InvalidInput: the fraction of these points is not a single one.
    """
    if fraction == 0:
        return points, None
    rng = np.random.default_rng(seed)
    held_out_N = np.zeros(len(points.label_N), dtype=bool)
    for k in range(len(points.classes)):
        members = np.flatnonzero(points.label_N == k)
        count = min(round(fraction * len(members)), len(members) - 1)
        held_out_N[rng.permutation(members)[:count]] = True
    if not held_out_N.any():
        raise InvalidInput("training.validation_fraction", "leaves no point to validate on")
    return _subset(points, ~held_out_N), _subset(points, held_out_N)


def _subset(points: LabelledPoints, chosen_N: npt.NDArray[np.bool_]) -> LabelledPoints:
    return LabelledPoints(points.xy_ND[chosen_N], points.label_N[chosen_N], points.classes)


def _ragged(rows: Sequence[Sequence[float]], field: str) -> InvalidInput:
    first = len(rows[0])
    for i, row in enumerate(rows):
        if len(row) != first:
            return InvalidInput(f"{field}.{i}", f"has {len(row)} coordinates, the first point has {first}")
    return InvalidInput(field, "must be rows of numbers")


def _classes_of(labels: Sequence[Label]) -> tuple[Label, ...]:
    kinds = {type(label) for label in labels}
    if kinds not in ({int}, {str}):
        raise InvalidInput("data.labels", "must be all integers or all strings")
    classes = sorted(set(labels))  # one type only, checked above
    for label in classes:
        if isinstance(label, str) and not 1 <= len(label) <= MAX_LABEL_LENGTH:
            raise InvalidInput("data.labels", f"a label must have 1 to {MAX_LABEL_LENGTH} characters")
        if isinstance(label, str) and not _encodes(label):
            raise InvalidInput("data.labels", "a label must be Unicode text")
        if isinstance(label, int) and abs(label) > MAX_LABEL_NUMBER:
            raise InvalidInput("data.labels", f"a label must be between -{MAX_LABEL_NUMBER} and {MAX_LABEL_NUMBER}")
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise InvalidInput("data.labels", f"must name 2 to {MAX_CLASSES} different classes, these name {len(classes)}")
    return tuple(classes)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _class_names(spec: DatasetSpec) -> tuple[Label, ...]:
    return ("red", "blue") if spec.dataset == "flower" else tuple(range(spec.classes))


def _flower(spec: DatasetSpec, counts: list[int]) -> DoubleArray:
    # The legacy generator on purpose, and t drawn before r: with the defaults these are the tutorial's own points.
    rng = np.random.RandomState(spec.seed)
    petals = []
    for j, count in enumerate(counts):
        t_N = np.linspace(j * 3.12, (j + 1) * 3.12, count) + rng.rand(count) * spec.noise_level
        r_N = 4 * np.sin(4 * t_N) + rng.rand(count) * spec.noise_level
        petals.append(np.c_[r_N * np.sin(t_N), r_N * np.cos(t_N)])
    return np.concatenate(petals)


def _circles(spec: DatasetSpec, counts: list[int]) -> DoubleArray:
    rings = [radius * _on_circle(count) for radius, count in zip((1.0, 0.5), counts, strict=True)]
    return _jittered(np.concatenate(rings), spec)


def _moons(spec: DatasetSpec, counts: list[int]) -> DoubleArray:
    upper, lower = (np.linspace(0, np.pi, count) for count in counts)
    moons = (np.c_[np.cos(upper), np.sin(upper)], np.c_[1 - np.cos(lower), 0.5 - np.sin(lower)])
    return _jittered(np.concatenate(moons), spec)


def _xor(spec: DatasetSpec, counts: list[int]) -> DoubleArray:
    rng = np.random.default_rng((spec.seed, 1))  # apart from the noise's generator
    side_ND = rng.uniform(0, 1, (spec.n, 2))
    sign_N = rng.choice((-1.0, 1.0), spec.n)
    other_N = np.repeat((1.0, -1.0), counts)  # class 0 where the signs agree, class 1 where they differ
    corners_ND: DoubleArray = side_ND * np.c_[sign_N, sign_N * other_N]
    return _jittered(corners_ND, spec)


def _spirals(spec: DatasetSpec, counts: list[int]) -> DoubleArray:
    arms = []
    for j, count in enumerate(counts):
        r_N = np.linspace(0.1, 1, count)
        t_N = 3.5 * np.pi * r_N + 2 * np.pi * j / spec.classes
        arms.append(np.c_[r_N * np.sin(t_N), r_N * np.cos(t_N)])
    return _jittered(np.concatenate(arms), spec)


def _gaussians(spec: DatasetSpec, counts: list[int]) -> DoubleArray:
    return _jittered(np.repeat(2 * _on_circle(spec.classes), counts, axis=0), spec)


def _on_circle(count: int) -> DoubleArray:
    t_N = np.linspace(0, 2 * np.pi, count, endpoint=False)
    xy_ND: DoubleArray = np.column_stack([np.cos(t_N), np.sin(t_N)])
    return xy_ND


def _jittered(xy_ND: DoubleArray, spec: DatasetSpec) -> DoubleArray:
    noise_ND: DoubleArray = np.random.default_rng(spec.seed).normal(0, spec.noise_level, xy_ND.shape)
    return xy_ND + noise_ND


_GENERATORS: dict[DatasetName, Callable[[DatasetSpec, list[int]], DoubleArray]] = {
    "flower": _flower,
    "circles": _circles,
    "moons": _moons,
    "xor": _xor,
    "spirals": _spirals,
    "gaussians": _gaussians,
}
