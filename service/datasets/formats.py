"""The formats of data sets: how each is told from the others, and which reader takes it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from models.limits import MAX_STORED_POINTS
from service.datasets import json_tables
from service.tables import sheet
from service.tables.options import TableOptions
from service.tables.table import Table

Reader = Callable[[BinaryIO, str, TableOptions, Path], Table]
"""Reads a file at its start. Takes the file, its name in messages, the options, and a folder for temporary files."""


@dataclass(frozen=True)
class Format:
    """A format of data sets.

    Attributes:
        media_types: of a request with a file of this format.
        read: its reader.
    """

    media_types: tuple[str, ...]
    read: Reader


def _read_csv(file: BinaryIO, name: str, options: TableOptions, folder: Path) -> Table:
    return sheet.understand(file, name, options).labelled(max_rows=MAX_STORED_POINTS, folder=folder)


CSV = Format(("text/csv", "text/tab-separated-values", "text/plain"), _read_csv)
JSON = Format(("application/json",), json_tables.read)

FORMATS = (CSV, JSON)

MEDIA_TYPES = {media_type: one for one in FORMATS for media_type in one.media_types}
"""Each format by its media types."""

UNKNOWN = "application/octet-stream"
"""The media type of a file whose format its first bytes tell."""


def of_content(file: BinaryIO) -> Format:
    """The format that the first bytes of a file tell; CSV if they tell none. Leaves the file at its start."""
    start = file.read(64)
    file.seek(0)
    return JSON if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else CSV


@contextmanager
def seekable(stream: BinaryIO, folder: Path) -> Iterator[BinaryIO]:
    """The stream, or a copy of it in a temporary file of the folder if it cannot be read twice.

    Raises:
        OSError: the folder cannot be written.
    """
    if stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile(dir=folder) as copy:
        shutil.copyfileobj(stream, copy)
        copy.seek(0)
        yield cast(BinaryIO, copy)
