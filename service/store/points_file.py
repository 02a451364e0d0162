"""Files of labeled points: `.npz` archives without compression, written and read some rows at a time."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from models.checkpoints import atomic
from models.datasets import BLOCK_VALUES, Array, IntArray, Label, LabelledPoints, PointArray, blocks, digest_of

DATASET_PREFIX = "set-"
"""How the names of the files of datasets begin. The file of a job is named by its id."""

_LOCAL_HEADER = 30  # bytes of a member's header in a zip file, before its name and its extra field


class DamagedData(Exception):
    """Points cannot be read back."""


def write(
    path: Path,
    xy_ND: PointArray,
    label_N: IntArray,
    classes: tuple[Label, ...],
    *,
    stored_as: npt.DTypeLike,
    durable: bool = True,
) -> str:
    """Writes points (N, D), converted to the type `stored_as`. Returns the digest of what is stored.

    Unless `durable` is set, a power failure may damage the file.

    Raises:
        OSError: the disk is full or cannot be written. No file is left.
    """
    shape, kind = xy_ND.shape, np.dtype(stored_as)
    with atomic.new_file(path, durable=durable) as file, zipfile.ZipFile(file, "w") as archive:

        def parts() -> Iterator[Array]:
            with _member(archive, "xy_ND", shape, kind) as member:
                for block_ND in blocks(xy_ND):
                    part = np.ascontiguousarray(block_ND, kind)
                    member.write(part.data)
                    yield part
            with _member(archive, "label_N", label_N.shape, label_N.dtype) as member:
                member.write(label_N.data)
                yield label_N

        digest = digest_of(shape, classes, parts())
        text = np.frombuffer(json.dumps(classes).encode(), dtype=np.uint8)
        with _member(archive, "classes", text.shape, text.dtype) as member:
            member.write(text.data)
    return digest


@contextmanager
def _member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> Iterator[BinaryIO]:
    header = {"descr": npy_format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        npy_format.write_array_header_1_0(member, header)
        yield member  # type: ignore[misc]  # typeshed says IO[bytes]


@dataclass(frozen=True)
class _Array:
    """An array in a file. `start` is the offset of its first value."""

    start: int
    shape: tuple[int, ...]
    kind: np.dtype[Any]

    def rows(self, file: BinaryIO, first: int, last: int) -> Array:
        """The rows from `first` to before `last`."""
        found = np.empty((last - first, *self.shape[1:]), self.kind)
        file.seek(self.start + first * (found.nbytes // max(1, last - first)))
        if file.readinto(found.reshape(-1).view(np.uint8)) != found.nbytes:  # type: ignore[attr-defined]  # it is a file
            raise EOFError
        return found

    def blocks(self, file: BinaryIO) -> Iterator[Array]:
        """All rows in order, some at a time."""
        count = max(1, BLOCK_VALUES // max(1, prod(self.shape[1:])))
        for first in range(0, self.shape[0], count):
            yield self.rows(file, first, min(first + count, self.shape[0]))


class PointsFile:
    """An open file of points. It can be read even after it was deleted."""

    def __init__(self, file: BinaryIO) -> None:
        """Reads the headers.

        Raises:
            DamagedData: the file has a wrong format.
            OSError: the file cannot be read now.
        """
        self._file = file
        with _damage_named():
            with zipfile.ZipFile(file) as archive:
                self._xy, self._label = (_array(file, archive, name) for name in ("xy_ND", "label_N"))
                text = _array(file, archive, "classes")
            self.classes: tuple[Label, ...] = tuple(json.loads(text.rows(file, 0, *text.shape).tobytes()))
            self.shape = self._xy.shape

    def rows(self, first: int, last: int) -> LabelledPoints:
        """The points from number `first` to before `last`, counted from 0.

        Raises:
            DamagedData: the file has a wrong format.
            OSError: the file cannot be read now.
        """
        with _damage_named():
            xy_ND, label_N = (one.rows(self._file, first, last) for one in (self._xy, self._label))
            return LabelledPoints(xy_ND, label_N, self.classes)

    def digest(self) -> str:
        """The `LabelledPoints.digest` of all points, which are read some at a time.

        Raises:
            DamagedData: the file has a wrong format.
            OSError: the file cannot be read now.
        """
        with _damage_named():
            return digest_of(
                self.shape, self.classes, chain(self._xy.blocks(self._file), self._label.blocks(self._file))
            )

    def all(self) -> LabelledPoints:
        """All points. Raises as `rows`."""
        return self.rows(0, self.shape[0])


@contextmanager
def opened(path: Path) -> Iterator[PointsFile]:
    """Opens a file of points.

    Raises:
        DamagedData: the file is missing or has a wrong format. The caller checks the content.
        OSError: the file cannot be read now.
    """
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedData("The points are missing from the data folder.") from error
    with file:
        yield PointsFile(file)


def _array(file: BinaryIO, archive: zipfile.ZipFile, name: str) -> _Array:
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(name)
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER)
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    npy_format.read_magic(file)
    shape, fortran_order, kind = npy_format.read_array_header_1_0(file)
    if fortran_order or kind.hasobject:
        raise ValueError(name)
    return _Array(file.tell(), shape, kind)


@contextmanager
def _damage_named() -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # the readers of zip files and headers raise various types
        raise DamagedData("The points cannot be read back from the data folder.") from error
