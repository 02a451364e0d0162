"""Reads the rows of a table whose form is known, chunk by chunk.

NumPy's reader takes most chunks: it is faster than the csv module, and reads numbers as `float` does. What it does not
take (a missing value, a thousands separator, blanks before quotes) is read by the csv module and `cells.number`, which
also find the line and the column of an error. A test compares the two.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.datasets import Categories, label_text
from models.limits import MAX_COORDINATE
from models.specs import InvalidInput
from service.tables import separators
from service.tables.cells import BOOLEANS, ambiguous_comma, is_missing, is_missing_label, may_be_either, number, unit
from service.tables.collector import Collector, Part, Values
from service.tables.columns import Column
from service.tables.options import Decimal, TableOptions
from service.tables.text_columns import TextColumn

_CHUNK_VALUES = 20_000
"""Values that are read at a time: NumPy holds the interpreter meanwhile, some 20 ms."""


@dataclass(frozen=True)
class Form:
    """How the rows of a table are written.

    Attributes:
        name: how messages name the table.
        separator: the character between values.
        decimal: the decimal mark.
        is_decimal_certain: whether the user or the first rows say so.
        width: the number of columns.
        options: of the user.
    """

    name: str
    separator: str
    decimal: Decimal
    is_decimal_certain: bool
    width: int
    options: TableOptions


def read(
    form: Form,
    lines: Iterator[str],
    first_line: int,
    features: Sequence[Column],
    label: Column | None,
    *,
    max_rows: int | None,
    folder: Path | None = None,
    categories: Categories | None = None,
) -> Values:
    """Reads all rows from lines, the first of which has the number `first_line`.

    For `folder` and `categories` see `Collector`.

    Raises:
        InvalidInput: a value is missing or is not a number, a row is of another length, or there are too many rows.
        OSError: the folder cannot be written.
    """
    with Collector(form.options, features, label, row="line", folder=folder, categories=categories) as collector:
        reader = _Reader(form, features, label, collector)
        while chunk := list(islice(lines, max(1, _CHUNK_VALUES // form.width))):
            found = None if reader.has_empty_rows else reader.plain(chunk)
            if found is None:
                found, more = reader.careful(chunk, lines, first_line)
                first_line += more
            collector.add(found)
            first_line += len(chunk)
            if max_rows is not None and collector.count > max_rows:
                raise InvalidInput(form.name, f"must have at most {max_rows:,} points")
        return collector.values(form.name)


def fitted(line: int, cells: list[str], width: int) -> list[str]:
    """The cells of a row, without one that only a separator at the end of the line adds.

    Raises:
        InvalidInput: there are more or fewer cells than columns.
    """
    if len(cells) == width:
        return cells
    if len(cells) == width + 1 and not cells[-1].strip():
        return cells[:-1]
    raise unequal(line, len(cells), width, "the first line")


def unequal(line: int, cells: int, width: int, other: str, hint: str = "") -> InvalidInput:
    """The error for a row whose length differs from another row, with a `hint` unless there is a better one."""
    field = f"line {line}"
    if cells in (2 * width, 2 * width - 1) and width > 1:
        hint = ". Are these decimal commas? Then write another separator between the values"
    if width == 1 and not hint:
        return InvalidInput(
            field, f"has {cells} values, but {other} has 1. Remove lines above the table, if there are any"
        )
    if cells == 1 and not hint:
        return InvalidInput(field, f"has 1 value, but {other} has {width}. Remove it if it is not part of the table")
    return InvalidInput(field, f"has {cells} values, but {other} has {width}{hint}")


def lacks_all(cells: Sequence[str], width: int) -> bool:
    """Whether these are a row of a table of `width` columns that has no value, and not just an empty line."""
    return width <= len(cells) <= width + 1 and separators.is_empty(cells)


class _Reader:
    """Reads chunks of lines.

    Rows without any value are left out. Points without labels are an exception, because answers are matched to rows:
    their empty rows lack a value, except those after the last point, which spreadsheets write.
    """

    def __init__(self, form: Form, features: Sequence[Column], label: Column | None, collector: Collector) -> None:
        self._form = form
        self._features = list(features)
        self._indices = [column.index for column in features]
        self._label = label
        self._collector = collector
        self._empty: list[int] = []  # the lines of empty rows since the last point

    @property
    def has_empty_rows(self) -> bool:
        """Whether the last rows were empty, so that `careful` must read the next ones."""
        return bool(self._empty)

    def plain(self, lines: list[str]) -> Part | None:
        """The features and the codes of the labels of some lines, by NumPy; None if a value is not plain.

        That is so if the lines end within quotes: NumPy would close these. Quotes then are odd in number, or one of
        them is part of a value, which the converters refuse.
        """
        if sum(line.count('"') for line in lines) % 2:
            return None
        separator, width = self._form.separator, self._form.width
        code_of = self._code_of_plain
        if self._form.decimal == ",":
            if separator == "," or any("." in line for line in lines):
                return None
            lines = [line.replace(",", ".") for line in lines]
            code_of = self._code_of_replaced
        if separator == " ":
            separator, lines = "\t", [separators.joined_by_tabs(line) for line in lines]
        first = next((line for line in lines if not line.isspace()), None)
        if first is None:
            return np.empty((0, len(self._features))), np.empty(0, dtype=np.int64)
        converters: dict[int | str, Callable[[str], Any]] = dict.fromkeys(
            {*range(width)}.difference(self._indices), _nothing
        )
        if _ends_with(first, separator, width):
            converters[width] = _only_blank
        converters.update({column.index: _boolean for column in self._features if column.kind == "boolean"})
        converters.update({self._indices[d]: self._code_of_text(one) for d, one in self._collector.texts.items()})
        codes = self._collector.codes
        before = len(codes)
        if self._label:
            converters[self._label.index] = code_of
        try:
            all_NW: npt.NDArray[Any] = np.loadtxt(
                lines, delimiter=separator, comments=None, quotechar='"', converters=converters, ndmin=2
            )
        except ValueError:
            found = None
        else:
            found = all_NW if all_NW.shape[1] - (width in converters) == width else None
        if found is not None:
            xy_ND = np.ascontiguousarray(found[:, self._indices])
            if (np.abs(xy_ND) <= MAX_COORDINATE).all():  # false for NaN
                code_N = found[:, self._label.index] if self._label else np.zeros(len(found))
                return xy_ND, code_N.astype(np.int64)
        for text in list(codes)[before:]:  # rows may be dropped
            del codes[text]
        return None

    def _code_of_plain(self, cell: str) -> float:
        if '"' in cell:
            raise ValueError(cell)
        if cell in self._collector.codes:  # the usual case, which is not worth a call for each row
            return self._collector.codes[cell]
        if is_missing_label(cell):
            raise ValueError(cell)
        return float(self._collector.code(label_text(cell)))

    def _code_of_replaced(self, cell: str) -> float:
        return self._code_of_plain(cell.replace(".", ","))  # each point of these lines was a comma

    def _code_of_text(self, column: TextColumn) -> Callable[[str], float]:
        is_replaced = self._form.decimal == ","

        def code(cell: str) -> float:
            if '"' in cell or is_missing_label(cell):
                raise ValueError(cell)
            return column.code(cell.replace(".", ",") if is_replaced else cell, "")

        return code

    def careful(self, chunk: list[str], lines: Iterator[str], first_line: int) -> tuple[Part, int]:
        """The same by the csv module, and how many more lines a value that begins in the chunk takes."""
        reader = separators.rows(chain(chunk, lines), self._form.separator)
        width = self._form.width
        starts: list[int] = []
        rows: list[list[str]] = []
        for start, cells in separators.numbered(reader, first_line):
            if not separators.is_empty(cells):
                rows += [[""] * width] * len(self._empty) + [fitted(start, cells, width)]
                starts += [*self._empty, start]
                self._empty = []
            elif self._label is None and lacks_all(cells, width):
                self._empty.append(start)
            if reader.line_num >= len(chunk):
                break
        return self._values(starts, rows), max(0, reader.line_num - len(chunk))

    def _values(self, lines: list[int], rows: list[list[str]]) -> Part:
        xy_ND = np.empty((len(rows), len(self._features)))
        for d, column in enumerate(self._features):
            cells = [row[column.index] for row in rows]
            if d in self._collector.texts:
                text = self._collector.texts[d]
                xy_ND[:, d] = [_text_code(cell, line, text) for line, cell in zip(lines, cells, strict=True)]
                continue
            xy_ND[:, d] = _plain_numbers(cells, self._form.decimal) or [
                self._value(cell, line, column) for line, cell in zip(lines, cells, strict=True)
            ]
        texts = [label_text(row[self._label.index]) for row in rows] if self._label else None
        labels = None if texts is None else [None if is_missing_label(text) else text for text in texts]
        return self._collector.checked(xy_ND, labels, lines)

    def _value(self, cell: str, line: int, column: Column) -> float:
        is_boolean = column.kind == "boolean"
        value = BOOLEANS.get(cell.strip().lower()) if is_boolean else number(cell, self._form.decimal)
        if not is_boolean and not self._form.is_decimal_certain and may_be_either(cell):
            raise ambiguous_comma(line, cell.strip(), self._form.options)
        if value is None and is_missing(cell):
            return np.nan
        if value is None:
            raise InvalidInput(f"line {line}, {column.title}", self._why_no_number(cell, column))
        return value

    def _why_no_number(self, cell: str, column: Column) -> str:
        shown = cell.strip()[:40]
        if column.kind == "boolean":
            return f"must be true or false, as in the lines before, but is '{shown}'"
        other: Decimal = "," if self._form.decimal == "." else "."
        if number(cell, other) is not None:
            spelled = self._form.options.spelled("decimal", other)
            return f"'{shown}' has another decimal mark than the lines before: choose it with {spelled}"
        if beside := unit(cell):
            return f"'{shown}' has '{beside}' beside the number: write the number alone"
        return f"'{shown}' is not a finite number"


def _text_code(cell: str, line: int, column: TextColumn) -> float:
    return np.nan if is_missing_label(cell) else column.code(cell, f"line {line}")


def _plain_numbers(cells: list[str], decimal: Decimal) -> list[float] | None:
    """The numbers of cells that Python's `float` reads as `cells.number` does; None if one of them is different."""
    text = "\n".join(cells)
    if decimal == ",":
        if "." in text:
            return None
        text = text.replace(",", ".")
    if "_" in text or not text.isascii():
        return None
    try:
        numbers = [float(cell) for cell in text.split("\n")]
    except ValueError:
        return None
    return numbers if len(numbers) == len(cells) and np.isfinite(numbers).all() else None


def _ends_with(line: str, separator: str, width: int) -> bool:
    """Whether a line has a separator after its last value."""
    try:
        cells = next(separators.rows([line], separator))
    except csv.Error:  # the values go on in the next line
        return False
    return len(cells) == width + 1


def _nothing(cell: str) -> float:
    if '"' in cell:
        raise ValueError(cell)
    return 0.0


def _only_blank(cell: str) -> float:
    if cell.strip():
        raise ValueError(cell)
    return 0.0


def _boolean(cell: str) -> float:
    try:
        return BOOLEANS[cell.strip().lower()]
    except KeyError:
        raise ValueError(cell) from None
