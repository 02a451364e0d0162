"""Rows of cells from lines of text, and the separator of a table."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from models.specs import InvalidInput
from service.tables.cells import ERRORS, is_missing, is_number, unit
from service.tables.options import TableOptions

if TYPE_CHECKING:
    from _csv import Reader

CANDIDATES = ("\t", ";", "|", ",", " ")
_NAMES = {"\t": "tab", " ": "space"}
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_CELL = re.compile(r"[^,;|\t\n]*(?=[,;|\t])")
_WORD = re.compile(r'"(?:[^"]|"")*"|\S+')
_SAMPLE_ROWS = 300
_EVEN = 0.9
_OTHERS = frozenset("\t;|")  # unlike commas and blanks, rare within labels


def named(separator: str) -> str:
    """A separator as messages show it."""
    return _NAMES.get(separator, f"'{separator}'")


def declared(line: str) -> str | None:
    """The separator that a line such as `sep=;` declares, as spreadsheets write it."""
    found = _SEPARATOR_LINE.fullmatch(line)
    return found[1] if found else None


def is_comment(line: str) -> bool:
    """Whether a line is a comment. A first cell that is `#` or an error such as `#N/A` begins a row instead."""
    if "#" not in line or not (text := line.lstrip()).startswith("#"):
        return False
    first = _CELL.match(text)
    return not first or (first[0] != "#" and first[0].strip().lower() not in ERRORS)


def rows(lines: Iterable[str], separator: str) -> "Reader":
    """The cells of each line. Any run of blanks is one separator if it is the space."""
    if separator == " ":
        return csv.reader(map(joined_by_tabs, lines), delimiter="\t", strict=True)
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)


def joined_by_tabs(line: str) -> str:
    """A line with each run of blanks outside quotes as one tab."""
    words = _WORD.findall(line) if '"' in line else line.split()
    return "\t".join(words) + "\n"


def single_quotes(lines: Sequence[str], separators: Iterable[str]) -> "re.Pattern[str] | None":
    """What matches a value in single quotes, if that is how the lines quote values; else None.

    They do if all their apostrophes are such quotes, and if they have no double quotes.

    Args:
        lines: some lines of a table.
        separators: the characters that may be between its values.
    """
    if any('"' in line for line in lines):
        return None
    between = "".join(map(re.escape, separators))
    quoted = re.compile(rf"(^|[{between}])\s*'((?:[^']|'')*)'(?=\s*(?:$|[{between}]))")
    with_any = [line for line in lines if "'" in line]
    return quoted if with_any and not any("'" in quoted.sub("", line) for line in with_any) else None


def in_double_quotes(line: str, quoted: "re.Pattern[str]") -> str:
    """A line with double quotes in place of the single quotes that `quoted` matches."""
    if "'" not in line:
        return line
    return quoted.sub(lambda found: f'{found[1]}"{_escaped(found[2])}"', line)


def _escaped(value: str) -> str:
    return value.replace("''", "'").replace('"', '""')


def is_empty(row: Sequence[str]) -> bool:
    """Whether no cell of a row has a value."""
    return not any(cell and not cell.isspace() for cell in row)


def numbered(reader: "Reader", first_line: int) -> Iterator[tuple[int, list[str]]]:
    """Rows that have a cell, with the numbers of the lines in which they start.

    Raises:
        InvalidInput: the quotes of a line are not balanced, or a value is too long.
    """
    start = first_line
    try:
        for row in reader:
            line, start = start, first_line + reader.line_num
            if row:
                yield line, row
    except csv.Error as error:
        reason = "a quote is not closed" if "end of data" in str(error) else str(error)
        raise InvalidInput(f"line {start}", f"is not CSV: {reason}") from None


def find(lines: list[str], name: str, options: TableOptions) -> str:
    """The separator that gives rows of equal length and the most numbers. A comma if no candidate separates anything.

    Raises:
        InvalidInput: several separators fit equally well, or one fits better in one respect and another in another.
    """
    fits = [fit for separator in CANDIDATES if (fit := _fit(lines, separator))]
    fits = [fit for fit in fits if fit.is_even] or fits
    if not fits:
        return ","
    if len(fits) > 1:  # blanks are common within labels and headings
        most = max(fit.numbers for fit in fits if fit.separator != " ")
        fits = [fit for fit in fits if fit.separator != " " or (fit.numbers > most and fit.mixed == 0)]
    numbers, mixed = max(fit.numbers for fit in fits), min(fit.mixed for fit in fits)
    best = [fit for fit in fits if (fit.numbers, fit.mixed) == (numbers, mixed)]
    if len(best) != 1:
        doubtful = [fit.separator for fit in best or fits if fit.numbers == numbers or fit.mixed == mixed]
        choices = " or ".join(options.spelled("separator", _NAMES.get(one, f'"{one}"')) for one in doubtful)
        raise InvalidInput(name, f"may be separated by {' or by '.join(map(named, doubtful))}: choose with {choices}")
    return best[0].separator


@dataclass(frozen=True)
class _Fit:
    """How well a separator fits.

    Attributes:
        separator: the separator.
        is_even: whether almost all rows are of equal length.
        numbers: the share of the cells that are numbers, perhaps with a unit.
        mixed: the share of the cells that are not numbers and contain other separators.
    """

    separator: str
    is_even: bool
    numbers: float
    mixed: float


def _fit(lines: list[str], separator: str) -> _Fit | None:
    """How well a separator fits, or None if it separates nothing."""
    try:
        sample = [row for row in islice(rows(lines, separator), _SAMPLE_ROWS) if any(row)]
    except csv.Error:
        return None
    counts = Counter(len(row) for row in sample)
    if max(counts, default=0) < 2:
        return None
    body = sample[1:] or sample
    width, frequency = Counter(len(row) for row in body).most_common(1)[0]
    is_heading_of_r = len(sample[0]) == width - 1 > 1
    is_even = frequency >= _EVEN * len(body) and (counts[width] >= _EVEN * len(sample) or is_heading_of_r)
    cells = [cell for row in body for cell in row if not is_missing(cell)]
    others = {*_OTHERS, ","} if separator == " " else _OTHERS
    numbers = sum(is_number(cell) or bool(unit(cell)) for cell in cells)
    mixed = sum(not is_number(cell) and not others.isdisjoint(cell) for cell in cells)
    total = max(1, len(cells))
    return _Fit(separator, width > 1 and is_even, numbers / total, mixed / total)
