"""The folders of a data folder: checkpoints and given data. No client's string ever becomes part of a path."""

import errno
import io
import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np

from models.checkpoints import atomic
from models.datasets import LabelledPoints
from service.store.database import sqlite_url


class DamagedData(Exception):
    """Data that were kept cannot be read back."""


class Files:
    """Where things lie under one data folder."""

    def __init__(self, data_dir: Path, *, make: bool = True) -> None:
        """Makes the directory if it is missing, unless `make` is false.

        Raises:
            OSError: the directory cannot be made, or is missing.
        """
        if make:
            data_dir.mkdir(parents=True, exist_ok=True)
        elif not data_dir.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such data folder", str(data_dir))
        self.database_url = sqlite_url(data_dir / "separatrix.db")
        self._data_dir = data_dir

    def remove_abandoned(self) -> None:
        """Removes what processes that were killed had begun to write."""
        for name in ("checkpoints", "datasets"):
            atomic.remove_abandoned(self._data_dir / name)

    def checkpoint_folder(self, checkpoint_id: str) -> Path:
        """The checkpoint that one attempt at a job made."""
        return self._data_dir / "checkpoints" / checkpoint_id

    def checkpoints_of(self, job_id: str) -> list[str]:
        """The ids of all checkpoints that any attempt at a job has left."""
        return [path.name for path in (self._data_dir / "checkpoints").glob(f"{job_id}-*")]

    def remove_checkpoint(self, checkpoint_id: str) -> None:
        """Removes a checkpoint, if it is there."""
        shutil.rmtree(self.checkpoint_folder(checkpoint_id), ignore_errors=True)

    def put_points(self, job_id: str, points: LabelledPoints) -> None:
        """Keeps the data of a job.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        content = io.BytesIO()
        classes = np.frombuffer(json.dumps(points.classes).encode(), dtype=np.uint8)
        np.savez(content, xy_ND=points.xy_ND, label_N=points.label_N, classes=classes)
        atomic.write_file(self._points_file(job_id), content.getvalue())

    def remove_points(self, job_id: str) -> None:
        """Removes the data of a job, if any were kept."""
        with suppress(OSError):
            self._points_file(job_id).unlink()

    def points(self, job_id: str, digest: str) -> LabelledPoints:
        """The data kept for a job; before version 0003 of the database they were kept under their digest.

        Raises:
            DamagedData: the file is missing or is no such file. What it holds is for the caller to check.
            OSError: the file cannot be read now.
        """
        own = self._points_file(job_id)
        try:
            with np.load(own if own.exists() else self._points_file(digest), allow_pickle=False) as arrays:
                classes = tuple(json.loads(arrays["classes"].tobytes()))
                return LabelledPoints(arrays["xy_ND"], arrays["label_N"], classes)
        except OSError as error:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise
            raise DamagedData("The job's data are missing from the data folder.") from error
        except Exception as error:  # zip, header and array readers raise what they happen to raise
            raise DamagedData("The job's data cannot be read back from the data folder.") from error

    def _points_file(self, name: str) -> Path:
        return self._data_dir / "datasets" / f"{name}.npz"
