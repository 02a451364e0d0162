"""Datasets as arrays of NumPy: an `.npy` file with a column of labels, or an `.npz` file with X and y."""

import errno
import lzma
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from models.datasets import BLOCK_VALUES, Array, blocks
from models.limits import MAX_FEATURES, MAX_STORED_POINTS, MAX_STORED_VALUES
from models.specs import InvalidInput
from service.datasets.npy_header import read_header
from service.tables import frame
from service.tables.frame import Rows
from service.tables.options import TableOptions
from service.tables.table import Table

POINTS_NAMES = ("X", "x", "points", "data")
LABELS_NAMES = ("y", "labels", "label", "target")

_LARGE_BYTES = 2**20
_MAX_MEMBER_BYTES = 8 * MAX_STORED_VALUES + 2_000

_NO_ARCHIVE = "must be an .npz file as written by numpy.savez"

_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error),
    *(ValueError, KeyError, IndexError, OverflowError),
    RuntimeError,  # an unknown compression, or a password
)
"""The errors, besides OSError, that are raised when a damaged archive is read."""


def read_npy(file: IO[bytes], name: str, options: TableOptions, folder: Path) -> Table:
    """The table of an array (N, D + 1) whose column of labels the options name, or of a structured array (N,).

    Raises:
        InvalidInput: the file is no such array, or the table cannot be used.
        OSError: the file cannot be read, or the folder cannot be written.
    """
    array = _mapped(file, name)
    if array.dtype.names is not None:
        return _read_structured(array, array.dtype.names, name, options, folder)
    array_NC = _numbers(array, name)
    _check_matrix(array_NC, name, columns=MAX_FEATURES + 1)
    if options.label is None:
        raise InvalidInput(
            name,
            "does not say which of its columns is the label: choose it with "
            f"{options.spelled('label', '-1')}, or send an .npz file with the arrays X and y",
        )
    parts = ([*block_NC.T] for block_NC in blocks(array_NC))
    found = frame.understand(name, [None] * array_NC.shape[1], parts, options, notation=f"an array of {array_NC.dtype}")
    return found.labelled(max_rows=MAX_STORED_POINTS, folder=folder)


