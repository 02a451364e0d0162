"""Collects the rows of a table of any format: checks bounds, numbers the labels, refuses or leaves out gaps."""

import tempfile
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from models.categories import indicators
from models.datasets import BLOCK_VALUES, Categories, DoubleArray, IntArray
from models.limits import (
    MAX_CLASSES,
    MAX_COORDINATE,
    MAX_FEATURES,
    MAX_LABEL_LENGTH,
    MAX_STORED_VALUES,
)
from models.specs import InvalidInput
from service.tables.columns import Column
from service.tables.labels import MAX_SPELLINGS
from service.tables.options import TableOptions
from service.tables.text_columns import TextColumn, expanded

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
        dropped_numbers: the number of each of them in the table; empty if there is a label column.
    """

    xy_ND: DoubleArray
    features: list[Column]
    categories: dict[str, tuple[str, ...]]
    code_N: IntArray
    spellings: list[Spelling]
    dropped: int
    first_dropped: str
    dropped_numbers: tuple[int, ...]


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
        self._dropped_numbers: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def _new_file(self) -> IO[bytes] | None:
        return tempfile.TemporaryFile(dir=self._folder) if self._folder else None  # closed in __exit__

    def code(self, label: Spelling) -> int:
        """The index of a label. A new label gets the next index.

        Raises:
            InvalidInput: the label is too long, or there are too many labels.
        """
        if isinstance(label, str) and len(label) > MAX_LABEL_LENGTH and self._label:
            raise InvalidInput(
                self._label.title,
                f"has a label of {len(label)} characters, which begins with '{label[:20]}': at most {MAX_LABEL_LENGTH} "
                "are allowed",
            )
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
        no_label = "has no label (NA, null and the like count as none)"
        what = f"has no value in {columns[0]}" if columns else no_label
        if self._options.missing == "refuse":
            spelled = self._options.spelled("missing", "drop")
            raise InvalidInput(f"{self._row} {numbers[i]}", f"{what}: write one, or leave out such rows with {spelled}")
        if not self._dropped:
            self._first_dropped = f"{self._row} {numbers[i]} {what}"
        self._dropped += int(lacking_N.sum())
        if not self._label:  # answers are matched to rows; a dataset may have millions that nobody matches
            self._dropped_numbers.extend(numbers[i] for i in np.flatnonzero(lacking_N).tolist())

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
            features = [one for d, column in enumerate(features) for one in expanded(column, kept.get(d))]
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
            tuple(self._dropped_numbers),
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
