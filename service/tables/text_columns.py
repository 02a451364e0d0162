"""Text columns while a table is read: the codes of their values, and the features that they become."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from models.categories import cleaned, names
from models.datasets import BLOCK_VALUES, DoubleArray
from models.feature_names import quoted, spelled_like
from models.limits import MAX_CATEGORIES, MAX_NAME_LENGTH
from models.specs import InvalidInput
from service.tables.columns import Column
from service.tables.options import TableOptions


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
        (value,) = spelled_like([cleaned(text)], self._known or ())
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
        """The code of each value that becomes a feature, in the order of the features. `code_N` has the codes of rows.

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
                "seems to name or number the rows, because no value occurs twice: "
                f"leave the column out with {self._drop}",
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


def expanded(column: Column, values: Iterable[str] | None) -> list[Column]:
    """The column of each value of a text column; a column of numbers as it is."""
    if values is None:
        return [column]
    indicator = replace(column, kind="number", values=frozenset(), is_whole=True, is_fractional=False, is_count=False)
    return [replace(indicator, name=name) for name in names(column.feature_name, [*values])]
