"""Collects the rows of a table of any format: checks bounds, numbers the labels, refuses or leaves out gaps."""

import tempfile
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from models.categories import cleaned, indicators, names
from models.datasets import BLOCK_VALUES, Categories, DoubleArray, IntArray
from models.feature_names import quoted
from models.limits import (
    MAX_CATEGORIES,
    MAX_CLASSES,
    MAX_COORDINATE,
    MAX_FEATURES,
    MAX_NAME_LENGTH,
    MAX_STORED_VALUES,
)
from models.specs import InvalidInput
from service.tables.columns import Column
from service.tables.labels import MAX_SPELLINGS
from service.tables.options import TableOptions

Spelling = str | int | float
"""A label as a table has it: text in CSV, a value of any of these types elsewhere."""

Part = tuple[DoubleArray, IntArray]
"""The features of some rows, float64 (n, D), and the codes of their labels, int64 (n,)."""


@dataclass(frozen=True)
class Values:
    """The rows of a table.

    Attributes:
        xy_ND: float64 (N, D).
        features: the D features: a column for each value of a text column, the other columns as they are.
        categories: the values of the text columns, by the names of these.
        code_N: the index of each row's label in `spellings`, if there is a label column.
        spellings: the different labels as the table has them, in the order in which they first occur.
        dropped: the number of rows left out because a value is missing.
        first_dropped: the first of them, and the missing value.
    """

    xy_ND: DoubleArray
    features: list[Column]
    categories: dict[str, tuple[str, ...]]
    code_N: IntArray
    spellings: list[Spelling]
    dropped: int
    first_dropped: str


class TextColumn:
    """The codes of the values of a text column."""

    def __init__(self, column: Column, known: Sequence[str] | None, options: TableOptions) -> None:
        """`known` are all values that are allowed. None allows any, up to `MAX_CATEGORIES`."""
        self._column = column
        self._drop = options.spelled("drop", column.selector)
        self._known = known
        self._codes = {value: code for code, value in enumerate(known or ())}

    def code(self, text: str, place: str) -> float:
        """The code of a value. A new value gets the next code. `place` is how messages name its row.

        Raises:
            InvalidInput: the value is not known, or there are too many values.
        """
        if text in self._codes:  # the usual case
            return self._codes[text]
        value = cleaned(text)
        if value in self._codes:
            return self._codes[value]
        if self._known is not None:
            known = quoted(self._known)
            raise InvalidInput(f"{place}, {self._column.title}", f"must be one of {known}, not {quoted([value])}")
        if len(self._codes) >= MAX_CATEGORIES:
            raise InvalidInput(
                self._column.title,
                f"has more than {MAX_CATEGORIES} different values, too many to make each a feature: leave the column "
                f"out with {self._drop}, or write fewer values",
            )
        return self._codes.setdefault(value, len(self._codes))

    def kept(self, code_N: DoubleArray) -> dict[str, int]:
        """The code of each value that becomes a feature, in the order of the features. `code_N` has those of all rows.

        Raises:
            InvalidInput: no value occurs twice, or a value is too long.
        """
        if self._known is not None:
            return self._codes
        count_K = np.zeros(len(self._codes), dtype=np.int64)
        for start in range(0, len(code_N), BLOCK_VALUES):
            part_N = code_N[start : start + BLOCK_VALUES].astype(np.int64)
            count_K += np.bincount(part_N, minlength=len(count_K))
        if count_K.max() == 1:
            raise InvalidInput(
                self._column.title,
                f"names or numbers the rows, because no value occurs twice: leave the column out with {self._drop}",
            )
        values = sorted(value for value, code in self._codes.items() if count_K[code])  # rows may be left out
        for value, name in zip(values, names(self._column.feature_name, values), strict=True):
            if len(name) > MAX_NAME_LENGTH:
                raise InvalidInput(
                    self._column.title,
                    f"has a value of {len(value):,} characters, too long for the name of a feature: leave the column "
                    f"out with {self._drop}, or write shorter values",
                )
        return {value: self._codes[value] for value in values}


