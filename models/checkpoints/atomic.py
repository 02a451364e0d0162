"""Writes files atomically and durably: they appear complete or not at all, and survive a power failure."""

import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

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
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes a new folder of files, by name. Creates its parent if necessary.

    Raises:
        FileExistsError: the folder exists.
        OSError: the disk is full or cannot be written. Nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f"{PREFIX}{secrets.token_hex(8)}")
    temporary.mkdir()
    try:
        for name, content in contents.items():
            _write_synced(temporary / name, content)
        _sync_folder(temporary)
        if folder.exists():  # rename would silently replace an empty folder
            raise FileExistsError(folder)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(folder.parent)


def write_file(path: Path, content: bytes) -> None:
    """Writes a file, or replaces it. Creates its folder if necessary.

    Raises:
        OSError: the disk is full or cannot be written. An old file is left unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{PREFIX}{secrets.token_hex(8)}")
    try:
        _write_synced(temporary, content)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
