"""Writes the files that users name. A link, a device or a pipe at such a path remains one."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from models.checkpoints import atomic

PRIVATE = 0o600
"""The mode of files that only their owner may read and write."""


@contextmanager
def new_file(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to be written at a path that a user named.

    A file appears complete, at the end of the block. If it exists, it is unchanged until then, and keeps its mode; a
    new file gets `mode`, less the umask. A link stays a link: the file that it names is written. The content goes
    at once into a device, a pipe, or a file of a folder that takes no other files.

    Raises:
        OSError: the folder is missing, the path is a folder, or the disk is full or cannot be written. The error names
            the path.
    """
    before = _status(path)
    try:
        if before is not None and not _is_replaceable(path, before):
            with path.open("wb") as file:
                yield file
            return
        with atomic.new_file(path.resolve(), mode=mode) as file:
            if before is not None:
                _keep_access(file, before)
            yield file
    except OSError as error:
        own = error.filename is None or Path(error.filename).name.startswith(atomic.PREFIX)
        if not own or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write(path: Path, content: bytes) -> None:
    """Writes a file at a path that a user named, see `new_file`.

    Raises:
        OSError: see `new_file`.
    """
    with new_file(path) as file:
        file.write(content)


def _status(path: Path) -> os.stat_result | None:
    """The status of the file at a path, or of the file that its link names; None if it does not exist.

    Raises:
        OSError: its folder is missing.
    """
    try:
        return path.stat()
    except FileNotFoundError:
        if not path.resolve().parent.is_dir():
            raise
        return None


def _is_replaceable(path: Path, before: os.stat_result) -> bool:
    """Whether another file can take the place of what is at a path."""
    return stat.S_ISREG(before.st_mode) and os.access(path.resolve().parent, os.W_OK)


def _keep_access(file: BinaryIO, before: os.stat_result) -> None:
    with suppress(PermissionError):  # only root may give files away
        os.fchown(file.fileno(), before.st_uid, before.st_gid)
    os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
