"""Datasets in Arrow and Parquet, if pyarrow is installed.

Both may be compressed, so a small file can need much memory. `service.datasets.reading` bounds the memory.
"""

import importlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from models.limits import MAX_FEATURES, MAX_STORED_POINTS
from models.specs import InvalidInput
from service.errors import UnsupportedMediaType
from service.tables import frame
from service.tables.columns import Column, describe
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
    columns = [describe(i, heading, (), ".") for i, heading in enumerate(schema.names)]
    unused = frame.unused(columns, options)
    for column, kind in zip(columns, schema.types, strict=True):
        if pa.types.is_nested(kind) and column.index not in unused:
            raise _unreadable(column, kind, options)

    def parts() -> Iterator[Rows]:
        for batch in batches:
            batch.validate(full=True)
            for start in range(0, batch.num_rows, _PART_ROWS):
                part = batch.slice(start, _PART_ROWS)
                yield [
                    [None] * len(part) if column.index in unused else _values(pa, values, column, options)
                    for column, values in zip(columns, part.columns, strict=True)
                ]

    indices = indices_of_pandas(schema)
    found = frame.understand(name, schema.names, parts(), options, notation=notation, indices=indices)
    return found.labelled(max_rows=MAX_STORED_POINTS, folder=folder)


def _mapped(pa: Any, file: IO[bytes]) -> Any:
    """The content of a file, without reading it into memory: what is not compressed stays in the file."""
    length = file.seek(0, 2)
    return pa.py_buffer(np.memmap(file, np.uint8, "r", shape=(length,)) if length else b"")


def _check_width(width: int, name: str) -> None:
    if width > MAX_FEATURES + 1:
        raise InvalidInput(name, f"must have at most {MAX_FEATURES:,} features and a label")


def indices_of_pandas(schema: Any) -> set[str]:
    """The columns that pandas wrote as the index of its table."""
    try:
        indices = json.loads(schema.metadata[b"pandas"])["index_columns"]
        return {one for one in indices if isinstance(one, str)}  # a range is an object
    except (TypeError, KeyError, ValueError):
        return set()


def _values(pa: Any, array: Any, column: Column, options: TableOptions) -> Values:
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    is_coded = pa.types.is_dictionary(array.type)
    kind = array.type.value_type if is_coded else array.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        try:
            return [_text(value) for value in array.to_pylist()]
        except (ValueError, OverflowError) as error:  # bytes that are not text, or times that Python cannot represent
            raise _unreadable(column, kind, options) from error
    values: Values = (array.dictionary_decode() if is_coded else array).to_numpy(zero_copy_only=False)
    return values


def _unreadable(column: Column, kind: Any, options: TableOptions) -> InvalidInput:
    drop = options.spelled("drop", column.selector)
    return InvalidInput(
        column.title,
        f"has values of the type {kind} that are not numbers or UTF-8 text: give each number a separate column, or "
        f"leave the column out with {drop}",
    )


def _text(value: Any) -> str | None:
    """A value of a column without numbers. Bytes must be UTF-8."""
    if isinstance(value, bytes):
        return value.decode()
    return value if value is None else str(value)


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
