"""Arrow IPC streams, `application/vnd.apache.arrow.stream`, if pyarrow is installed.

pyarrow takes about 60 MiB, so it is imported only with the first such body.
"""

import importlib
import json
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from models.boundary.certified.nearest import Nearest
from models.categories import cleaned
from models.datasets import bounded
from models.limits import MAX_FEATURES
from models.sent_points import SentPoints
from models.specs import InvalidInput
from service.datasets.arrow_tables import indices_of_pandas
from service.errors import NotAcceptable, ServiceError, UnsupportedMediaType
from service.registry.networks import LoadedNetwork
from service.tables.columns import is_written_index

MEDIA_TYPE = "application/vnd.apache.arrow.stream"

NEEDS_PYARROW = "Arrow needs pyarrow, which this service does not have: pip install 'separatrix[arrow]'."

_Batch = tuple[npt.NDArray[np.floating], Mapping[str, Sequence[str]]]
"""The numbers of some points, (n, C), and the n values of each column of text."""

MAX_BATCHES = 1_000
"""Record batches of a stream: each takes 0.1 ms, even if it is empty."""

NULL = "must not have nulls"

_HEADER, _LENGTH, _COMPRESSION = 8, 4, 10  # fields of a message and its record batch, by Arrow's format/Message.fbs
_DATA = 6  # of a dictionary batch


def decode_points(content: bytes, *, max_points: int) -> SentPoints:
    """Points from a stream whose columns are numbers, truth values or text, or whose only column has all coordinates.

    Numbers may be decimals, and columns may be codes of a dictionary. An only column of all coordinates holds lists of
    one length, or structs. Points of columns and of structs have names.

    Raises:
        InvalidInput: the body is not such a stream, there are too many points, or a number is out of bounds.
        UnsupportedMediaType: pyarrow is not installed.
    """
    pa = _pyarrow(UnsupportedMediaType(NEEDS_PYARROW))
    if content.startswith(b"ARROW1"):
        raise InvalidInput("body", "must be an Arrow IPC stream, not a file: write it with pyarrow.ipc.new_stream")
    try:
        reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(content))
        first = next(iter(reader), None)
        if first is None:
            raise EOFError
        if first.type != "schema":  # pyarrow reads any message as a schema, and crashes
            raise ValueError
        schema = pa.ipc.read_schema(first)
        indices = indices_of_pandas(schema)
        unused = _unused(pa, schema, indices)
        names = _checked_columns(pa, [one for one in schema if one.name not in unused])
        batches = list(_batches(pa, _record_batches(pa, reader, schema, content, max_points), unused))
    except InvalidInput:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, IndexError, struct.error, EOFError) as error:
        raise InvalidInput("body", "must be an Arrow IPC stream of record batches without compression") from error
    if not batches:
        raise InvalidInput("points", "must contain at least one point")
    array = bounded(np.concatenate([array for array, _ in batches]))
    texts: dict[str, Sequence[str]] = {
        name: [*chain.from_iterable(found[name] for _, found in batches)] for name in batches[0][1]
    }
    numbers = names and tuple(name for name in names if name not in texts)
    return SentPoints(array, numbers, texts=texts, indices=frozenset(indices.intersection(names or ())))


def _unused(pa: Any, schema: Any, indices: Collection[str]) -> set[str]:
    """The names of the columns that are not features: an index without a name, or an index of times."""
    return {
        one.name
        for one in schema
        if is_written_index(one.name)
        or (one.name in indices and not _is_number(pa, one.type) and not _is_text(pa, one.type))
    }


def _record_batches(pa: Any, reader: Any, schema: Any, content: bytes, max_points: int) -> Iterator[Any]:
    """The batches of a stream. A batch is read only after its header says that it is small enough."""
    is_coded = any(map(pa.types.is_dictionary, _leaves(pa, schema)))
    left = max_points
    for number, message in enumerate(reader):
        if number == MAX_BATCHES:
            raise InvalidInput("body", f"must have at most {MAX_BATCHES:,} record batches")
        is_dictionary = message.type == "dictionary" and is_coded
        length, compressed = _record_batch(message.metadata.to_pybytes(), is_dictionary=is_dictionary)
        if compressed or (message.type != "record batch" and not is_dictionary):
            raise ValueError
        if is_dictionary:
            continue
        left -= length
        if left < 0:
            raise InvalidInput("points", f"must contain at most {max_points:,} points in one request")
        if not is_coded:
            yield pa.ipc.read_record_batch(message, schema)
    if is_coded:  # pyarrow reads dictionaries only from a whole stream, whose messages are checked by now
        yield from pa.ipc.open_stream(pa.py_buffer(content))


def _leaves(pa: Any, schema: Any) -> list[Any]:
    """The types of the columns and of the fields of structs."""
    kinds = [list(one.type) if pa.types.is_struct(one.type) else [one] for one in schema]
    return [one.type for one in chain.from_iterable(kinds)]


def _batches(pa: Any, batches: Iterable[Any], unused: Collection[str]) -> Iterator[_Batch]:
    """The points of each batch."""
    first, width = 0, 0
    for batch in batches:
        batch.validate(full=True)
        if batch.num_rows:
            used = [i for i, name in enumerate(batch.schema.names) if name not in unused]
            array, texts = _points(pa, batch.select(used), first)
            width = width or array.shape[1]
            if array.shape[1] != width:
                raise _unequal(first, array.shape[1], width)
            yield array, texts
        first += batch.num_rows


