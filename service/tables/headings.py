"""Whether the first line of a table names its columns."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from models.specs import InvalidInput
from service.tables import separators
from service.tables.cells import BOOLEANS, is_missing, is_missing_label, is_number
from service.tables.columns import LABEL_NAMES, in_one_line
from service.tables.options import TableOptions

Row = tuple[int, list[str]]
"""A line number and the cells of that line."""

_SURE_NUMBERING = 6
"""Minimum number of columns of a first line that counts 0, 1, 2, ... to be a heading, not a point."""

_MIN_COUNTED_ROWS = 10
"""With fewer rows, the first line may have their number by chance."""


_RARE = 0.05
"""Largest share of texts that occur once in a column of classes. Where more do, one more in the first line is usual."""

_RULE = re.compile(":?[-=]+:?")
"""A cell of a line that underlines a heading, as in tables of Markdown and of SQL clients."""


@dataclass(frozen=True)
class Heading:
    """The names of the columns, if the table has them.

    Attributes:
        names: one for each column, perhaps empty; None if the table has no heading.
        rows: the rows that the heading takes.
        notes: remarks for the user about it.
        warnings: what may be a mistake.
        adds_row_names: whether the first column got an empty name, because each row has one value more than there are
            names.
    """

    names: tuple[str, ...] | None
    rows: int
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    adds_row_names: bool = False


Wanted = Callable[[Collection[str]], Sequence[str]]
"""The columns that have the features of a model, by their names, among columns of the given names; none if the
features have no names."""


def find(rows: Sequence[Row], options: TableOptions, wanted: Wanted | None = None) -> Heading:
    """The heading of a table, from its first rows. A line with all names that are `wanted` is one.

    Raises:
        InvalidInput: the first line may be a heading or a point.
    """
    width = max(len(cells) for _, cells in rows[1:]) if len(rows) > 1 else len(rows[0][1])
    line, first = rows[0]
    rest = [cells for _, cells in rows[1:]]
    names_features = options.header is not False and wanted is not None and _names_features(first, wanted)
    if options.header is None and not names_features and _counts_the_table(first, rest):
        return Heading(None, 1, (f"line {line} says how many rows and features follow, and is left out",))
    if options.header is not None:
        is_heading = options.header
    elif names_features and wanted is not None:
        is_heading = _is_heading_of(wanted, line, first, rest, options)
    else:
        is_heading = _is_heading(line, first, rest, options)
    if not is_heading:
        return Heading(None, 0)
    names = [cell.strip() for cell in first]
    notes = []
    # R writes row names without a heading; a single row of one value more is a mistake
    have_row_names = 2 * sum(len(cells) == width for cells in rest) > len(rest)
    adds_row_names = len(names) == width - 1 and have_row_names and not is_trailing(rest, width)
    if adds_row_names:
        names.insert(0, "")
        notes.append(f"line {line} has one name less than there are columns: column 1 has no name")
    taken = 1
    if len(rest) > 1 and _is_second_heading(rest[0], rest[1:]):
        taken, below = 2, [cell.strip() for cell in rest[0]]
        if all(_RULE.fullmatch(cell) for cell in below if cell):
            notes.append(f"line {rows[1][0]} underlines the heading")
        elif len(names) > 2 and sum(map(bool, names)) == 1 and all(below):
            names = below
            notes.append(f"line {line} is a title, which is not read")
        elif len(set(names)) < len(names):
            names = [f"{a} {b}".strip() for a, b in zip(names, below, strict=False)]
            notes.append(f"lines {line} and {rows[1][0]} are the heading")
        else:
            notes.append(f"line {rows[1][0]} is a second heading, which is not read")
    warnings = [] if names_features else _about_numbers(line, first)
    return Heading(tuple(names), taken, tuple(notes), tuple(warnings), adds_row_names)


def in_comment(
    comments: Sequence[tuple[int, str]], first: Row, separator: str, options: TableOptions, wanted: Wanted | None = None
) -> Row | None:
    """The last comment above the first row that names the columns, as `numpy.savetxt` writes it; None without one.

    Args:
        comments: comments with their line numbers.
        first: the first row of the table. Without a number it is the heading itself.
        separator: of the table.
        options: of the user; `header` decides whether such a comment is the heading.
        wanted: see `find`.

    Raises:
        InvalidInput: a comment may be the heading or a remark.
    """
    if options.header is False or not any(map(is_number, first[1])):
        return None
    for line, comment in reversed(comments):
        cells = _names_in(comment, separator)
        if line > first[0] or len(cells) != len(first[1]) or not all(map(_is_text, cells)):
            continue
        if options.header or _is_surely_heading(cells, separator, wanted):
            return line, cells
        if len(cells) == 1 or (wanted is not None and not wanted(cells)):
            continue  # a remark of one word, or names that would not be used
        raise InvalidInput(
            f"line {line}",
            "may be a comment or the heading: choose the heading with "
            f"{options.spelled('header', 'true')}, or the comment with {options.spelled('header', 'false')}",
        )
    return None


def _names_in(comment: str, separator: str) -> list[str]:
    """The cells of a comment without its `#`; no cells if its quotes are not balanced."""
    try:
        return next(separators.rows([comment.strip().lstrip("#")], separator), [])
    except csv.Error:
        return []


def _is_surely_heading(cells: Sequence[str], separator: str, wanted: Wanted | None) -> bool:
    """Whether the cells of a comment certainly name the columns: features of a model, a label, or single words."""
    if wanted is not None and (_names_features(cells, wanted) or not wanted(cells)):
        return bool(wanted(cells))
    if any(cell.strip().casefold() in LABEL_NAMES for cell in cells):
        return True
    return len(cells) > 1 and separator != " " and all(len(cell.split()) == 1 for cell in cells)


def _names_features(first: Sequence[str], wanted: Wanted) -> bool:
    """Whether a line has the name of each feature of a model once."""
    given = [in_one_line(cell) for cell in first]
    features = wanted(given)
    return bool(features) and all(given.count(feature) == 1 for feature in features)


def _is_heading_of(
    wanted: Wanted, line: int, first: Sequence[str], rest: Sequence[Sequence[str]], options: TableOptions
) -> bool:
    """Whether a line with the names of all features is a heading. Names that are numbers may also be a point."""
    if any(map(_is_text, wanted([in_one_line(cell) for cell in first]))):
        return True
    if not _is_heading(line, first, rest, options):
        raise _doubt(line, options)
    return True


def _counts_the_table(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether the first line gives the numbers of rows and features, and the classes, as in scikit-learn's files."""
    if len(rest) < _MIN_COUNTED_ROWS or [cell.strip() for cell in first[:2]] != [str(len(rest)), str(len(rest[0]) - 1)]:
        return False
    return all(map(_is_text, first[2:])) and len(first[2:]) == len({cells[-1].strip() for cells in rest})


