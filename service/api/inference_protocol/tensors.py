"""Tensors of the protocol: input tensors as arrays of numbers or as texts, from JSON or little-endian bytes."""

import math
import struct
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import simdjson

from models.datasets import DoubleArray, FloatArray, PointArray
from models.limits import MAX_NAME_LENGTH
from models.specs import InvalidInput

NUMBERS: dict[str, npt.DTypeLike] = {
    "BOOL": "u1",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "BF16": "<u2",  # the upper half of a float32
    "FP32": "<f4",
    "FP64": "<f8",
}
"""How the datatypes of numbers are stored."""

TEXT = "BYTES"

MAX_DIMENSIONS = 2

PIECE_BYTES = 2**16
"""Approximate length of the JSON that is parsed at a time: a fraction of a millisecond, then other threads may run."""

_ALL_BUT_MARKS = bytes(set(range(256)) - set(b'[],{}"'))
_LENGTH = struct.Struct("<I")

Parameters = dict[str, str | int | float | bool | None]


class Size(int):
    """A size in the shape of a tensor. Some clients write 2 as 2.0 in JSON."""


def whole(sent: Any) -> int | None:
    """The value as a whole number, also if it was written as 2.0; None if it is not whole."""
    is_number = isinstance(sent, int | float) and not isinstance(sent, bool)
    return int(sent) if is_number and sent == sent // 1 else None


class Tensor(msgspec.Struct):
    """An input tensor as it is sent. Fields that the protocol does not have are ignored.

    Attributes:
        shape: one or two sizes.
        parameters: `binary_data_size`, if the values follow the JSON.
        data: the JSON of the values, if they are in the JSON.
    """

    name: str
    shape: list[Size]
    datatype: str
    parameters: Parameters | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def binary_size(self) -> int | None:
        """The length of its values in bytes, if they follow the JSON.

        Raises:
            InvalidInput: it is not a length, or the values are in the JSON too.
        """
        sent = (self.parameters or {}).get("binary_data_size")
        if sent is None:
            return None
        size = whole(sent)
        if size is None or size < 0:
            raise InvalidInput(self.field, "must have a number of bytes as its binary_data_size")
        if self.data is not msgspec.UNSET:
            raise InvalidInput(self.field, "must have either data or binary_data_size, not both")
        return size

    @property
    def field(self) -> str:
        """The name of the tensor in messages."""
        return f"inputs.{self.name[:MAX_NAME_LENGTH]}"


def count(tensor: Tensor) -> int:
    """The number of values that the shape of a tensor promises.

    Raises:
        InvalidInput: it has no value, or more than two dimensions.
    """
    if not 1 <= len(tensor.shape) <= MAX_DIMENSIONS:
        raise InvalidInput(tensor.field, f"must have 1 or 2 dimensions, not {len(tensor.shape):,}")
    if min(tensor.shape) < 1:
        raise InvalidInput(tensor.field, "must have at least one value: each size of its shape must be 1 or more")
    return math.prod(tensor.shape)


def numbers(tensor: Tensor, binary: memoryview | None) -> PointArray:
    """The values of a tensor in its shape: float32 if that holds every number of the datatype, else float64.

    Numbers in JSON are float64, since they are more exact than FP32 as they are written.

    Args:
        tensor: an input tensor.
        binary: its values as bytes; None if they are in the JSON.

    Raises:
        InvalidInput: the datatype has no numbers, or the values do not fit the shape or the datatype.
    """
    dtype = _dtype(tensor)
    flat = _json_numbers(tensor, dtype) if binary is None else _binary_numbers(tensor, dtype, binary)
    return flat.reshape(tensor.shape)


def texts(tensor: Tensor, binary: memoryview | None) -> list[str]:
    """The texts of a tensor of datatype BYTES, in the order of its values.

    Raises:
        InvalidInput: the values do not fit the shape, or a text is not UTF-8.
    """
    found = _json_texts(tensor) if binary is None else _binary_texts(tensor, binary)
    if len(found) != count(tensor):
        raise InvalidInput(tensor.field, f"must have {count(tensor):,} strings, as its shape says, not {len(found):,}")
    return found


def text_bytes(text: str) -> bytes:
    """A text as an element of a binary tensor of datatype BYTES."""
    encoded = text.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _dtype(tensor: Tensor) -> np.dtype[Any]:
    if tensor.datatype == TEXT:
        raise InvalidInput(tensor.field, f"must have numbers, not datatype {TEXT}")
    if tensor.datatype not in NUMBERS:
        raise InvalidInput(tensor.field, f"must have one of the datatypes {', '.join(NUMBERS)}, {TEXT}")
    return np.dtype(NUMBERS[tensor.datatype])


