"""A table that was read, and the report on it."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models import categories
from models.datasets import Categories, DoubleArray, IntArray, Label, LabelledPoints, blocks, hashes, labelled
from models.wording import listed
from service.tables.collector import Values
from service.tables.columns import Column
from service.tables.labels import alike, merged, near_equal

_MAJORITY = 0.95
_MIN_ROWS_OF_COUNT = 4
_ID_NAMES = ("id", "index", "idx", "nr", "no", "no.", "row", "uuid")
_TIME_NAMES = {"time", "timestamp", "date", "datetime", "datum", "zeit", "ts", "epoch", "unixtime"}
_MIN_ROWS_OF_TIME = 10
_INCREASING = 0.9
"""Minimum share of rows at which a column of times does not decrease. A log may span several days of times."""

_MISSING_MARKS = [99.0, 999.0, 9_999.0, 99_999.0, 999_999.0, 32_767.0, 32_768.0]
"""Absolute values that mark missing values in files of statistics programs and sensors."""

_PADDED = re.compile(r"[+-]?0[0-9]+(?:[.,][0-9]+)?")
"""Numbers such as 01234 and 01.03."""

_MANY_ROWS_OF_CLASS = 8
"""Mean number of rows per class from which a class of one row is suspicious."""

_SHOWN = 12
_MANY_NUMBERS = 30
"""Labels of more different whole numbers look like a quantity."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Points from a file, perhaps with labels.

    Attributes:
        xy_ND: float64 (N, D).
        code_N: the index of each point's label in `labels`; all 0 without a label column.
        labels: the different labels; empty without a label column.
        name: how messages name the table.
        feature_names: the headings of the features, if the file has them or has text columns among them.
        categories: the values of the text columns among the features.
        label_name: the heading of the labels, if there is one.
        understood: one line for each thing that was understood or left out.
        warnings: one line for each thing that may be a mistake.
        left_out: without a label column, the numbers of the rows that were left out for a missing value.
    """

    name: str
    xy_ND: DoubleArray
    code_N: IntArray
    labels: tuple[Label, ...]
    feature_names: tuple[str, ...] | None
    categories: Categories
    label_name: str | None
    understood: tuple[str, ...]
    warnings: tuple[str, ...]
    left_out: tuple[int, ...]

    def points(self) -> LabelledPoints:
        """The points and their classes.

        Raises:
            InvalidInput: see `models.datasets.labelled`.
        """
        points = labelled(self.xy_ND, self.labels_N(), self.feature_names)
        return replace(points, categories=self.categories)

    def labels_N(self) -> list[Label]:  # the capital is the array's dimension
        """The label of each point."""
        return [self.labels[code] for code in self.code_N.tolist()]


def make_table(
    values: Values,
    *,
    name: str,
    label: Column | None,
    label_reason: str | None,
    labels: Sequence[Label],
    notation: str,
    has_names: bool,
    notes: Sequence[str],
    warnings: Sequence[str],
) -> Table:
    """The table of these values.

    Args:
        values: its rows.
        name: of the table.
        label: its column of labels, if there is one.
        label_reason: why the label is that column; None if the labels are no column of a table.
        labels: what each of `values.spellings` is.
        notation: how the file is written.
        has_names: whether the columns have names.
        notes: for the report, after what the values show.
        warnings: for the report, before what the values show.
    """
    features = values.features
    rows = "1 row" if len(values.xy_ND) == 1 else f"{len(values.xy_ND):,} rows"
    report = [
        f"{name}: {rows}, {notation}",
        f"features ({len(features)}): {listed([_short(column) for column in features], _SHOWN)}",
    ]
    found = [*warnings, *_about_features(values.xy_ND, features)]
    different = tuple(dict.fromkeys(labels))
    code_N = values.code_N
    if label:
        code_N = np.array([different.index(one) for one in labels], dtype=np.int64)[code_N]
        counts = {one: int(n) for one, n in zip(different, np.bincount(code_N, minlength=len(different)), strict=True)}
        if label_reason:
            report.append(f"label: {label.title}, {label_reason}")
        report.append(
            f"classes ({len(counts)}): {listed([f'{one} ({n:,})' for one, n in sorted_counts(counts)], _SHOWN)}"
        )
        report.extend(merged(values.spellings, labels))
        found += (
            _about_quantity(label, label.title if label_reason else "the list of labels", len(counts))
            + near_equal(counts)
            + _about_classes(counts)
        )
        found += _about_conflicts(values.xy_ND, code_N)
    report.extend(f"{column.title} is read as 1 for true and 0 for false" for column in features if _is_boolean(column))
    for column_name, texts in values.categories.items():
        one_hot = categories.names(column_name, texts)
        count = "1 feature" if len(one_hot) == 1 else f"{len(one_hot)} features"
        report.append(f"column '{column_name}' becomes {count}: {listed(one_hot, _SHOWN)}")
        found += [
            f"{' and '.join(map(repr, group))} in column '{column_name}' are almost equal, but are different features"
            for group in alike(texts)
        ]
    report.extend(notes)
    if values.dropped:
        rows = "1 row is" if values.dropped == 1 else f"{values.dropped:,} rows are"
        report.append(f"{rows} left out for a missing value: {values.first_dropped}")
    names = tuple(column.feature_name for column in features) if has_names or values.categories else None
    return Table(
        name=name,
        xy_ND=values.xy_ND,
        code_N=code_N,
        labels=different,
        feature_names=names,
        categories=values.categories,
        label_name=(label.name or None) if label else None,
        understood=tuple(report),
        warnings=tuple(found),
        left_out=values.dropped_numbers,
    )


def sorted_counts(counts: dict[Label, int]) -> list[tuple[Label, int]]:
    """Labels with their counts, in the order of the classes."""
    return sorted(counts.items(), key=lambda item: (isinstance(item[0], str), item[0]))


def _short(column: Column) -> str:
    return column.name or f"column {column.index + 1}"


def _is_boolean(column: Column) -> bool:
    return column.kind == "boolean"


def _about_features(xy_ND: DoubleArray, features: Sequence[Column]) -> list[str]:
    warnings = []
    first_D = xy_ND[0]
    is_constant_D = np.logical_and.reduce([(block_ND == first_D).all(axis=0) for block_ND in blocks(xy_ND)])
    marks = _missing_marks(xy_ND)
    share = Counter(column.index for column in features)  # a text column has several features, unless it is constant
    for d, column in enumerate(features):
        if share[column.index] > 1:
            continue
        if len(xy_ND) > 1 and is_constant_D[d]:
            warnings.append(f"{column.title} is constant: all its values are {first_D[d]:g}")
        elif column.is_whole and column.is_distinct and _is_id(column, xy_ND[:, d]):
            warnings.append(f"{column.title} looks like an id, not like a feature: no value occurs twice")
        elif column.is_whole and _is_time(column, xy_ND[:, d]):
            warnings.append(f"{column.title} looks like a time, not like a feature: it increases from row to row")
        if padded := [value for value in column.values if _PADDED.fullmatch(value)]:
            example = min(padded)
            warnings.append(f"{column.title} has numbers such as {example}, which may be codes, dates or times")
        if d in marks:
            warnings.append(
                f"{column.title} has the value {marks[d]:g} several times, far from its other values: it may stand for "
                "a missing value"
            )
    return warnings


def _is_id(column: Column, x_N: npt.NDArray[np.float64]) -> bool:
    """Whether a column of whole numbers counts the rows, or has the name of an id and no value twice."""
    name = (column.name or "").casefold()
    if name in _ID_NAMES or name.endswith(("_id", " id")):
        return len(x_N) > 1 and len(np.unique(x_N)) == len(x_N)
    return len(x_N) >= _MIN_ROWS_OF_COUNT and bool((np.diff(x_N) == 1).all())


def _is_time(column: Column, x_N: npt.NDArray[np.float64]) -> bool:
    """Whether a column of whole numbers is named like a time, and hardly ever decreases."""
    words = re.split(r"[^a-z]+", (column.name or "").casefold())
    if len(x_N) < _MIN_ROWS_OF_TIME or _TIME_NAMES.isdisjoint(words):
        return False
    return bool((np.diff(x_N) >= 0).mean() >= _INCREASING)


def _missing_marks(xy_ND: DoubleArray) -> dict[int, float]:
    """The number that probably marks missing values, by column: it occurs several times, far from all other values.

    Only columns whose minimum or maximum is such a number are examined.
    """
    extremes = [(block_ND.min(axis=0), block_ND.max(axis=0)) for block_ND in blocks(xy_ND)]
    low_D = np.min([low_D for low_D, _ in extremes], axis=0)
    high_D = np.max([high_D for _, high_D in extremes], axis=0)
    found = {}
    for value_D in (low_D, high_D):
        for d in np.flatnonzero(np.isin(np.abs(value_D), _MISSING_MARKS)).tolist():
            others_N = xy_ND[:, d][xy_ND[:, d] != value_D[d]]
            if 0 < len(others_N) < len(xy_ND) - 1 and _is_far(value_D[d], others_N):
                found[d] = float(value_D[d])
    return found


def _is_far(value: float, others_N: DoubleArray) -> bool:
    """Whether the distance of a value to the others exceeds both their range and half its own size."""
    distance = np.abs(others_N - value).min()
    return bool(distance > max(np.ptp(others_N), abs(value) / 2))


def _about_quantity(label: Column, title: str, classes: int) -> list[str]:
    if not label.is_fractional and not (label.is_whole and classes > _MANY_NUMBERS):
        return []
    what = f"{title} looks like a quantity, not like a label"
    return [f"{what}: each of its {classes} values becomes a class of its own"]


def _about_classes(counts: dict[Label, int]) -> list[str]:
    label, most = max(counts.items(), key=lambda item: item[1])
    total = sum(counts.values())
    found = []
    if len(counts) > 1 and most / total >= _MAJORITY:
        share = f"{most / total:.1%}"
        found.append(f"{share} of the rows have the class {label}, so always answering {label} is right that often")
    single = [label for label, count in sorted_counts(counts) if count == 1]
    if single and total >= _MANY_ROWS_OF_CLASS * len(counts):
        which = f"class {single[0]} has" if len(single) == 1 else f"classes {listed(single, _SHOWN)} have"
        found.append(f"the {which} a single row: it may be a total, a remark or a typing error")
    return found


def _about_conflicts(xy_ND: DoubleArray, code_N: IntArray) -> list[str]:
    """Warns of points that occur with several labels."""
    point_N = np.unique(hashes(xy_ND), return_inverse=True)[1].astype(np.int64)
    classes = int(code_N.max()) + 1
    pairs = np.unique(point_N * classes + code_N)
    conflicts = int((np.bincount(pairs // classes) > 1).sum())
    if not conflicts:
        return []
    points = "1 point occurs" if conflicts == 1 else f"{conflicts:,} points occur"
    return [f"{points} with more than one label: no network can get all of these rows right"]