def _about_numbers(line: int, first: Sequence[str]) -> list[str]:
    """Warns of a first line with numbers and texts. Some files begin with a line about themselves."""
    numbers = [cell.strip() for cell in first if is_number(cell)]
    if not numbers or _counts(numbers) or not any(map(_is_text, first)):
        return []
    if all(len(number) == 4 and number.isdecimal() for number in numbers):  # years
        return []
    shown = ", ".join(numbers[:4])
    return [f"line {line} names columns by numbers ({shown}): remove the line if it is not the heading"]


def is_trailing(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether each row of full width ends with a separator."""
    last = [cells[-1].strip() for cells in rows if len(cells) == width]
    return width > 1 and bool(last) and not any(last)


def _is_text(cell: str) -> bool:
    return not is_number(cell) and not is_missing(cell) and cell.strip().lower() not in BOOLEANS


def _is_heading(line: int, first: Sequence[str], rest: Sequence[Sequence[str]], options: TableOptions) -> bool:
    texts = [i for i, cell in enumerate(first) if _is_text(cell)]
    numbers = [i for i, cell in enumerate(first) if is_number(cell)]
    if not texts:
        return _is_numbering_heading(line, first, rest, options)
    columns = {i: [cells[i] for cells in rest if i < len(cells)] for i in range(len(first))}
    over_numbers = [i for i in texts if _is_numeric(columns[i])]
    if not numbers:  # a point may have only truth values and gaps
        return bool(over_numbers) or all(_is_text(cell) or not cell.strip() for cell in first)
    numbering = _counts([first[i] for i in numbers])
    labels = [i for i in texts if first[i].strip().casefold() in LABEL_NAMES]
    new = [i for i in texts if first[i].strip() not in {cell.strip() for cell in columns[i]}]
    if numbering and rest and ((over_numbers and new) or (labels and new)):
        return True
    if len(over_numbers) > 1 and len(rest) > 1:
        return True
    is_doubtful = over_numbers and (over_numbers[-1] in (0, len(first) - 1)) and len(rest) > 1
    if (
        is_doubtful
        or (labels and new)
        or (numbering and new and _has_fractions(rest) and not _written_so(first, numbers))
        or _is_alone([first[i] for i in texts], [columns[i] for i in texts])
    ):
        raise _doubt(line, options)
    return False


def _is_numbering_heading(
    line: int, first: Sequence[str], rest: Sequence[Sequence[str]], options: TableOptions
) -> bool:
    """Whether a first line without text numbers the columns, as pandas does for arrays."""
    cells = [cell.strip() for cell in first]
    if rest and len(cells) > 2 and cells[0] == "" and _counts(cells[1:]):
        return True  # the empty cell is over the index
    if not rest or not _counts(cells) or len(cells) < 2:
        return False
    if len(cells) >= _SURE_NUMBERING:
        return True
    if _has_fractions(rest):
        raise _doubt(line, options)
    return False


def _counts(cells: Sequence[str]) -> bool:
    """Whether the cells are 0, 1, 2, ... or 1, 2, 3, ..."""
    texts = [cell.strip() for cell in cells]
    return any(texts == [str(start + i) for i in range(len(texts))] for start in (0, 1))


def _has_fractions(rows: Sequence[Sequence[str]]) -> bool:
    return any("." in cell or "," in cell for cells in rows for cell in cells if is_number(cell))


def _is_alone(texts: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Whether the texts of a first line occur in no row below it, although the texts there occur again and again.

    A text among others that occur once says nothing. Neither does a column that names the rows.
    """
    repeating = [(text, cells) for text, cells in zip(texts, columns, strict=True) if _repeats(cells)]
    return bool(repeating) and all(text.strip() not in {cell.strip() for cell in cells} for text, cells in repeating)


def _repeats(cells: Sequence[str]) -> bool:
    """Whether nearly all texts of a column occur more than once. A few rows with one and the same text do not count."""
    count = Counter(cell.strip() for cell in cells if not is_missing_label(cell))
    if len(count) < 2 and count.total() < _MIN_COUNTED_ROWS:
        return False
    rare = sum(n == 1 for n in count.values())
    return rare < len(count) and rare <= max(1, _RARE * count.total()) and not all(map(is_number, count))


def _written_so(first: Sequence[str], numbers: Sequence[int]) -> bool:
    """Whether the numbers of a line are written with decimal marks."""
    return any("." in first[i] or "," in first[i] for i in numbers)


def _is_numeric(cells: Sequence[str]) -> bool:
    present = [cell for cell in cells if not is_missing(cell)]
    return bool(present) and all(map(is_number, present))


def _is_second_heading(cells: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether a row has no number, although some of its cells are in columns of numbers."""
    if any(is_number(cell) for cell in cells):
        return False
    return any(_is_text(cell) and _is_numeric([row[i] for row in rest if i < len(row)]) for i, cell in enumerate(cells))


def _doubt(line: int, options: TableOptions) -> InvalidInput:
    return InvalidInput(
        f"line {line}",
        f"may be a heading or a point: choose with {options.spelled('header', 'true')} or "
        f"{options.spelled('header', 'false')}",
    )