def _checked_columns(pa: Any, fields: list[Any]) -> tuple[str, ...] | None:
    """The names of the coordinates; None if the points are lists.

    Raises:
        InvalidInput: a column has neither numbers nor text, two have the same name, or there are too many coordinates.
    """
    if len(fields) == 1 and pa.types.is_struct(fields[0].type):
        fields = list(fields[0].type)
    names: tuple[str, ...] | None = tuple(field.name for field in fields)
    kinds, count = [field.type for field in fields], len(fields)
    if count == 1 and _is_list(pa, kinds[0]):
        names = None
        # the size of the lists is any number that the header claims
        count = kinds[0].list_size if pa.types.is_fixed_size_list(kinds[0]) else 1
        kinds = [kinds[0].value_type]
    texts = [kind for kind in kinds if names is not None and _is_text(pa, kind)]
    if names is not None and texts and len(set(names)) < len(names):
        raise InvalidInput("body", "must have each name only once")
    if not 1 <= count <= MAX_FEATURES:
        raise InvalidInput(
            "body",
            f"must have 1 to {MAX_FEATURES:,} columns of numbers or text, or one column of lists or structs of them",
        )
    for field, kind in zip(fields, kinds, strict=True):
        is_number = _is_number(pa, kind) and (names is not None or not pa.types.is_dictionary(kind))
        if not is_number and kind not in texts:
            raise InvalidInput("body", f"must have numbers or text in '{field.name}', not values of the type {kind}")
    return names


def _is_list(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(pa: Any, kind: Any) -> bool:
    kind = _decoded(pa, kind)
    is_real = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(is_real or kind == pa.bool_())


def _decoded(pa: Any, kind: Any) -> Any:
    """The type of the values of a column, which may be codes of a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(pa: Any, kind: Any) -> bool:
    kind = _decoded(pa, kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _points(pa: Any, batch: Any, first: int) -> _Batch:
    """The points of a batch, of which the first has the index `first` in the stream."""
    names, columns = batch.schema.names, batch.columns
    _refuse_nulls(columns, first)
    if pa.types.is_struct(columns[0].type):
        names, columns = [field.name for field in columns[0].type], columns[0].flatten()
        _refuse_nulls(columns, first)
    if not _is_list(pa, columns[0].type):
        texts = {
            name: _texts(pa, column, first)
            for name, column in zip(names, columns, strict=True)
            if _is_text(pa, column.type)
        }
        numbers = [_numbers(_plain(pa, column, first)) for column in columns if not _is_text(pa, column.type)]
        return np.stack(numbers, axis=1) if numbers else np.empty((batch.num_rows, 0)), texts
    values = columns[0].flatten()
    lengths = np.full(batch.num_rows, len(values) // batch.num_rows)
    if not pa.types.is_fixed_size_list(columns[0].type):
        lengths = np.diff(columns[0].offsets.to_numpy())
    if not 1 <= lengths[0] <= MAX_FEATURES:
        raise InvalidInput("body", f"must have lists of 1 to {MAX_FEATURES:,} numbers")
    if (lengths != lengths[0]).any():
        other = int((lengths != lengths[0]).argmax())
        raise _unequal(first + other, lengths[other], lengths[0])
    _refuse_nulls([values], first, per_point=int(lengths[0]))
    return _numbers(_plain(pa, values, first)).reshape(batch.num_rows, -1), {}


def _refuse_nulls(columns: Sequence[Any], first: int, *, per_point: int = 1) -> None:
    for column in columns:
        if column.null_count:
            null = column.is_null().to_numpy(zero_copy_only=False).argmax()
            raise InvalidInput(f"points.{first + null // per_point}", NULL)


def _texts(pa: Any, column: Any, first: int) -> list[str]:
    """The values of a column of text.

    Those of a dictionary are cleaned once and shared: a long one may stand in each row.
    """
    if not pa.types.is_dictionary(column.type):
        texts: list[str] = column.to_pylist()
        return texts
    different = [text if text is None else cleaned(text) for text in column.dictionary.to_pylist()]
    found = [different[code] for code in column.indices.to_pylist()]
    if None in different and None in found:
        raise InvalidInput(f"points.{first + found.index(None)}", NULL)
    return found


def _plain(pa: Any, column: Any, first: int) -> Any:
    """A column of numbers without codes of a dictionary and without decimals."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
        _refuse_nulls([column], first)
    return column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column


def _unequal(index: int, length: int, expected: int) -> InvalidInput:
    return InvalidInput(
        f"points.{index}", f"must have the same number of coordinates as the first point: {expected}, not {length}"
    )


def _numbers(column: Any) -> npt.NDArray[np.floating]:
    """A column without nulls as float32 if that holds all values of its type, else as float64."""
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values.astype(np.result_type(values.dtype, np.float32), copy=False)


def _record_batch(metadata: bytes, *, is_dictionary: bool) -> tuple[int, bool]:
    """The number of rows of a batch, and whether it is compressed.

    pyarrow itself reports compression only after it has decompressed the batch. The values of a dictionary are a batch
    too.
    """
    from flatbuffers import encode, number_types, table

    root = encode.Get(number_types.UOffsetTFlags.packer_type, metadata, 0)
    message = table.Table(metadata, root)
    header = table.Table(metadata, message.Indirect(message.Offset(_HEADER) + message.Pos))
    if is_dictionary:
        header = table.Table(metadata, header.Indirect(header.Offset(_DATA) + header.Pos))
    length = header.Offset(_LENGTH)
    rows = header.Get(number_types.Int64Flags, length + header.Pos) if length else 0
    if rows < 0:
        raise ValueError
    return rows, header.Offset(_COMPRESSION) != 0


def encode(version: LoadedNetwork, columns: Mapping[str, npt.NDArray[np.generic] | Nearest]) -> bytes:
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
    about = {**version.answered_by, "classes": version.card.classes}
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
