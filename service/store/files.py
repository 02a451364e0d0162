"""The folders of a data directory: checkpoints and given data. No client's string ever becomes part of a path."""

import io
import json
from pathlib import Path

import numpy as np

from models import atomic
from models.datasets import LabelledPoints


class DamagedData(Exception):
    """Data that were kept cannot be read back."""


class Files:
    """Where things lie under one data directory."""

    def __init__(self, data_dir: Path) -> None:
        """Makes the directory if it is missing."""
        data_dir.mkdir(parents=True, exist_ok=True)
        self.database = data_dir / "separatrix.db"
        self._data_dir = data_dir

    def checkpoint_folder(self, checkpoint_id: str) -> Path:
        """The checkpoint that one attempt at a job made."""
        return self._data_dir / "checkpoints" / checkpoint_id

    def put_points(self, points: LabelledPoints) -> None:
        """Keeps data under their digest; data that are kept already are not written again."""
        path = self._points_file(points.digest)
        if not path.exists():
            content = io.BytesIO()
            classes = np.frombuffer(json.dumps(points.classes).encode(), dtype=np.uint8)
            np.savez(content, xy_ND=points.xy_ND, label_N=points.label_N, classes=classes)
            atomic.write_file(path, content.getvalue())

    def points(self, digest: str) -> LabelledPoints:
        """The data kept under a digest.

        Raises:
            DamagedData: the file is missing, unreadable, or holds other data.
        """
        try:
            with np.load(self._points_file(digest), allow_pickle=False) as arrays:
                classes = tuple(json.loads(arrays["classes"].tobytes()))
                points = LabelledPoints(arrays["xy_ND"], arrays["label_N"], classes)
        except Exception as error:  # zip, header and array readers raise what they happen to raise
            raise DamagedData("The job's data cannot be read back from the data directory.") from error
        if points.digest != digest:
            raise DamagedData("The job's data in the data directory are not those that were given.")
        return points

    def _points_file(self, digest: str) -> Path:
        return self._data_dir / "datasets" / f"{digest}.npz"
