"""The content of a cell: a number, a truth value, a missing value, or text."""

import math
import re
from collections.abc import Iterable

from models.specs import InvalidInput
from service.tables.options import Decimal, TableOptions

BOOLEANS = {"true": 1.0, "false": 0.0}

ERRORS = {
    *("#n/a", "#n/a n/a", "#div/0!", "#ref!", "#value!", "#name?", "#num!", "#null!", "#spill!", "#calc!", "#error!"),
}
"""What spreadsheets write for a formula without a result, in lower case."""

_MISSING_LABELS = {"", "nan", "-nan", "na", "<na>", "n/a", "nat", "null", "\\n", "?", "."} | ERRORS
_MISSING_NUMBERS = _MISSING_LABELS | {"none", "nil", "-"}

_EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
_GROUP = "'\u2019 \u00a0\u202f"  # what separates thousands in either notation: apostrophes and spaces
_PLAIN: dict[str, re.Pattern[str]] = {
    mark: re.compile(rf"[+-]?(?:[0-9]+{re.escape(mark)}?[0-9]*|{re.escape(mark)}[0-9]+){_EXPONENT}") for mark in ".,"
}
_GROUPED: dict[str, re.Pattern[str]] = {
    mark: re.compile(
        rf"[+-]?[1-9][0-9]{{0,2}}([{_GROUP}{re.escape(other)}])[0-9]{{3}}(?:\1[0-9]{{3}})*(?:[{mark}][0-9]*)?"
    )
    for mark, other in (".,", ",.")
}
_CURRENCY = r"[A-Z]{0,3}[$\u00a2\u00a3\u00a5\u20a0-\u20cf]"  # the last ones are the block of currency signs
_UNIT = r"[^0-9\s_.,;:|+\-'\"()?!*#=<>]{1,10}"
_WITH_UNIT = re.compile(rf"([+\-\u2212]?)({_CURRENCY})?\s*([+\-\u2212]?[0-9.,].*?)\s*({_UNIT})?")
"""A number with a currency sign before it or a unit after it."""

_MAX_WITH_UNIT = 40
"""Maximum length of a cell that is searched for a unit. The search time grows faster than the length."""

_ONE_GROUP = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")


def is_missing(cell: str) -> bool:
    """Whether a cell of a feature is missing."""
    return cell.strip().lower() in _MISSING_NUMBERS


def is_missing_label(cell: str) -> bool:
    """Whether a label is missing. `none` is a class: many datasets have it."""
    return cell.strip().lower() in _MISSING_LABELS


def number(cell: str, decimal: Decimal) -> float | None:
    """The number in a cell, exactly as Python's `float` reads it. None if it is not a number, or infinite."""
    text = cell.strip().replace("\u2212", "-")  # the typographic minus
    if not _PLAIN[decimal].fullmatch(text):
        if not (found := _GROUPED[decimal].fullmatch(text)):
            return None
        text = text.replace(found[1], "")
    value = float(text.replace(",", ".") if decimal == "," else text)
    return value if math.isfinite(value) else None


def is_number(cell: str) -> bool:
    """Whether a cell contains a number, with either decimal mark."""
    return number(cell, ".") is not None or number(cell, ",") is not None


def unit(cell: str) -> str:
    """The unit or sign beside the number in a cell, such as `kg` in `5 kg` and `$` in `$5.00`.

    Empty if the cell is a number alone, or contains anything else.
    """
    text = cell.strip()
    found = _WITH_UNIT.fullmatch(text) if len(text) <= _MAX_WITH_UNIT else None
    if not found or is_number(text):
        return ""
    sign, before, digits, after = found.groups(default="")
    is_one = bool(before) != bool(after) and not (sign and digits[0] in "+-\u2212")
    return before + after if is_one and is_number(digits) else ""


def decimal_mark(rows: Iterable[tuple[int, list[str]]], options: TableOptions) -> tuple[Decimal, bool]:
    """The decimal mark of a table, from its first rows and their line numbers, and whether it is certain.

    Raises:
        InvalidInput: the rows contradict each other, or allow both marks.
    """
    if options.decimal:
        return options.decimal, True
    certain: dict[Decimal, tuple[int, str]] = {}
    ambiguous = None
    for line, cells in rows:
        for cell in cells:
            if "," not in cell and "." not in cell:
                continue
            text = cell.strip()
            point, comma = number(text, ".") is not None, number(text, ",") is not None
            if comma and not point:
                certain.setdefault(",", (line, text))
            elif point and not comma:
                certain.setdefault(".", (line, text))
            elif point and comma and may_be_either(text):
                ambiguous = ambiguous or (line, text)
    if len(certain) == 2:
        (line, text), (other_line, other) = sorted(certain.values(), reverse=True)
        raise InvalidInput(
            f"line {line}",
            f"{text!r} has another decimal mark than {other!r} in line {other_line}: choose it with "
            f"{options.spelled('decimal', '.')} or {options.spelled('decimal', ',')}",
        )
    if ambiguous and not certain:
        raise ambiguous_comma(*ambiguous, options)
    return "," if "," in certain else ".", bool(certain)


def ambiguous_comma(line: int, text: str, options: TableOptions) -> InvalidInput:
    """The error for a number such as `1,234` in a table whose decimal mark is not certain."""
    return InvalidInput(
        f"line {line}",
        f"{text!r} may have a decimal comma or a thousands separator: choose with "
        f"{options.spelled('decimal', ',')} or {options.spelled('decimal', '.')}",
    )


def may_be_either(cell: str) -> bool:
    """Whether the comma of a cell, such as `1,234`, may be a decimal mark or a thousands separator."""
    return "," in cell and bool(_ONE_GROUP.fullmatch(cell.strip()))


def may_be_thousands(cell: str) -> bool:
    """Whether a cell with a point, such as `1.234`, may also be a whole number with a thousands separator."""
    return "." in cell and bool(_ONE_GROUP.fullmatch(cell.strip()))
