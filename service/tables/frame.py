"""Tables whose values have types already, such as arrays and records: the same choice of columns as for CSV."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from models.datasets import FRACTIONS, Array, DoubleArray, label_text
from models.specs import InvalidInput
from service.tables.cells import is_missing_label
from service.tables.choice import Choice
from service.tables.collector import Collector, Spelling
from service.tables.columns import Column, describe, select, select_several
from service.tables.labels import typed_labels
from service.tables.options import TableOptions
from service.tables.table import Table, make_table
from service.tables.text_columns import TextColumn

Values = Array | Sequence[Any]
"""Some values of a column: an array of numbers or of truth values, or a sequence of strings, numbers, truth values and
Nones. None and NaN are missing values."""

Rows = Sequence[Values]
"""Some rows of a table, as their values in each column."""

_HEAD_ROWS = 4_000
_HEAD_VALUES = 200_000
"""The columns are inferred from the first rows. Later rows that contradict them are refused."""


def understand(
    name: str,
    names: Sequence[str | None],
    parts: Iterable[Rows],
    options: TableOptions,
    *,
    notation: str,
    indices: Collection[str] = (),
) -> "Frame":
    """Reads the first rows of a table, and infers what its columns are.

    Args:
        name: how messages name the table.
        names: of the columns; None for columns without names.
        parts: the rows, some at a time.
        options: of the user.
        notation: the format of the table, for the report.
        indices: the names of the columns that number or name the rows, as the table itself says.

    Raises:
        InvalidInput: the table has no rows, or an option is for CSV only.
    """
    for option in ("separator", "decimal", "header"):
        if getattr(options, option) is not None:
            raise InvalidInput(option, "is for CSV files only")
    if not names:
        raise InvalidInput(name, "has no columns")
    rest = iter(parts)
    head: list[Rows] = []
    rows = min(_HEAD_ROWS, max(1, _HEAD_VALUES // len(names)))
    while sum(map(_length, head)) < rows and (part := next(rest, None)) is not None:
        head.append(part)
    if not any(map(_length, head)):
        raise InvalidInput(name, "has no points")
    columns = []
    for i, heading in enumerate(names):
        values = [*islice(chain.from_iterable(_plain(part[i][:rows]) for part in head), rows)]
        column = describe(i, heading, [_text(value) for value in values], ".")
        text = next(
            (f"'{value[:40]}' in row {row}" for row, value in enumerate(values, 1) if isinstance(value, str)), ""
        )
        column = replace(column, kind="text", example=text) if text else column
        columns.append(replace(column, is_index=heading in indices))
    return Frame(
        name=name,
        options=options,
        columns=columns,
        notes=[],
        warnings=[],
        parts=chain(head, rest),
        notation=notation,
    )


def unused(columns: Sequence[Column], options: TableOptions) -> set[int]:
    """The positions of the columns that the options leave out, whatever their values are.

    Raises:
        InvalidInput: an option names a column that does not exist.
    """
    dropped = {column.index for column in select_several(columns, options.drop, "drop")}
    features = {column.index for column in select_several(columns, options.features, "features")}
    if not features or options.label is None:
        return dropped
    return {*range(len(columns))} - features - {select(columns, options.label, "label").index}


@dataclass(kw_only=True)
class Frame(Choice):
    """A table whose columns are known. Its rows can be read once."""

    parts: Iterator[Rows]
    notation: str

    def labelled(self, *, max_rows: int | None, folder: Path | None = None, are_apart: bool = False) -> Table:
        """Reads points and labels.

        Args:
            max_rows: maximum number of points.
            folder: see `Collector`.
            are_apart: whether the labels stand apart from the points. No option then confirms numbers with fractions.

        Raises:
            InvalidInput: a value is missing or is not a number, there are too many rows, or the columns are ambiguous.
            OSError: the table cannot be read, or the folder cannot be written.
        """
        features, label, reason = self.features_and_label()
        first, padded = 1, ""
        with Collector(self.options, features, label, row="row", folder=folder) as collector:
            for part in self.parts:
                count = _length(part)
                if not count:
                    continue
                xy_ND = np.column_stack(
                    [
                        _codes(part[column.index], column, collector.texts[d], first)
                        if d in collector.texts
                        else _features(part[column.index], column, first)
                        for d, column in enumerate(features)
                    ]
                )
                given = _plain(part[label.index])
                labels = [_label(value) for value in given]
                padded = padded or _padded(given)
                collector.add(collector.checked(xy_ND, labels, range(first, first + count)))
                first += count
                if max_rows is not None and collector.count > max_rows:
                    raise InvalidInput(self.name, f"must have at most {max_rows:,} points")
            values = collector.values(self.name)
        if are_apart and any(isinstance(label, float) for label in values.spellings):
            raise InvalidInput("labels", FRACTIONS)
        if padded:
            self.notes.append(f"blanks around labels are left out, as in {padded!r}")
        return make_table(
            values,
            name=self.name,
            label=label,
            label_reason=None if are_apart else reason,
            labels=typed_labels(values.spellings),
            notation=self.notation,
            has_names=any(column.name for column in self.columns),
            notes=self.notes,
            warnings=self.warnings,
        )


def _length(part: Rows) -> int:
    return len(part[0]) if part else 0


def _plain(values: Values) -> Sequence[Any]:
    """The values as Python's own objects. A float32 has its own shortest digits: 0.1 is not 0.10000000149011612."""
    if not isinstance(values, np.ndarray):
        return values
    if values.dtype.kind == "f" and values.dtype.itemsize < 8:
        different, index_N = np.unique(values, return_inverse=True)
        values = np.array([float(str(value)) for value in different])[index_N]
    plain: Sequence[Any] = values.tolist()
    return plain


def _text(value: Any) -> str:
    """A value as a CSV file would have it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return str(value)


def _features(values: Values, column: Column, first: int) -> DoubleArray:
    """The values of a column of features as numbers, NaN where they are missing; `first` numbers the first row."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return values.astype(np.float64)
    return np.array([_number(value, column, row) for row, value in enumerate(_plain(values), first)], dtype=np.float64)


def _codes(values: Values, column: Column, text: TextColumn, first: int) -> DoubleArray:
    """The codes of the values of a text column, NaN where they are missing; `first` numbers the first row."""
    return np.array([_code(value, column, text, row) for row, value in enumerate(_plain(values), first)])


def _code(value: Any, column: Column, text: TextColumn, row: int) -> float:
    if isinstance(value, str) and value.strip():
        return text.code(value, f"row {row}")
    if value is None or isinstance(value, str) or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    raise InvalidInput(f"row {row}, {column.title}", f"must be text, as other values of the column, not {value}")


def _number(value: Any, column: Column, row: int) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str):
        raise InvalidInput(
            f"row {row}, {column.title}", f"'{value.strip()[:40]}' is text, but features must be numbers"
        )
    try:
        return float(value)
    except OverflowError:
        return math.inf  # out of bounds, as the caller finds


def _padded(labels: Sequence[Any]) -> str:
    """The first label with blanks around it, which `_label` leaves out; empty if there is none."""
    texts = (label for label in labels if isinstance(label, str))
    return next((text for text in texts if text != text.strip() and not is_missing_label(text)), "")


def _label(value: Any) -> Spelling | None:
    """A label; None if it is missing. Truth values are 1 and 0, as in a training."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return None if not math.isfinite(value) else int(value) if value.is_integer() else value
    if isinstance(value, str):
        return None if is_missing_label(value) else label_text(value)
    label: Spelling | None = value
    return label
