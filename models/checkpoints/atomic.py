"""Files that appear whole or not at all, and are still there after a power cut."""

import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

PREFIX = ".new-"
"""How the name of what is being written begins."""

ABANDONED_S = 3600.0
"""What has not been touched for so long is not being written any more: its writer was killed."""


def remove_abandoned(folder: Path) -> None:
    """Removes what writers that were killed have left in a folder, if there is such a folder."""
    if not folder.is_dir():
        return
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes the files of a new folder, by name; its parent is made if need be.

    Raises:
        FileExistsError: the folder exists.
        OSError: the disk is full or cannot be written; nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f"{PREFIX}{secrets.token_hex(8)}")
    temporary.mkdir()
    try:
        for name, content in contents.items():
            _write_synced(temporary / name, content)
        _sync_folder(temporary)
        if folder.exists():  # rename would replace an empty folder without a word
            raise FileExistsError(folder)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(folder.parent)


def write_file(path: Path, content: bytes) -> None:
    """Writes a file in place of any that was there; its folder is made if need be.

    Raises:
        OSError: the disk is full or cannot be written; the old file, if any, is as it was.
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
