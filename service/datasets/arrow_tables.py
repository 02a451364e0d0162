"""Datasets in Arrow and Parquet, if pyarrow is installed.

Both may be compressed, so a small file can need much memory. `service.datasets.reading` bounds the memory.
"""

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from models.limits import MAX_FEATURES, MAX_STORED_POINTS
from models.specs import InvalidInput
from service.errors import UnsupportedMediaType
from service.tables import frame
from service.tables.frame import Rows, Values
from service.tables.options import TableOptions
from service.tables.table import Table

NEEDS_PYARROW = "Arrow and Parquet need pyarrow, which is not installed: pip install 'separatrix[arrow]'."

_PART_ROWS = 10_000
_BUFFER_BYTES = 2**18
"""Bytes of a Parquet file that are read at a time, for each column."""


def read_stream(file: IO[bytes], name: str, options: TableOptions, folder: Path) -> Table:
    """The table of an Arrow IPC stream.

    Raises:
        InvalidInput: the file is no such stream, or the table cannot be used.
        UnsupportedMediaType: pyarrow is not installed.
        OSError: the folder cannot be written.
    """
    pa = _pyarrow("pyarrow")
    with _Damage(pa, name, "an Arrow IPC stream"):
        reader = pa.ipc.open_stream(_mapped(pa, file))
        return _read(pa, reader.schema, reader, name, options, folder, "an Arrow stream")


def read_file(file: IO[bytes], name: str, options: TableOptions, folder: Path) -> Table:
    """The table of an Arrow IPC file, also known as Feather. Raises as `read_stream`."""
    pa = _pyarrow("pyarrow")
    with _Damage(pa, name, "an Arrow IPC file"):
        reader = pa.ipc.open_file(_mapped(pa, file))
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        return _read(pa, reader.schema, batches, name, options, folder, "an Arrow file")


def read_parquet(file: IO[bytes], name: str, options: TableOptions, folder: Path) -> Table:
    """The table of a Parquet file. Raises as `read_stream`."""
    pa, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    with _Damage(pa, name, "a Parquet file"):
        # no whole row group in memory: most files have only one
        reader = parquet.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        if reader.metadata.num_rows > MAX_STORED_POINTS:
            raise InvalidInput(name, f"must have at most {MAX_STORED_POINTS:,} points")
        _check_width(len(reader.schema_arrow), name)
        batches = reader.iter_batches(batch_size=_PART_ROWS)
        return _read(pa, reader.schema_arrow, batches, name, options, folder, "Parquet")


def _read(
    pa: Any, schema: Any, batches: Iterable[Any], name: str, options: TableOptions, folder: Path, notation: str
) -> Table:
    _check_width(len(schema), name)
    for field in schema:
        if pa.types.is_nested(field.type):
            raise InvalidInput(
                f"column '{field.name}'", f"has values of the type {field.type}: give each number a separate column"
            )

    def parts() -> Iterator[Rows]:
        for batch in batches:
            batch.validate(full=True)
            for start in range(0, batch.num_rows, _PART_ROWS):
                yield [_values(pa, column) for column in batch.slice(start, _PART_ROWS).columns]

    found = frame.understand(name, schema.names, parts(), options, notation=notation)
    return found.labelled(max_rows=MAX_STORED_POINTS, folder=folder)


def _mapped(pa: Any, file: IO[bytes]) -> Any:
    """The content of a file, without reading it into memory: what is not compressed stays in the file."""
    length = file.seek(0, 2)
    return pa.py_buffer(np.memmap(file, np.uint8, "r", shape=(length,)) if length else b"")


def _check_width(width: int, name: str) -> None:
    if width > MAX_FEATURES + 1:
        raise InvalidInput(name, f"must have at most {MAX_FEATURES:,} features and a label")


def _values(pa: Any, column: Any) -> Values:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return [value if value is None or isinstance(value, str) else str(value) for value in column.to_pylist()]
    values: Values = column.to_numpy(zero_copy_only=False)
    return values


class _Damage:
    """Raises `InvalidInput` for pyarrow's errors about a file."""

    def __init__(self, pa: Any, name: str, what: str) -> None:
        self._pa = pa
        self._name = name
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, InvalidInput | MemoryError) or error is None:
            return
        if isinstance(error, self._pa.ArrowException) or (
            isinstance(error, OSError) and error.errno is None  # pyarrow's own; those of the system have a number
        ):
            raise InvalidInput(self._name, f"must be {self._what}") from error


def _pyarrow(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UnsupportedMediaType(NEEDS_PYARROW) from None
