"""Arrow IPC streams, `application/vnd.apache.arrow.stream`, if pyarrow is installed.

pyarrow takes about 60 MiB, so it is imported only with the first such body.
"""

import importlib
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from models.boundary.certified.nearest import Nearest
from models.datasets import PointArray, bounded
from models.limits import MAX_FEATURES
from models.specs import InvalidInput
from service.errors import NotAcceptable, ServiceError, UnsupportedMediaType
from service.registry.registry import LoadedVersion

MEDIA_TYPE = "application/vnd.apache.arrow.stream"

NEEDS_PYARROW = "Arrow needs pyarrow, which this service does not have: pip install 'separatrix[arrow]'."

MAX_BATCHES = 1_000
"""Record batches of a stream: each takes 0.1 ms, even if it is empty."""

_HEADER, _LENGTH, _COMPRESSION = 8, 4, 10  # fields of a message and its record batch, by Arrow's format/Message.fbs


def decode_points(content: bytes, *, max_points: int) -> PointArray:
    """Points, float32 (N, D), from a stream with D columns, or with a single column of fixed-size lists of length D.

    Raises:
        InvalidInput: the body is not such a stream, there are too many points, or a number is out of bounds.
        UnsupportedMediaType: pyarrow is not installed.
    """
    pa = _pyarrow(UnsupportedMediaType(NEEDS_PYARROW))
    try:
        batches = list(_batches(pa, content, max_points))
    except InvalidInput:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, IndexError, struct.error, EOFError) as error:
        raise InvalidInput("body", "must be an Arrow IPC stream of record batches without compression") from error
    if not batches:
        raise InvalidInput("points", "must contain at least one point")
    return bounded(np.concatenate(batches))


def _batches(pa: Any, content: bytes, max_points: int) -> Iterator[np.ndarray[Any, Any]]:
    """The points of each batch, (n, D). A batch is read only after its header says that it is small enough."""
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(content))
    first = next(iter(reader), None)
    if first is None:
        raise EOFError
    schema = pa.ipc.read_schema(first)
    _check_columns(pa, schema)
    left = max_points
    for number, message in enumerate(reader):
        if number == MAX_BATCHES:
            raise InvalidInput("body", f"must have at most {MAX_BATCHES:,} record batches")
        length, compressed = _record_batch(message.metadata.to_pybytes())
        left -= length
        if left < 0:
            raise InvalidInput("points", f"must contain at most {max_points:,} points in one request")
        if message.type != "record batch" or compressed:
            raise ValueError
        batch = pa.ipc.read_record_batch(message, schema)
        batch.validate(full=True)
        if batch.num_rows:
            yield _points(batch)


def _check_columns(pa: Any, schema: Any) -> None:
    kinds = {pa.float32(), pa.float64()}
    count = len(schema)
    if count == 1 and pa.types.is_fixed_size_list(schema.field(0).type):
        # the size of the lists is any number that the header claims
        is_float, count = schema.field(0).type.value_type in kinds, schema.field(0).type.list_size
    else:
        is_float = count <= MAX_FEATURES and set(schema.types) <= kinds
    if not is_float or not 1 <= count <= MAX_FEATURES:
        raise InvalidInput(
            "body",
            f"must have 1 to {MAX_FEATURES:,} float32 or float64 columns, or one column of fixed-size lists of these",
        )


def _points(batch: Any) -> np.ndarray[Any, Any]:
    columns = batch.columns
    if any(column.null_count for column in columns):
        raise InvalidInput("body", "must not have nulls")
    if hasattr(columns[0], "flatten"):
        values = columns[0].flatten()
        if values.null_count:
            raise InvalidInput("body", "must not have nulls")
        rows: np.ndarray[Any, Any] = values.to_numpy().reshape(batch.num_rows, -1)
        return rows
    return np.column_stack([column.to_numpy() for column in columns])


def _record_batch(metadata: bytes) -> tuple[int, bool]:
    """The number of rows of a batch, and whether it is compressed: pyarrow tells only once it has decompressed it."""
    from flatbuffers import encode, number_types, table

    root = encode.Get(number_types.UOffsetTFlags.packer_type, metadata, 0)
    message = table.Table(metadata, root)
    header = table.Table(metadata, message.Indirect(message.Offset(_HEADER) + message.Pos))
    length = header.Offset(_LENGTH)
    rows = header.Get(number_types.Int64Flags, length + header.Pos) if length else 0
    if rows < 0:
        raise ValueError
    return rows, header.Offset(_COMPRESSION) != 0


def encode(version: LoadedVersion, columns: Mapping[str, npt.NDArray[np.generic] | Nearest]) -> bytes:
    """A stream of one record batch.

    Columns (N, C) become lists of fixed size C, and `labels` the classes themselves. Nearest changes become structs of
    `point`, `distance` and `at_least`; the first two are null where no other label was found.

    Raises:
        NotAcceptable: pyarrow is not installed.
    """
    pa = _pyarrow(NotAcceptable(NEEDS_PYARROW))
    arrays = {name: _column(pa, column) for name, column in columns.items()}
    if "labels" in arrays:
        arrays["labels"] = pa.array(version.card.classes).take(arrays["labels"])
    published = version.published
    about = {"model": published.model, "version": published.version, "classes": version.card.classes}
    batch = pa.record_batch(arrays).replace_schema_metadata({"separatrix": json.dumps(about)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _column(pa: Any, column: npt.NDArray[np.generic] | Nearest) -> Any:
    if isinstance(column, Nearest):
        missing_N = ~np.isfinite(column.distance_N)
        point = pa.FixedSizeListArray.from_arrays(pa.array(column.xy_N2.ravel()), 2, mask=pa.array(missing_N))
        distance = pa.array(column.distance_N, mask=missing_N)
        parts = {"point": point, "distance": distance, "at_least": pa.array(column.bound_N)}
        return pa.StructArray.from_arrays(list(parts.values()), names=list(parts))
    if column.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(column).ravel()), column.shape[1])
    return pa.array(column)


def _pyarrow(refusal: ServiceError) -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise refusal from None
