"""Labelled points: generated, or given and checked."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.feature_names import composed
from models.generators import GENERATORS
from models.limits import (
    MAX_CLASSES,
    MAX_COORDINATE,
    MAX_FEATURES,
    MAX_LABEL_LENGTH,
    MAX_LABEL_NUMBER,
    MAX_NAME_LENGTH,
    MAX_POINTS,
)
from models.specs import (
    DatasetName,
    DatasetSpec,
    InvalidInput,
)

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]
PointArray = FloatArray | DoubleArray
"""Points (N, D), float32 or float64. An input transform turns them into float32."""

Array = npt.NDArray[Any]

BLOCK_VALUES = 2**20
"""Values of a block of rows: 8 MB of float64."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")
"""Control characters that a label cannot have: all but tabs and line breaks, which quotes protect in CSV."""

Label = int | str

FRACTIONS = "must be whole numbers or text: write a number with a fraction as text, if it is a class"
"""The message for labels such as 0.5, which are a quantity in most data."""


def label_text(text: str) -> str:
    """The text of a label: without blanks around it, in Unicode normalization form C."""
    return composed(text.strip())


def class_indices(labels: Iterable[Label], classes: Sequence[Label]) -> list[int | None]:
    """The index of each label among the classes; None for a label that is not a class.

    A label also matches a class of the same text, because CSV does not distinguish the number 1 from the text `1`.
    """
    exact = {label: k for k, label in enumerate(classes)}
    by_text = {label_text(str(label)): k for k, label in enumerate(classes)}
    return [exact[label] if label in exact else by_text.get(label_text(str(label))) for label in labels]


Categories = Mapping[str, tuple[str, ...]]
"""The values of each text column that became features, in the order of these; see `models.categories`."""


@dataclass(frozen=True)
class LabelledPoints:
    """Points and their classes.

    Attributes:
        xy_ND: (N, D), finite: float32, or float64 if float32 is too coarse for them.
        label_N: int64 (N,), the index of each point's class in `classes`.
        classes: the label of each class: integers or strings, in ascending order unless a generator names them.
        feature_names: the name of each coordinate, all different; None if they have no names.
        categories: the values of the text columns among the features.
    """

    xy_ND: PointArray
    label_N: IntArray
    classes: tuple[Label, ...]
    feature_names: tuple[str, ...] | None = None
    categories: Categories = field(default_factory=dict)

    @property
    def features(self) -> int:
        """Number of coordinates of a point."""
        return int(self.xy_ND.shape[1])

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of shape, coordinates, labels and class names. Equal data have equal digests.

        Names of features do not count: they change no result.
        """
        return digest_of(self.xy_ND.shape, self.classes, (self.xy_ND, self.label_N))


def digest_of(shape: tuple[int, ...], classes: tuple[Label, ...], parts: Iterable[Array]) -> str:
    """The digest of points of this shape, whose coordinates and then labels are the `parts`."""
    found = hashlib.sha256(json.dumps({"shape": shape, "classes": classes}).encode())
    for part in parts:
        found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()


def describe(name: DatasetName) -> dict[str, Any]:
    """A generator's description, classes and defaults, as JSON values."""
    generator = GENERATORS[name]
    return {
        "name": name,
        "description": generator.description,
        "features": 2,
        "classes": list(_class_names(DatasetSpec(dataset=name))),
        "max_classes": MAX_CLASSES if generator.many_classes else 2,
        "defaults": {"n": 400, "noise": generator.noise, "seed": 1},
    }


def generate(spec: DatasetSpec) -> LabelledPoints:
    """The points of a generated dataset, class by class as in the tutorial. Equal specifications give equal points."""
    counts = [len(part) for part in np.array_split(np.arange(spec.n), spec.n_classes)]
    xy_ND = GENERATORS[spec.dataset].points(counts, spec.noise_level, spec.seed)
    label_N = np.repeat(np.arange(spec.n_classes, dtype=np.int64), counts)
    return LabelledPoints(xy_ND.astype(np.float32), label_N, _class_names(spec))


def from_rows(
    rows: Sequence[Sequence[float]], labels: Sequence[Label], feature_names: Sequence[str] | None = None
) -> LabelledPoints:
    """Checks points, labels and names of features given by a client.

    Raises:
        InvalidInput: there are too few or too many points, they are ragged or not finite in float32, or the labels or
            names do not fit.
    """
    return labelled(points_array(rows, field="data.points"), labels, feature_names)


def labelled(xy_ND: PointArray, labels: Sequence[Label], feature_names: Sequence[str] | None = None) -> LabelledPoints:
    """Points (N, D) within bounds, and their N labels.

    They are stored as float32, unless a coordinate is far from zero or different points would become equal.

    Raises:
        InvalidInput: there are too many points, or the labels or the names of the features do not fit.
    """
    if len(xy_ND) > MAX_POINTS:
        raise InvalidInput("data.points", f"must contain at most {MAX_POINTS:,} points")
    label_N, classes = numbered(xy_ND, labels, feature_names)
    names = None if feature_names is None else tuple(feature_names)
    stored_ND: PointArray = xy_ND.astype(stored_type(xy_ND), copy=False)
    return LabelledPoints(stored_ND, label_N, classes, names)