def _binary_numbers(tensor: Tensor, dtype: np.dtype[Any], binary: memoryview) -> PointArray:
    values = count(tensor)
    if len(binary) != values * dtype.itemsize:
        raise InvalidInput(
            tensor.field,
            f"must have {values * dtype.itemsize:,} bytes for {values:,} values of datatype {tensor.datatype}, "
            f"not {len(binary):,}",
        )
    flat = np.frombuffer(binary, dtype)
    if tensor.datatype == "BF16":
        upper: FloatArray = (flat.astype(np.uint32) << 16).view(np.float32)
        return upper
    if tensor.datatype == "BOOL":
        flat = flat != 0
    kind = np.result_type(flat.dtype, np.float32)
    # the compiled kernel reads aligned arrays only, and the values begin wherever the JSON ends
    found: PointArray = np.require(flat.astype(kind, copy=False), requirements=["ALIGNED"])
    return found


def _json_numbers(tensor: Tensor, dtype: np.dtype[Any]) -> DoubleArray:
    text = _json_text(tensor).translate(None, b"[]")
    if tensor.datatype == "BOOL":
        text = text.replace(b"true", b"1").replace(b"false", b"0")
    pieces = []
    start = 0
    try:
        while start < len(text):
            end = text.find(b",", start + PIECE_BYTES)
            end = len(text) if end < 0 else end
            parsed = simdjson.Parser().parse(b"[" + text[start:end] + b"]")
            assert isinstance(parsed, simdjson.Array), "the text is in brackets"
            pieces.append(np.frombuffer(parsed.as_buffer(of_type="d")))
            start = end + 1
    except (ValueError, TypeError, RuntimeError):  # simdjson: RuntimeError for very long integers
        raise InvalidInput(tensor.field, "must have numbers within float64 as data") from None
    flat: DoubleArray = np.concatenate(pieces)
    if tensor.datatype == "BOOL" and not np.isin(flat, (0, 1)).all():
        raise InvalidInput(tensor.field, "must have true and false as data, as its datatype says")
    if tensor.datatype.removeprefix("U").startswith("INT"):
        bounds = np.iinfo(dtype)
        if not ((flat == np.floor(flat)) & (flat >= bounds.min) & (flat <= bounds.max)).all():
            raise InvalidInput(tensor.field, f"must have whole numbers within {tensor.datatype} as data")
    return flat


def _json_text(tensor: Tensor) -> bytes:
    """The JSON of the values, which are numbers in one list, or in lists nested as the shape says.

    Only the brackets, commas and quotes are compared: msgspec has checked that the text is JSON.

    Raises:
        InvalidInput: they are not, or have another number.
    """
    text = _json_data(tensor)
    values = count(tensor)
    marks = text.translate(None, _ALL_BUT_MARKS)
    if values <= len(text):  # otherwise the lists below could be huge
        row = b"[" + b"," * (tensor.shape[-1] - 1) + b"]"
        nested = b"[" + b",".join([row] * tensor.shape[0]) + b"]" if len(tensor.shape) > 1 else row
        if marks in (b"[" + b"," * (values - 1) + b"]", nested):
            return text
    raise InvalidInput(
        tensor.field, f"must have {values:,} numbers as data, as its shape says: in one list, or nested as its shape"
    )


def _json_data(tensor: Tensor) -> bytes:
    if tensor.data is msgspec.UNSET:
        raise InvalidInput(tensor.field, "must have data, or the parameter binary_data_size")
    return bytes(tensor.data)


def _json_texts(tensor: Tensor) -> list[str]:
    data = _json_data(tensor)
    try:
        found = msgspec.json.decode(data, type=list[str | list[str]])
    except msgspec.DecodeError:
        raise InvalidInput(tensor.field, "must have strings as data, as its datatype says") from None
    return [text for row in found for text in ([row] if isinstance(row, str) else row)]


def _binary_texts(tensor: Tensor, binary: memoryview) -> list[str]:
    found: list[str] = []
    start = 0
    try:
        while start < len(binary):
            (length,) = _LENGTH.unpack_from(binary, start)
            start += _LENGTH.size + length
            if start > len(binary):
                raise ValueError
            found.append(str(binary[start - length : start], "utf-8"))
    except (struct.error, ValueError):  # of which UnicodeDecodeError is one
        raise InvalidInput(
            tensor.field, "must have UTF-8 strings of binary_data_size bytes, each after its length as 4 bytes"
        ) from None
    return found
