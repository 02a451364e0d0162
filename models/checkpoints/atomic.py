"""Writes files atomically: they appear complete or not at all. Unless asked otherwise they survive a power failure."""

import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

PREFIX = ".new-"
"""Prefix of the names of files and folders that are being written."""

ABANDONED_S = 3600.0
"""A file or folder with `PREFIX` that has not changed for so long was left behind by a killed process."""


def remove_abandoned(folder: Path) -> None:
    """Removes what killed processes have left behind in a folder. Does nothing if the folder does not exist."""
    if not folder.is_dir():
        return
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if is_old(path):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def is_old(path: Path) -> bool:
    """Whether a file or folder has not changed for so long that nobody is still writing it."""
    return time.time() - path.stat().st_mtime > ABANDONED_S


def write_folder(folder: Path, contents: Mapping[str, bytes], *, durable: bool = True) -> None:
    """Writes a new folder of files, by name. Creates its parent if necessary.

    Unless `durable` is set, a power failure may leave damaged files.

    Raises:
        FileExistsError: the folder exists.
        OSError: the disk is full or cannot be written. Nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f"{PREFIX}{secrets.token_hex(8)}")
    temporary.mkdir()
    try:
        for name, content in contents.items():
            if durable:
                _write_synced(temporary / name, content)
            else:
                (temporary / name).write_bytes(content)
        if durable:
            _sync_folder(temporary)
        if folder.exists():  # rename would silently replace an empty folder
            raise FileExistsError(folder)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if durable:
        _sync_folder(folder.parent)


def write_file(path: Path, content: bytes) -> None:
    """Writes a file, or replaces it. Creates its folder if necessary.

    Raises:
        OSError: the disk is full or cannot be written. An old file is left unchanged.
    """
    with new_file(path) as file:
        file.write(content)


@contextmanager
def new_file(path: Path, *, durable: bool = True, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to be written, which gets its name at the end of the block. Creates its folder if necessary.

    Unless `durable` is set, a power failure may leave a damaged file. The umask applies to `mode`.

    Raises:
        OSError: the disk is full or cannot be written. An old file is left unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{PREFIX}{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb", opener=partial(os.open, mode=mode)) as file:
            yield file
            if durable:
                _sync(file)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def link_file(path: Path, other: Path) -> None:
    """Gives an existing file the further name `other`, or copies it where the file system has no hard links.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: the disk is full or cannot be written.
    """
    try:
        os.link(path, other)
    except FileNotFoundError:
        raise
    except OSError:
        with path.open("rb") as source, new_file(other) as file:
            shutil.copyfileobj(source, file)
    _sync_folder(other.parent)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