def numbered(
    xy_ND: PointArray, labels: Sequence[Label], feature_names: Sequence[str] | None
) -> tuple[IntArray, tuple[Label, ...]]:
    """The number of each label, and the classes, for points of any number.

    Raises:
        InvalidInput: the labels or the names of the features do not fit.
    """
    if len(labels) != len(xy_ND):
        raise InvalidInput(
            "data.labels",
            f"must have one label for each point, but there are {len(labels)} labels for {len(xy_ND)} points",
        )
    if feature_names is not None:
        check_feature_names(feature_names, xy_ND.shape[1])
    classes = _classes_of(labels)
    index = {label: i for i, label in enumerate(classes)}
    return np.array([index[label] for label in labels], dtype=np.int64), classes


def stored_type(xy_ND: PointArray) -> np.dtype[Any]:
    """The type in which points are stored: float32, or float64 if that is too coarse.

    That is so if a coordinate is far from zero, or if different points would become equal.
    """
    is_far = are_far_from_zero(*mean_and_deviation(xy_ND)).any()
    is_too_coarse = is_far or merged_count(xy_ND, lambda block_ND: block_ND.astype(np.float32))
    return np.dtype(np.float64 if is_too_coarse else np.float32)


def points_array(rows: Sequence[Sequence[float]], *, field: str = "points") -> DoubleArray:
    """Rows of numbers as a float64 array of shape (N, D), N >= 1, D >= 1.

    Raises:
        InvalidInput: there are no rows, rows have different lengths, or a value is not finite or out of bounds.
    """
    if not len(rows) or not len(rows[0]):
        raise InvalidInput(field, "must contain at least one point with at least one coordinate")
    if len(rows[0]) > MAX_FEATURES:
        raise InvalidInput(f"{field}.0", f"must have at most {MAX_FEATURES:,} coordinates")
    try:
        wide_ND = np.array(rows, dtype=np.float64)
    except ValueError:
        raise _ragged(rows, field) from None
    bounded(wide_ND, field=field)
    return wide_ND


def bounded(xy_ND: npt.NDArray[np.floating], *, field: str = "points") -> PointArray:
    """Checks that the coordinates of points (N, D), or of one point (D,), are within bounds.

    Returns them in C order, as float32 or float64.

    Raises:
        InvalidInput: a coordinate is out of bounds or NaN.
    """
    # not (<=) instead of (>), because all comparisons with NaN are false
    outside_ND = ~(np.abs(xy_ND) <= MAX_COORDINATE)
    if outside_ND.any():
        place = ".".join(str(index) for index in np.argwhere(outside_ND)[0])
        raise InvalidInput(f"{field}.{place}", f"must be a number between -{MAX_COORDINATE} and {MAX_COORDINATE}")
    if xy_ND.dtype.itemsize > 4:
        return np.ascontiguousarray(xy_ND, np.float64)
    return np.ascontiguousarray(xy_ND, np.float32)


def hashes(
    xy_ND: PointArray, rounded: Callable[[PointArray], PointArray] = lambda block_ND: block_ND
) -> npt.NDArray[np.uint64]:
    """A hash of each point after rounding, uint64 (N,). Equal points have equal hashes. Takes little memory."""
    return np.concatenate([_hashes(rounded(block_ND)) for block_ND in blocks(xy_ND)])


