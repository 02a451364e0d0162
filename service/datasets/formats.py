"""The formats of datasets: how each is told from the others, and which reader takes it."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from models.limits import MAX_STORED_POINTS
from service.datasets import array_tables, arrow_tables, json_tables
from service.tables import sheet
from service.tables.options import TableOptions
from service.tables.table import Table

Reader = Callable[[IO[bytes], str, TableOptions, Path], Table]
"""Reads a file at its start. Takes the file, its name in messages, the options, and a folder for temporary files."""


@dataclass(frozen=True)
class Format:
    """A format of datasets.

    Attributes:
        name: identifies it.
        media_types: of a request with a file of this format.
        read: its reader.
        may_expand: whether a small file may have large content.
    """

    name: str
    media_types: tuple[str, ...]
    read: Reader
    may_expand: Callable[[IO[bytes]], bool] = lambda _: False


def _read_csv(file: IO[bytes], name: str, options: TableOptions, folder: Path) -> Table:
    return sheet.understand(file, name, options).labelled(max_rows=MAX_STORED_POINTS, folder=folder)


CSV = Format("csv", ("text/csv", "text/tab-separated-values", "text/plain"), _read_csv)
JSON = Format("json", ("application/json",), json_tables.read)
NPY = Format("npy", ("application/x-npy",), array_tables.read_npy)
NPZ = Format("npz", ("application/x-npz",), array_tables.read_npz, may_expand=array_tables.is_large)
ARROW_STREAM = Format(
    "arrow-stream", ("application/vnd.apache.arrow.stream",), arrow_tables.read_stream, may_expand=lambda _: True
)
ARROW_FILE = Format(
    "arrow-file", ("application/vnd.apache.arrow.file",), arrow_tables.read_file, may_expand=lambda _: True
)
PARQUET = Format("parquet", ("application/vnd.apache.parquet",), arrow_tables.read_parquet, may_expand=lambda _: True)

FORMATS = {one.name: one for one in (CSV, JSON, NPY, NPZ, ARROW_STREAM, ARROW_FILE, PARQUET)}
"""Each format by its name."""

MEDIA_TYPES = {media_type: one for one in FORMATS.values() for media_type in one.media_types}
"""Each format by its media types."""

UNKNOWN = "application/octet-stream"
"""The media type of a file whose format its first bytes tell."""

_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\{|\[\s*[\[{\]\"0-9-])")
"""How JSON begins. A heading such as `[x],[y]` does not."""

_MAGIC = {
    b"\x93NUMPY": NPY,
    b"\xff\xff\xff\xff": ARROW_STREAM,
    b"ARROW1": ARROW_FILE,
    b"PAR1": PARQUET,
}


def of_content(file: IO[bytes]) -> Format:
    """The format that the first bytes of a file tell; CSV if they tell none. Leaves the file at its start."""
    start = file.read(64)
    file.seek(0)
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    if start.startswith(b"PK\x03\x04") and b".npy" in start:  # other zip files are no datasets: CSV says so
        return NPZ
    return JSON if _JSON.match(start) else CSV


@contextmanager
def seekable(stream: IO[bytes], folder: Path) -> Iterator[IO[bytes]]:
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
        yield copy
