"""The header of an `.npy` file."""

import ast
from collections.abc import Callable
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from models.specs import InvalidInput

MAX_HEADER_BYTES = 10_000
"""Longest header that is read, by Python's parser: as NumPy has it. The header of a plain array takes 128 bytes."""


def _read_header_3_0(file: IO[bytes], max_header_size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Reads a header in UTF-8, which NumPy writes for names of fields that are not Latin-1."""
    length = int.from_bytes(file.read(4), "little")
    if length > max_header_size:
        raise ValueError(length)
    header = ast.literal_eval(file.read(length).decode())
    shape, fortran_order = header["shape"], header["fortran_order"]
    if not isinstance(shape, tuple) or not isinstance(fortran_order, bool):
        raise TypeError(header)
    return shape, fortran_order, npy_format.descr_to_dtype(header["descr"])


_READERS: dict[tuple[int, int], Callable[..., tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
    (3, 0): _read_header_3_0,
}


def read_header(file: IO[bytes], field: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of an array, whether it is in Fortran order, and its dtype. Leaves the file at the first value.

    Raises:
        InvalidInput: the file is not an `.npy` file of format 1.0, 2.0 or 3.0. `field` names it.
    """
    try:
        read = _READERS.get(npy_format.read_magic(file))
        header = read(file, max_header_size=MAX_HEADER_BYTES) if read else None
    except OSError:
        raise
    except Exception as error:  # NumPy parses the header as Python code, which raises errors of many types
        raise InvalidInput(field, "must be an .npy file as written by numpy.save") from error
    if header is None:
        raise InvalidInput(field, "must be an .npy file of format 1.0, 2.0 or 3.0")
    shape, fortran_order, kind = header
    if any(type(length) is not int or length < 0 for length in shape):
        raise InvalidInput(field, "must have the shape (N, D), one point in each row")
    return shape, fortran_order, kind
