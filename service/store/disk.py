"""The disk space that a data folder takes, measured from time to time, and its limit."""

import os
import time
from contextlib import suppress
from pathlib import Path

from service.errors import DataFolderFull

MEASURE_S = 15.0
"""Least seconds between two measurements. What `require_room` admits counts at once."""

MEASURE_SHARE = 0.005
"""The share of a core that measuring may take: with very many files it happens less often."""

BLOCK_BYTES = 512
"""The unit of `st_blocks`, whatever the blocks of the file system are."""


class DiskUse:
    """What the files of a data folder take, and what requests that write are about to add."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        """`max_bytes` is the most that the folder may take. Nothing is measured yet."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._measured = 0
        self._added = 0  # since the measurement

    @property
    def used_bytes(self) -> int:
        """The bytes that the folder takes: measured, and expected since."""
        return self._measured + self._added

    def measure(self) -> float:
        """Measures the folder.

        Returns:
            After how many seconds to call it again.
        """
        self._added = 0
        started = time.thread_time()
        self._measured = size_bytes(self._folder)
        return max(MEASURE_S, (time.thread_time() - started) / MEASURE_SHARE)

    def require_room(self, expected_bytes: int = 0) -> None:
        """Lets a request write, and counts what it is expected to add.

        Raises:
            DataFolderFull: the folder has reached its limit, or would exceed it.
        """
        if self.used_bytes >= self._max_bytes or self.used_bytes + expected_bytes > self._max_bytes:
            raise DataFolderFull(
                f"The data folder may use at most {self._max_bytes:,} bytes (`max_data_bytes`), and has no room for "
                "this request. Delete versions, jobs or datasets that are no longer needed."
            )
        self._added += expected_bytes


def size_bytes(folder: Path) -> int:
    """What the files below a folder take of the disk. Several links to a file count once."""
    total = 0
    linked: set[tuple[int, int]] = set()
    waiting = [str(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with suppress(OSError):  # it was removed meanwhile
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    found = entry.stat(follow_symlinks=False)
                    if found.st_nlink > 1:
                        if (found.st_dev, found.st_ino) in linked:
                            continue
                        linked.add((found.st_dev, found.st_ino))
                    total += found.st_blocks * BLOCK_BYTES
    return total