def _expanded(column: Column, values: Iterable[str] | None) -> list[Column]:
    """The column of each value of a text column; a column of numbers as it is."""
    if values is None:
        return [column]
    indicator = replace(column, kind="number", values=frozenset(), is_whole=True, is_fractional=False, is_count=False)
    return [replace(indicator, name=name) for name in names(column.feature_name, [*values])]


class Collector:
    """The rows that were read so far. The end of its context closes the temporary file; the array keeps the content.

    Attributes:
        codes: the index of each label.
        texts: the text columns, by their position among the features. The collected features hold codes in their place.
        count: number of rows.
    """

    def __init__(
        self,
        options: TableOptions,
        features: Sequence[Column],
        label: Column | None,
        *,
        row: str,
        folder: Path | None = None,
        categories: Categories | None = None,
    ) -> None:
        """Makes an empty collector.

        Args:
            options: of the user.
            features: the columns of features.
            label: the column of labels, if there is one.
            row: how messages call a row: `line` or `row`.
            folder: where a temporary file holds the features, so that they take no memory. None holds them in memory.
            categories: the known values of text columns. None to find them in the rows.
        """
        self.codes: dict[Spelling, int] = {}
        self.texts = {
            d: TextColumn(column, None if categories is None else categories[column.feature_name], options)
            for d, column in enumerate(features)
            if (column.kind == "text" if categories is None else column.feature_name in categories)
        }
        self.count = 0
        self._options = options
        self._features = features
        self._label = label
        self._row = row
        self._folder = folder
        self._file = self._new_file()
        self._xy: list[DoubleArray] = []
        self._codes: list[IntArray] = []
        self._dropped = 0
        self._first_dropped = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def _new_file(self) -> IO[bytes] | None:
        return tempfile.TemporaryFile(dir=self._folder) if self._folder else None  # closed in __exit__

    def code(self, label: Spelling) -> int:
        """The index of a label. A new label gets the next index."""
        code = self.codes.setdefault(label, len(self.codes))
        if code >= MAX_SPELLINGS and self._label:
            raise InvalidInput(
                self._label.title, f"cannot be the label: it has far more than {MAX_CLASSES} different values"
            )
        return code

    def checked(self, xy_ND: DoubleArray, labels: Sequence[Spelling | None] | None, numbers: Sequence[int]) -> Part:
        """Some rows without those that lack a value.

        Args:
            xy_ND: the features; NaN is a missing value.
            labels: each label, if there is a label column. None is a missing label.
            numbers: the number of each row in its table.

        Raises:
            InvalidInput: a value is out of bounds, or is missing and must not be.
        """
        lacking_N = np.logical_or.reduce(np.isnan(xy_ND), axis=1)
        if labels is not None:
            lacking_N |= np.fromiter((label is None for label in labels), bool, len(labels))
        outside_ND = np.abs(xy_ND) > MAX_COORDINATE
        if outside_ND.any():
            i, d = np.argwhere(outside_ND)[0]
            raise InvalidInput(
                f"{self._row} {numbers[i]}, {self._features[d].title}",
                f"must be a number between -{MAX_COORDINATE} and {MAX_COORDINATE}",
            )
        if lacking_N.any():
            self._leave_out(lacking_N, xy_ND, numbers)
        kept_N = np.flatnonzero(~lacking_N)
        if labels is None:
            return xy_ND[kept_N], np.zeros(len(kept_N), dtype=np.int64)
        kept = (label for label, lacks in zip(labels, lacking_N.tolist(), strict=True) if not lacks)
        codes = array("q", (self.code(label) for label in kept if label is not None))
        return xy_ND[kept_N], np.array(codes, dtype=np.int64)

    def _leave_out(self, lacking_N: npt.NDArray[np.bool_], xy_ND: DoubleArray, numbers: Sequence[int]) -> None:
        i = int(np.flatnonzero(lacking_N)[0])
        columns = [column.title for column, x in zip(self._features, xy_ND[i], strict=True) if np.isnan(x)]
        what = f"has no value in {columns[0]}" if columns else "has no label"
        if self._options.missing == "refuse":
            spelled = self._options.spelled("missing", "drop")
            raise InvalidInput(f"{self._row} {numbers[i]}", f"{what}: write one, or leave out such rows with {spelled}")
        if not self._dropped:
            self._first_dropped = f"{self._row} {numbers[i]} {what}"
        self._dropped += int(lacking_N.sum())

    def add(self, part: Part) -> None:
        """Appends some rows.

        Raises:
            OSError: the folder cannot be written.
        """
        xy_ND, code_N = part
        self.count += len(xy_ND)
        self._codes.append(code_N)
        if self._file:
            self._file.write(np.ascontiguousarray(xy_ND).data)
        else:
            self._xy.append(xy_ND)

    def values(self, name: str) -> Values:
        """All rows of the table `name`. Ends the collection.

        Raises:
            InvalidInput: there are no rows.
            OSError: the folder cannot be written.
        """
        if not self.count:
            reason = f": all {self._dropped} rows lack a value" if self._dropped else ""
            raise InvalidInput(name, f"has no points{reason}")
        xy_ND = self._from_file(len(self._features)) if self._file else self._from_memory()
        features, categories = [*self._features], {}
        if self.texts:
            kept = {d: text.kept(xy_ND[:, d]) for d, text in self.texts.items()}
            features = [one for d, column in enumerate(features) for one in _expanded(column, kept.get(d))]
            self._check_size(name, len(features))
            xy_ND = self._one_hot(xy_ND, kept, len(features))
            categories = {self._features[d].feature_name: tuple(values) for d, values in kept.items()}
        return Values(
            xy_ND,
            features,
            categories,
            np.concatenate(self._codes),
            list(self.codes),
            self._dropped,
            self._first_dropped,
        )

    def _check_size(self, name: str, width: int) -> None:
        if width > MAX_FEATURES:
            raise InvalidInput(
                name,
                f"must have at most {MAX_FEATURES:,} features, but has {width:,} with one for each value of its text "
                f"columns: leave some out with {self._options.spelled('drop', 'A,B')}",
            )
        if self.count * width > MAX_STORED_VALUES:
            raise InvalidInput(
                name,
                f"must have at most {MAX_STORED_VALUES:,} values: points x features is {self.count * width:,}",
            )

    def _one_hot(self, xy_ND: DoubleArray, kept: Mapping[int, Mapping[str, int]], width: int) -> DoubleArray:
        """The features (N, width) with columns of 0 and 1 in place of the codes of text columns."""
        before, self._file = self._file, self._new_file()
        out_ND = None if self._file else np.empty((self.count, width))
        rows = max(1, BLOCK_VALUES // width)
        for start in range(0, self.count, rows):
            block_ND = xy_ND[start : start + rows]
            parts = [
                indicators(block_ND[:, d], [*kept[d].values()]) if d in kept else block_ND[:, d : d + 1]
                for d in range(block_ND.shape[1])
            ]
            if self._file:
                self._file.write(np.hstack(parts).data)
            elif out_ND is not None:
                out_ND[start : start + rows] = np.hstack(parts)
        if before:
            before.close()
        return self._from_file(width) if out_ND is None else out_ND

    def _from_file(self, width: int) -> DoubleArray:
        assert self._file
        self._file.flush()
        xy_ND = np.memmap(self._file, np.float64, "r", shape=(self.count, width))
        return xy_ND.view(np.ndarray)

    def _from_memory(self) -> DoubleArray:
        xy_ND = np.empty((self.count, len(self._features)))
        self._xy.reverse()
        end = 0
        while self._xy:  # each part is released once it is copied
            xy = self._xy.pop()
            xy_ND[end : end + len(xy)] = xy
            end += len(xy)
        return xy_ND