def _read_structured(array: Array, names: tuple[str, ...], name: str, options: TableOptions, folder: Path) -> Table:
    if array.ndim != 1 or not 1 <= len(names) <= MAX_FEATURES + 1:
        raise InvalidInput(name, f"must be a structured array (N,) with 1 to {MAX_FEATURES:,} features and a label")
    for one in names:
        if array.dtype[one].shape:
            raise InvalidInput(
                f"column '{one}'",
                f"has arrays of the shape {array.dtype[one].shape}: give each number a separate column",
            )
    rows = max(1, BLOCK_VALUES // len(names))

    def parts() -> Iterator[Rows]:
        for start in range(0, len(array), rows):
            part = array[start : start + rows]
            yield [_labels(part[one], f"column '{one}'") for one in names]

    found = frame.understand(name, names, parts(), options, notation="a structured array")
    return found.labelled(max_rows=MAX_STORED_POINTS, folder=folder)


def read_npz(file: IO[bytes], name: str, options: TableOptions, folder: Path) -> Table:
    """The table of an archive with an array of points and an array of labels, and perhaps `feature_names`.

    Raises:
        InvalidInput: the file is no such archive, or the table cannot be used.
        OSError: the file cannot be read, or the folder cannot be written.
    """
    with _damage_named(name), zipfile.ZipFile(file) as archive:
        members = [member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")]
        points = _one_of(members, POINTS_NAMES, name, "points")
        labels = _one_of(members, LABELS_NAMES, name, "labels")
        with _extracted(archive, points, folder) as x_file, _extracted(archive, labels, folder) as y_file:
            x_ND, y_N = _numbers(_mapped(x_file, points), points), _labels(_mapped(y_file, labels), labels)
            names: Sequence[str | None] = _names(archive, members, folder) or [None] * x_ND.shape[-1]
        unused = [member for member in members if member not in (points, labels, "feature_names")]
    _check_matrix(x_ND, points, columns=MAX_FEATURES)
    if len(x_ND) != len(y_N):
        hint = f": save {points}.T" if x_ND.shape[1] == len(y_N) else ""
        raise InvalidInput(points, f"has the shape {x_ND.shape}, but {labels} has {len(y_N)} labels{hint}")
    if len(names) != x_ND.shape[1]:
        raise InvalidInput("feature_names", f"must have one name for each of the {x_ND.shape[1]} columns of {points}")
    if options.label is not None:
        raise InvalidInput("label", f"is for tables: here the labels are the array {labels}")

    def parts() -> Iterator[Rows]:
        start = 0
        for block_ND in blocks(x_ND):
            yield [*block_ND.T, y_N[start : start + len(block_ND)]]
            start += len(block_ND)

    notation = f"the arrays {points} ({x_ND.dtype}) and {labels} ({y_N.dtype})"
    columns = [*names, None]
    found = frame.understand(name, columns, parts(), replace(options, label="-1"), notation=notation)
    found.notes.extend(f"the array {member} is left out" for member in unused)
    return found.labelled(max_rows=MAX_STORED_POINTS, folder=folder, are_apart=True)


def is_large(file: IO[bytes]) -> bool:
    """Whether the arrays of an archive are much larger than its file. Leaves the file at its start."""
    try:
        with zipfile.ZipFile(file) as archive:
            return sum(member.file_size for member in archive.infolist()) > _LARGE_BYTES
    except (*_DAMAGE, OSError):
        return False  # the code that reads it says what is wrong
    finally:
        file.seek(0)


def _one_of(members: list[str], allowed: Sequence[str], name: str, kind: str) -> str:
    found = [member for member in members if member in allowed]
    if len(found) == 1:
        return found[0]
    count = "several arrays" if found else "no array"
    raise InvalidInput(
        name, f"has {count} of {kind}: name exactly one of them {', '.join(allowed[:-1])} or {allowed[-1]}"
    )


@contextmanager
def _extracted(archive: zipfile.ZipFile, member: str, folder: Path) -> Iterator[IO[bytes]]:
    """A member of an archive as a temporary file. An array that is mapped from it keeps its content."""
    info = archive.getinfo(f"{member}.npy")
    if info.file_size > _MAX_MEMBER_BYTES:
        raise InvalidInput(member, f"must have at most {_MAX_MEMBER_BYTES:,} bytes")
    with archive.open(info) as source, tempfile.TemporaryFile(dir=folder) as copy:
        shutil.copyfileobj(source, copy)
        copy.seek(0)
        yield copy


def _names(archive: zipfile.ZipFile, members: list[str], folder: Path) -> list[str] | None:
    if "feature_names" not in members:
        return None
    with _extracted(archive, "feature_names", folder) as file:
        names = _labels(_mapped(file, "feature_names"), "feature_names").tolist()
    if not all(isinstance(one, str) for one in names):
        raise InvalidInput("feature_names", "must be an array of strings")
    return [str(one) for one in names]


@contextmanager
def _damage_named(name: str) -> Iterator[None]:
    try:
        yield
    except InvalidInput:
        raise
    except _DAMAGE as error:
        raise InvalidInput(name, _NO_ARCHIVE) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a damaged archive has members before its start
            raise
        raise InvalidInput(name, _NO_ARCHIVE) from error


def _mapped(file: IO[bytes], name: str) -> Array:
    """The array of an `.npy` file, without reading it into memory."""
    shape, fortran_order, kind = read_header(file, name)
    if kind.hasobject:
        raise InvalidInput(name, f"holds Python objects: save {name}.astype(float) or {name}.astype(str)")
    start = file.tell()
    if file.seek(0, 2) - start != int(np.prod(shape, dtype=object)) * kind.itemsize:
        raise InvalidInput(name, "must be as long as the shape and type in the .npy header say")
    if not all(shape) or not shape:
        raise InvalidInput(name, "has no points")
    order = "F" if fortran_order else "C"
    return np.memmap(file, kind, "r", start, shape, order).view(np.ndarray)  # type: ignore[call-overload,no-any-return]


def _numbers(array: Array, name: str) -> Array:
    if array.dtype.kind not in "fiub":
        raise InvalidInput(name, f"must be an array of numbers, not of {array.dtype}")
    return array


def _check_matrix(array: Array, name: str, *, columns: int) -> None:
    if array.ndim != 2:
        raise InvalidInput(name, f"must have the shape (N, D), one point in each row, but has the shape {array.shape}")
    if array.shape[1] > columns:
        raise InvalidInput(name, f"must have at most {columns:,} columns, but has {array.shape[1]:,}")


def _labels(array: Array, name: str) -> Array:
    """The labels (N,). Bytes become text."""
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise InvalidInput(name, f"must have one label for each point, but has the shape {array.shape}")
    if array.dtype.kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            raise InvalidInput(name, "must be UTF-8 text") from None
    if array.dtype.kind not in "fiubU":
        raise InvalidInput(name, f"must be an array of numbers or of strings, not of {array.dtype}")
    return array
