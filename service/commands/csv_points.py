"""Opens the CSV files of the commands, and reports how they were understood."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.datasets import LabelledPoints
from models.specs import InvalidInput
from service.tables.options import TableOptions
from service.tables.sheet import Sheet, understand
from service.tables.table import Table

STANDARD_INPUT = Path("-")

MAX_NAME_CHARACTERS = 63
"""Maximum length of a name, as `service.records.NAME_RULE` says."""


def name_of(path: Path, option: str) -> str:
    """A name for what is made from a file: the name of the file, with `-` for characters that names do not have.

    Raises:
        InvalidInput: no such character is left. The message names the `option` that gives a name.
    """
    name = re.sub("[^a-z0-9._-]+", "-", path.stem.lower())[:MAX_NAME_CHARACTERS].strip("._-")
    if not name:
        raise InvalidInput(option, f"give a name with --{option}")
    return name


@contextmanager
def opened(path: Path, options: TableOptions) -> Iterator[Sheet]:
    """A file whose first lines are read.

    Raises:
        InvalidInput: see `service.tables.sheet.understand`.
        OSError: the file cannot be read.
    """
    if path == STANDARD_INPUT:
        yield understand(sys.stdin.buffer, "standard input", options)
        return
    with path.open("rb") as file:
        yield understand(file, path.name, options)


def read_labelled(path: Path, options: TableOptions) -> LabelledPoints:
    """The points and labels of a file. Reports how the file was understood.

    Raises:
        InvalidInput: see `opened`, `service.tables.sheet.Sheet.labelled` and `service.tables.table.Table.points`.
        OSError: the file cannot be read.
    """
    with opened(path, options) as sheet:
        table = sheet.labelled()
    points = table.points()
    report(table)
    return points


def report(table: Table) -> None:
    """Prints how a file was understood, and warnings, to standard error."""
    for line in table.understood:
        print(line, file=sys.stderr)
    for line in table.warnings:
        print(f"warning: {line}", file=sys.stderr)