def _hashes(xy_ND: PointArray) -> npt.NDArray[np.uint64]:
    hash_N = np.zeros(len(xy_ND), dtype=np.uint64)
    for x_N in xy_ND.T:
        bits_N = (x_N.astype(np.float64) + 0.0).view(np.uint64)  # + 0.0: -0.0 equals 0.0
        hash_N = (hash_N ^ bits_N ^ (bits_N >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
        hash_N ^= hash_N >> np.uint64(29)
    return hash_N


def merged_count(xy_ND: PointArray, rounded: Callable[[PointArray], PointArray]) -> int:
    """How many distinct points rounding merges with others."""
    return len(np.unique(hashes(xy_ND))) - len(np.unique(hashes(xy_ND, rounded)))


FAR_RATIO = 1_000.0
"""A coordinate is far from zero if its mean is more than this many standard deviations away from it. In float32, nearer
coordinates keep at least three decimal digits of their deviation."""

MIN_DEVIATION = 1e-30
"""A coordinate with a smaller standard deviation counts as constant: its weights would overflow float32."""


def mean_and_deviation(xy_ND: PointArray) -> tuple[DoubleArray, DoubleArray]:
    """The mean and the standard deviation of each coordinate, float64 (D,) each. A constant has the deviation 1."""
    count = len(xy_ND)
    mean_D = sum(block_ND.astype(np.float64).sum(axis=0) for block_ND in blocks(xy_ND)) / count
    variance_D = sum(np.square(block_ND - mean_D).sum(axis=0) for block_ND in blocks(xy_ND)) / count
    deviation_D = np.sqrt(variance_D)
    return mean_D, np.where(deviation_D > MIN_DEVIATION, deviation_D, 1.0)


def blocks(xy_ND: PointArray) -> Iterator[PointArray]:
    """Consecutive rows, some at a time, so that computing with them takes little memory."""
    rows = max(1, BLOCK_VALUES // xy_ND.shape[1])
    for start in range(0, len(xy_ND), rows):
        yield xy_ND[start : start + rows]


def are_far_from_zero(mean_D: DoubleArray, deviation_D: DoubleArray) -> npt.NDArray[np.bool_]:
    """Which coordinates are so far from zero that float32 is too coarse for their differences: (D,)."""
    far_D: npt.NDArray[np.bool_] = np.abs(mean_D) > FAR_RATIO * deviation_D
    return far_D


def split(points: LabelledPoints, *, fraction: float, seed: int) -> tuple[LabelledPoints, LabelledPoints | None]:
    """Splits points into training and validation points: `fraction` of each class, drawn with `seed`, is held out.

    Every class keeps at least one training point, and the order of points is kept. There are no validation points if
    `fraction` is 0.

    Raises:
        InvalidInput: the fraction is so small that no point would be held out.
    """
    if fraction == 0:
        return points, None
    held_out_N = held_out(points, fraction=fraction, seed=seed)
    if not held_out_N.any():
        raise InvalidInput("training.validation_fraction", "must be larger: no point would be left for validation")
    return subset(points, ~held_out_N), subset(points, held_out_N)


def held_out(points: LabelledPoints, *, fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which points `split` takes for validation, bool (N,)."""
    held_out_N = np.zeros(len(points.label_N), dtype=bool)
    if fraction == 0:
        return held_out_N
    rng = np.random.default_rng(seed)
    for k in range(len(points.classes)):
        members = np.flatnonzero(points.label_N == k)
        count = min(round(fraction * len(members)), len(members) - 1)
        held_out_N[rng.permutation(members)[:count]] = True
    return held_out_N


def subset(points: LabelledPoints, chosen_N: npt.NDArray[np.bool_]) -> LabelledPoints:
    """The points where `chosen_N` is true. They keep all classes, also those that none of them belongs to."""
    return replace(points, xy_ND=points.xy_ND[chosen_N], label_N=points.label_N[chosen_N])


def _ragged(rows: Sequence[Sequence[float]], field: str) -> InvalidInput:
    first = len(rows[0])
    for i, row in enumerate(rows):
        if len(row) != first:
            return InvalidInput(
                f"{field}.{i}", f"must have the same number of coordinates as the first point: {first}, not {len(row)}"
            )
    return InvalidInput(field, "must be rows of numbers")


def check_feature_names(names: Sequence[str], features: int, *, field: str = "data.feature_names") -> None:
    """Checks the names of features.

    Raises:
        InvalidInput: there are not as many as features, or one is empty, too long, not printable or repeated.
    """
    if len(names) != features:
        raise InvalidInput(field, f"must have one name for each of the {features} coordinates, not {len(names)} names")
    for i, name in enumerate(names):
        if not 1 <= len(name) <= MAX_NAME_LENGTH or not name.isprintable():
            raise InvalidInput(f"{field}.{i}", f"must have 1 to {MAX_NAME_LENGTH} printable characters")
        if name in names[:i]:
            raise InvalidInput(f"{field}.{i}", "must differ from the other names")


def _classes_of(labels: Sequence[Label]) -> tuple[Label, ...]:
    if {type(label) for label in labels} not in ({int}, {str}):
        other = next((i for i, label in enumerate(labels) if type(label) is not type(labels[0])), 0)
        raise InvalidInput(f"data.labels.{other}", "must be all integers or all strings, as the first one is")
    classes = sorted(set(labels))  # all of one type, checked above
    check_classes(classes, field="data.labels")
    return tuple(classes)


def check_classes(classes: Sequence[Label], *, field: str) -> None:
    """Checks the labels of classes, which are all different.

    Raises:
        InvalidInput: there are too few or too many, or one is out of bounds.
    """
    for label in classes:
        if isinstance(label, str) and not 1 <= len(label) <= MAX_LABEL_LENGTH:
            raise InvalidInput(field, f"each must have 1 to {MAX_LABEL_LENGTH} characters")
        if isinstance(label, str) and not _encodes(label):
            raise InvalidInput(field, "each must be Unicode text")
        if isinstance(label, str) and (found := _CONTROL.search(label)):
            raise InvalidInput(
                field, f"each must be text without control characters, but one has {found[0]!r}: remove it"
            )
        if isinstance(label, int) and abs(label) > MAX_LABEL_NUMBER:
            raise InvalidInput(field, f"each must be between -{MAX_LABEL_NUMBER} and {MAX_LABEL_NUMBER}")
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise InvalidInput(field, f"must contain 2 to {MAX_CLASSES} different labels, but contain {len(classes)}")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _class_names(spec: DatasetSpec) -> tuple[Label, ...]:
    return GENERATORS[spec.dataset].class_names or tuple(range(spec.n_classes))
