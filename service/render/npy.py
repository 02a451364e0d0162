"""Arrays as bodies in NumPy's own format, `application/x-npy`."""

import io
import tokenize

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from models.datasets import FloatArray, bounded
from models.limits import MAX_FEATURES
from models.specs import InvalidInput
from service.registry.registry import LoadedVersion

MEDIA_TYPE = "application/x-npy"

MAX_HEADER_BYTES = 1_000
"""Longest header that is read: those of plain arrays take 128 bytes, and Python's parser reads it."""

_READERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}


def headers(version: LoadedVersion) -> dict[str, str]:
    """What an array cannot say: which model and version answered."""
    published = version.published
    return {"Separatrix-Model": published.model, "Separatrix-Version": str(published.version)}


def encode(array: npt.NDArray[np.generic]) -> bytes:
    """The array, in C order, as a file of format 1.0."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def decode_points(content: bytes, *, max_points: int) -> FloatArray:
    """Points, float32 (N, D), from a file of floats of 4 or 8 bytes, in C or Fortran order.

    The header is held against the length of the body before anything is made of it.

    Raises:
        InvalidInput: it is no such file, or holds something other than N points, or a number that is out of bounds.
    """
    shape, fortran_order, dtype, start = _header(content)
    if dtype not in (np.dtype("<f4"), np.dtype("<f8"), np.dtype(">f4"), np.dtype(">f8")):
        raise InvalidInput("body", "must be an array of floats of 4 or 8 bytes")
    if len(shape) != 2 or not 1 <= shape[1] <= MAX_FEATURES:
        raise InvalidInput("body", f"must be of shape (N, D), a point a row, with D from 1 to {MAX_FEATURES:,}")
    if not 1 <= shape[0] <= max_points:
        raise InvalidInput("points", f"at least one, and at most {max_points:,} points in one request")
    if len(content) - start != shape[0] * shape[1] * dtype.itemsize:
        raise InvalidInput("body", "has not the length that its header says")
    flat = np.frombuffer(content, dtype, offset=start)
    return bounded(flat.reshape(shape, order="F" if fortran_order else "C"))


def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Shape, order, dtype and where the data begin."""
    file = io.BytesIO(content)
    try:
        version = npy_format.read_magic(file)
        read = _READERS.get(version)
        if read is None:
            raise InvalidInput("body", "must be an .npy file of format 1.0 or 2.0")
        shape, fortran_order, dtype = read(file, max_header_size=MAX_HEADER_BYTES)
    except InvalidInput:
        raise
    except (
        ValueError,
        TypeError,
        SyntaxError,
        IndexError,
        KeyError,
        OverflowError,
        RecursionError,
        MemoryError,
        tokenize.TokenError,
    ) as error:
        raise InvalidInput("body", "must be an .npy file, as numpy.save writes it") from error
    if any(type(length) is not int or length < 0 for length in shape):
        raise InvalidInput("body", "must be of shape (N, D), a point a row")
    return shape, fortran_order, dtype, file.tell()
