"""The columns of a table as its first rows show them, and which of them are the label and the features."""

import csv
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.limits import MAX_CLASSES
from models.specs import InvalidInput
from models.wording import listed
from service.tables.cells import BOOLEANS, is_missing, number, unit
from service.tables.options import Decimal, TableOptions

Kind = Literal["number", "boolean", "text", "empty"]

LABEL_NAMES = {
    *("label", "labels", "class", "classes", "target", "targets", "species", "category", "kind", "outcome"),
    *("response", "ground_truth", "ground truth", "y_true"),
}
"""Headings that only a label column has."""

_MAX_LABEL_LIKE = 20
"""Maximum number of values of a first column that may be the label, in a table without a heading."""

_WRITTEN_INDEX = re.compile(r"__index_level_[0-9]+__")
"""How pandas names an index without a name in Arrow and Parquet."""

_INDEX_READ_AS_COLUMN = re.compile(r"Unnamed: 0(\.[0-9]+)*")
"""How pandas names an index that it wrote to a CSV file and then read as a column."""

_ZERO_AND_ONE = {"0", "1", "0.0", "1.0"}

_MIN_ROWS_OF_NAMES = 6
"""Minimum number of rows of a text column that, without any repetition, holds names, not labels."""


@dataclass(frozen=True)
class Column:
    """A column, as the first rows of a table show it.

    Attributes:
        index: its position, from 0.
        name: its heading, if the table has headings; may be empty.
        kind: what its values are. A column of numbers or of truth values may have a few that are not:
            reading it refuses them.
        values: the different values, as text.
        rows: the number of rows seen.
        is_whole: whether all values are whole numbers.
        is_fractional: whether all values are numbers, but not all whole.
        is_count: whether the values increase by 1.
        example: of a column with text, one text and its place for messages; empty if only `values` are known.
        is_index: whether the table itself says that the column numbers or names the rows.
    """

    index: int
    name: str | None
    kind: Kind
    values: frozenset[str]
    rows: int
    is_whole: bool
    is_fractional: bool
    is_count: bool
    example: str = ""
    is_index: bool = False

    @property
    def title(self) -> str:
        """The name of the column in messages."""
        return f"column '{self.name}'" if self.name else f"column {self.index + 1}"

    @property
    def feature_name(self) -> str:
        """The name of the feature: the heading, or one made from the column's number."""
        return self.name or f"x{self.index + 1}"

    @property
    def is_named(self) -> bool:
        """Whether the column has a heading. `Unnamed: 0` is what pandas makes of none."""
        return bool(self.name) and not str(self.name).lower().startswith("unnamed: ")

    @property
    def selector(self) -> str:
        """The name of the column in options."""
        name = self.name or str(self.index + 1)
        return name if name.replace("_", "").isalnum() else f'"{name}"'

    @property
    def is_label_like(self) -> bool:
        """Whether the values are few whole numbers, like classes."""
        few = len(self.values) <= max(2, min(MAX_CLASSES, self.rows // 2))
        return self.is_whole and few

    @property
    def unit(self) -> str:
        """The unit or sign that all values have beside a number, such as `kg`; empty if they have none in common."""
        found = {unit(value) for value in self.values if not is_missing(value)}
        return found.pop() if len(found) == 1 else ""

    @property
    def is_distinct(self) -> bool:
        """Whether no value occurs twice."""
        return len(self.values) == self.rows


def in_one_line(heading: str) -> str:
    """A heading as the name of its column."""
    return " ".join(heading.split())


def describe(index: int, name: str | None, cells: Sequence[str], decimal: Decimal) -> Column:
    """The column of these cells."""
    values = [cell.strip() for cell in cells]
    present = [cell for cell in values if not is_missing(cell)]
    numbers = [value for cell in present if (value := number(cell, decimal)) is not None]
    kind: Kind
    if not present:
        kind = "empty"
    elif 2 * len(numbers) >= len(present):
        kind = "number"
    else:
        booleans = sum(cell.lower() in BOOLEANS for cell in present)
        kind = "boolean" if 2 * booleans >= len(present) else "text"
    are_whole = all(value.is_integer() for value in numbers)
    all_numbers = len(numbers) == len(values) > 0
    return Column(
        index,
        None if name is None else in_one_line(name),
        kind,
        frozenset(values),
        len(values),
        is_whole=len(numbers) == len(present) > 0 and are_whole,
        is_fractional=len(numbers) == len(present) > 0 and not are_whole,
        is_count=all_numbers and numbers == [numbers[0] + i for i in range(len(numbers))],
    )


def is_written_index(name: str) -> bool:
    """Whether a column has the name that pandas gives to an index without a name, in Arrow and Parquet."""
    return bool(_WRITTEN_INDEX.fullmatch(name))


def is_row_index(column: Column) -> bool:
    """Whether a column is the index that pandas, or the row names that R writes first."""
    if column.is_index or is_written_index(column.name or ""):
        return True
    if column.name is None or column.is_named or not column.is_distinct:
        return False
    if _INDEX_READ_AS_COLUMN.fullmatch(column.name):
        return column.is_whole
    return column.index == 0 and (column.is_whole or column.kind == "text")


def select(columns: Sequence[Column], selector: str, option: str) -> Column:
    """The column with this name or number.

    Raises:
        InvalidInput: there is none, or there are several.
    """
    wanted = in_one_line(selector)
    for matches in (
        [column for column in columns if column.name == wanted],
        [column for column in columns if column.name and _plain(column.name) == _plain(wanted)],
    ):
        if len(matches) > 1:
            numbers = ", ".join(str(column.index + 1) for column in matches)
            raise InvalidInput(option, f"several columns are named '{wanted}': give one of their numbers, {numbers}")
        if matches:
            return matches[0]
    try:
        position = int(wanted)
    except ValueError:
        position = 0
    if 1 <= abs(position) <= len(columns):
        return columns[position - 1 if position > 0 else position]
    known = listed(f"'{column.name}'" if column.name else column.index + 1 for column in columns)
    raise InvalidInput(option, f"there is no column '{wanted}': the columns are {known}")


def _plain(name: str) -> str:
    """A name without its case, in Unicode normalization form C."""
    return unicodedata.normalize("NFC", name).casefold()


def select_several(columns: Sequence[Column], selectors: str | None, option: str) -> list[Column]:
    """The columns that a list separated by commas names, in its order. Quotes protect a comma."""
    if not selectors:
        return []
    parts = next(csv.reader([in_one_line(selectors)], skipinitialspace=True))
    chosen = [select(columns, part, option) for part in parts if part.strip()]
    if len({column.index for column in chosen}) < len(chosen):
        raise InvalidInput(option, "must name each column once")
    return chosen


def named_label(columns: Sequence[Column]) -> list[Column]:
    """The columns whose headings name labels."""
    found = [column for column in columns if column.name and column.name.casefold() in LABEL_NAMES]
    names = {column.name.casefold() for column in columns if column.name}
    if not found and "x" not in names:  # beside x, y is a coordinate
        found = [column for column in columns if column.name and column.name.casefold() == "y"]
    return found


def guess_label(columns: Sequence[Column], options: TableOptions, name: str) -> tuple[Column, str]:
    """The label column among these, at least two, with the reason for the choice.

    Raises:
        InvalidInput: the label column is ambiguous.
    """
    named = named_label(columns)
    texts = [column for column in columns if column.kind == "text"]
    texts = [column for column in texts if not column.unit] or texts
    if len(named) == 1:
        column, reason = named[0], "by its heading"
        if column.name and column.name.casefold() == "y" and texts and column not in texts:
            raise _doubt([column, *texts], "may be the label", options, name)
        if column.is_fractional:
            raise _not_labels(column, options)
        return column, reason
    if len(named) > 1:
        raise _doubt(named, "may all be the label", options, name)
    if texts and options.categorical == "one-hot":
        raise _doubt(texts, "may be the label or a feature", options, name)
    if len(texts) == 1 and not (texts[0].is_distinct and texts[0].rows >= _MIN_ROWS_OF_NAMES):
        if _is_rival(columns[-1], is_text_first=texts[0] is columns[0]):
            raise _doubt([texts[0], columns[-1]], "may both be the label", options, name)
        return texts[0], "the only column of text"
    if len(texts) > 1:
        raise _doubt(texts, "are text, so each may be the label", options, name)
    if texts:
        raise _doubt(texts, "is text, but no value occurs twice, so it may not be the label", options, name)
    first, last = columns[0], columns[-1]
    if last.kind == "boolean" and all(column.kind != "boolean" for column in columns[:-1]):
        return last, "the only column of truth values"
    if not last.is_label_like:
        shown = listed(column.title.removeprefix("column ") for column in columns)
        raise _doubt([], f"it is not clear which of the columns {shown} is the label", options, name)
    rival = first.is_label_like and len(first.values) <= _MAX_LABEL_LIKE
    if len(columns) > 2 and rival and not all(column.is_whole for column in columns[1:-1]):
        raise _doubt([first, last], "may both be the label", options, name)
    return last, "the last column"


def _is_rival(last: Column, *, is_text_first: bool) -> bool:
    """Whether the last column may be the label although another one is the only column of text.

    Labels are first or last in most files. So beside text in the first column, only truth values are in doubt.
    """
    if last.kind == "boolean" or (last.values <= _ZERO_AND_ONE and len(last.values) > 1):
        return True
    return not is_text_first and last.is_label_like and len(last.values) <= _MAX_LABEL_LIKE


def _doubt(columns: Sequence[Column], reason: str, options: TableOptions, name: str) -> InvalidInput:
    titles = " and ".join(column.title for column in columns[:4]) + (" and others" if len(columns) > 4 else "")
    return InvalidInput(
        name, f"{titles} {reason}: choose the label with {options.spelled('label', 'NAME')} or its number".strip()
    )


def _not_labels(column: Column, options: TableOptions) -> InvalidInput:
    example = next((value for value in sorted(column.values) if "." in value or "," in value), "")
    return InvalidInput(
        column.title,
        f"has numbers with fractions, such as {example}, which are not classes: choose another label with "
        f"{options.spelled('label', 'NAME')}, or confirm this one with {options.spelled('label', column.selector)}",
    )
