"""Reads points from CSV files, for the commands."""

import csv
import io
import sys
from contextlib import suppress
from pathlib import Path

from models.datasets import DoubleArray, Label, LabelledPoints, from_rows, points_array
from models.specs import InvalidInput

STANDARD_INPUT = Path("-")


def read_points(path: Path) -> DoubleArray:
    """The points of a file, one on each line: float64 (N, D). A first line without any number is a header.

    Raises:
        InvalidInput: a value is not a number, or lines differ in length; the field names the line.
        OSError: the file cannot be read.
    """
    lines = _lines(path)
    return points_array([_numbers(cells, number) for number, cells in lines], field=path.name)


def read_labelled(path: Path) -> LabelledPoints:
    """The points and labels of a file: each line has the coordinates of a point, then its label.

    The labels are integers if every one of them is an integer, else strings.

    Raises:
        InvalidInput: see `read_points` and `models.datasets.from_rows`.
        OSError: the file cannot be read.
    """
    lines = _lines(path)
    labels: list[Label] = [cells[-1] for _, cells in lines]
    with suppress(ValueError):  # they are names
        labels = [int(label) for label in labels]
    return from_rows([_numbers(cells[:-1], number) for number, cells in lines], labels)


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """The cells of each line with its number, without empty lines and the header."""
    try:
        content = sys.stdin.buffer.read() if path == STANDARD_INPUT else path.read_bytes()
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error):
        raise InvalidInput(path.name, "is not a UTF-8 CSV file") from None
    lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(rows, start=1) if any(row)]
    if lines and not any(_is_number(cell) for cell in lines[0][1]):
        lines = lines[1:]
    if not lines:
        raise InvalidInput(path.name, "has no points")
    width = len(lines[0][1])
    for number, cells in lines:
        if len(cells) != width:
            raise InvalidInput(f"line {number}", f"has {len(cells)} values, but the first line has {width}")
    return lines


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(cells: list[str], number: int) -> list[float]:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        raise InvalidInput(f"line {number}", "must be numbers separated by commas") from None
