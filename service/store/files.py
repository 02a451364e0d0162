"""The files of a data folder: checkpoints and training points. No string from a client becomes part of a path."""

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
    """The training points of a job cannot be read back."""


class Files:
    """The layout of one data folder."""

    def __init__(self, data_dir: Path, *, make: bool = True) -> None:
        """Creates the folder if it is missing and `make` is set.

        Raises:
            OSError: the folder cannot be created, or is missing.
        """
        if make:
            data_dir.mkdir(parents=True, exist_ok=True)
        elif not data_dir.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the data folder does not exist", str(data_dir))
        self.database_url = sqlite_url(data_dir / "separatrix.db")
        self._data_dir = data_dir

    def remove_abandoned(self) -> None:
        """Removes unfinished writes of killed processes."""
        for name in ("checkpoints", "datasets"):
            atomic.remove_abandoned(self._data_dir / name)

    def checkpoint_folder(self, checkpoint_id: str) -> Path:
        """Returns the folder of a checkpoint."""
        return self._data_dir / "checkpoints" / checkpoint_id

    def checkpoints_of(self, job_id: str) -> list[str]:
        """Returns the ids of all checkpoints on the disk, of all attempts at a job."""
        return [path.name for path in (self._data_dir / "checkpoints").glob(f"{job_id}-*")]

    def remove_checkpoint(self, checkpoint_id: str) -> None:
        """Removes a checkpoint if it exists."""
        shutil.rmtree(self.checkpoint_folder(checkpoint_id), ignore_errors=True)

    def put_points(self, job_id: str, points: LabelledPoints) -> None:
        """Stores the points of a job.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        content = io.BytesIO()
        classes = np.frombuffer(json.dumps(points.classes).encode(), dtype=np.uint8)
        np.savez(content, xy_ND=points.xy_ND, label_N=points.label_N, classes=classes)
        atomic.write_file(self._points_file(job_id), content.getvalue())

    def remove_points(self, job_id: str) -> None:
        """Removes the points of a job if they were stored."""
        with suppress(OSError):
            self._points_file(job_id).unlink()

    def points(self, job_id: str, digest: str) -> LabelledPoints:
        """Returns the stored points of a job. Before version 0003 of the database, the file was named by its digest.

        Raises:
            DamagedData: the file is missing or has a wrong format. The caller checks the content.
            OSError: the file cannot be read now.
        """
        own = self._points_file(job_id)
        try:
            with np.load(own if own.exists() else self._points_file(digest), allow_pickle=False) as arrays:
                classes = tuple(json.loads(arrays["classes"].tobytes()))
                return LabelledPoints(arrays["xy_ND"], arrays["label_N"], classes)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DamagedData("The job's points are missing from the data folder.") from error
        except OSError:
            raise
        except Exception as error:  # the readers of zip files and headers raise various types
            raise DamagedData("The job's points cannot be read back from the data folder.") from error

    def _points_file(self, name: str) -> Path:
        return self._data_dir / "datasets" / f"{name}.npz"
