"""The files of a data folder: checkpoints, points and starting weights.

No string from a client becomes part of a path.
"""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from models.checkpoints import atomic
from models.datasets import LabelledPoints
from service.records import Job, PublishedVersion
from service.store import points_file
from service.store.database import sqlite_url
from service.store.jobs import FilesInUse
from service.store.points_file import DATASET_PREFIX

CHECKPOINTS, DATASETS, STARTS = "checkpoints", "datasets", "starts"
FOLDERS = (CHECKPOINTS, DATASETS, STARTS)
"""The folders of a data folder."""

DATABASE_FILE = "separatrix.db"
"""The database in a data folder, unless the service uses another one."""

PRIVATE_FOLDER = 0o700
"""The mode of a new data folder: only its owner may read what clients sent."""


class Files:
    """The layout of one data folder."""

    def __init__(
        self, data_dir: Path, *, make: bool = True, durable: bool = True, sources: "Files | None" = None
    ) -> None:
        """Creates the folder if it is missing and `make` is set.

        Args:
            data_dir: the folder.
            make: whether to create it.
            durable: whether its checkpoints survive a power failure.
            sources: the data folder of the datasets that its jobs are trained on, if that is another one.

        Raises:
            OSError: the folder cannot be created, or is missing.
        """
        if make:
            data_dir.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        elif not data_dir.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the data folder does not exist", str(data_dir))
        self.database_url = sqlite_url(data_dir / DATABASE_FILE)
        self._data_dir = data_dir
        self.durable = durable
        self._sources = sources

    def remove_abandoned(self) -> None:
        """Removes unfinished writes of killed processes."""
        for name in FOLDERS:
            atomic.remove_abandoned(self._data_dir / name)

    def all(self) -> dict[str, Path]:
        """All files except the database, by their name below the data folder, such as `datasets/x.npz`."""
        paths = [path for folder in FOLDERS for path in sorted((self._data_dir / folder).rglob("*")) if path.is_file()]
        return {path.relative_to(self._data_dir).as_posix(): path for path in paths if not is_unfinished(path)}

    @property
    def data_dir(self) -> Path:
        """The data folder."""
        return self._data_dir

    @property
    def free_bytes(self) -> int:
        """How many more bytes can be written: 0 if the folder is gone or cannot be written."""
        try:
            return shutil.disk_usage(self._data_dir).free if os.access(self._data_dir, os.W_OK) else 0
        except OSError:
            return 0

    def size_bytes(self, job: Job) -> int:
        """Returns the bytes of the files of a job: its checkpoints and its points."""
        folders = [self.checkpoint_folder(name) for name in self.checkpoints_of(job.id)]
        files = [path for folder in folders for path in folder.glob("*")]
        files += [self.points_file(job.id), self.points_file(self.validation_file(job.id))]
        total = 0
        for path in files:
            with suppress(OSError):
                total += path.stat().st_size
        return total

    @property
    def checkpoints_folder(self) -> Path:
        """The folder of all checkpoints."""
        return self._data_dir / CHECKPOINTS

    def checkpoint_folder(self, checkpoint_id: str) -> Path:
        """Returns the folder of a checkpoint."""
        return self.checkpoints_folder / checkpoint_id

    def checkpoints_of(self, job_id: str) -> list[str]:
        """Returns the ids of all checkpoints on the disk, of all attempts at a job."""
        try:
            entries = os.scandir(self.checkpoints_folder)  # faster than a pattern, which is parsed for each job
        except OSError:  # nothing was written so far, or nothing can be read
            return []
        with entries:
            return [entry.name for entry in entries if entry.name.startswith(f"{job_id}-")]

    def remove_checkpoint(self, checkpoint_id: str) -> None:
        """Removes a checkpoint if it exists."""
        shutil.rmtree(self.checkpoint_folder(checkpoint_id), ignore_errors=True)

    def remove_versions(self, deleted: Iterable[PublishedVersion]) -> None:
        """Removes the checkpoints of versions whose rows were deleted, and what they were trained from.

        Whatever cannot be removed now is removed by `remove_unused`.
        """
        for version in deleted:
            self.remove_checkpoint(version.checkpoint_id)
            if version.job_id is not None:
                self.remove_points(version.job_id)
                self.remove_points(self.validation_file(version.job_id))
                self.remove_starting_weights(version.job_id)

    def put_points(self, job_id: str, points: LabelledPoints) -> None:
        """Stores the points of a job.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        path, xy_ND = self.points_file(job_id), points.xy_ND
        points_file.write(path, xy_ND, points.label_N, points.classes, stored_as=xy_ND.dtype, durable=self.durable)

    def link_points(self, file: str, job_id: str) -> None:
        """Stores the points in the file of a dataset or of another job as the points of a job. Takes no space.

        Raises:
            FileNotFoundError: the file does not exist.
            OSError: the disk is full or cannot be written.
        """
        source = self.points_file(file)
        if self._sources is not None and not source.exists():
            source = self._sources.points_file(file)
        self.points_folder.mkdir(exist_ok=True)
        atomic.link_file(source, self.points_file(job_id))

    def remove_points(self, file: str) -> None:
        """Removes a file of points if it exists. A job's points are in the file of its id."""
        with suppress(OSError):
            self.points_file(file).unlink()

    def starting_weights_file(self, job_id: str) -> Path:
        """Returns the path of the weights that a job starts from, if it starts from some: a safetensors file."""
        return self._starts_folder / f"{job_id}.safetensors"

    @property
    def _starts_folder(self) -> Path:
        return self._data_dir / STARTS

    def link_starting_weights(self, file: Path, job_id: str) -> None:
        """Keeps the weights in the file of a checkpoint or of another job as the weights that a job starts from.

        Raises:
            FileNotFoundError: the file does not exist.
            OSError: the disk is full or cannot be written.
        """
        own = self.starting_weights_file(job_id)
        own.parent.mkdir(exist_ok=True)
        atomic.link_file(file, own)

    def remove_starting_weights(self, job_id: str) -> None:
        """Removes the weights that a job starts from, if there are any."""
        with suppress(OSError):
            self.starting_weights_file(job_id).unlink()

    @staticmethod
    def validation_file(job_id: str) -> str:
        """Returns the name of the file of a job's separate validation points, if it has any."""
        return f"{job_id}-validation"

    def points(self, job_id: str, digest: str) -> LabelledPoints:
        """Returns the stored points of a job.

        Raises:
            DamagedData: the file is missing or has a wrong format. The caller checks the content.
            OSError: the file cannot be read now.
        """
        with points_file.opened(self.points_file(self.file_of(job_id, digest))) as file:
            return file.all()

    def file_of(self, job_id: str, digest: str) -> str:
        """Returns the name of the file of a job's points: before version 0003 of the database, it was their digest."""
        return job_id if self.points_file(job_id).exists() else digest

    def points_file(self, file: str) -> Path:
        """Returns the path of a file of points."""
        return self.points_folder / f"{file}.npz"

    @property
    def points_folder(self) -> Path:
        """The folder of all files of points."""
        return self._data_dir / DATASETS

    def owned(self) -> list[Path]:
        """The checkpoints, points and starting weights, by their names: each belongs to a row, or did."""
        found = [*self.checkpoints_folder.glob("*"), *self.points_folder.glob("*"), *self._starts_folder.glob("*")]
        return [path for path in found if path.name.startswith(DATASET_PREFIX) or job_of(path)]

    def remove_orphans(self, in_use: Callable[[], Collection[str]], *, unchanged_s: float = atomic.ABANDONED_S) -> None:
        """Removes files of datasets that have no row, because a process died after it wrote them.

        Args:
            in_use: returns the names of the files that rows refer to. Called after the files are listed.
            unchanged_s: only files that have not changed for this many seconds. The row may still be to come.
        """
        files = [*self.points_folder.glob(f"{DATASET_PREFIX}*.npz")]
        used = in_use() if files else ()
        for path in files:
            with suppress(OSError):
                if path.stem not in used and _age_s(path) > unchanged_s:
                    path.unlink()

    def remove_unused(self, in_use: Callable[[], FilesInUse], *, unchanged_s: float = atomic.ABANDONED_S) -> None:
        """Removes what `unused` returns."""
        for path in self.unused(in_use, unchanged_s=unchanged_s):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()

    def unused(self, in_use: Callable[[], FilesInUse], *, unchanged_s: float = atomic.ABANDONED_S) -> list[Path]:
        """Checkpoints, points and starting weights without a row, because a process died before it removed them.

        Files with other names do not count.

        Args:
            in_use: called after the files are listed.
            unchanged_s: only files that have not changed for this many seconds. The row may still be to come.
        """
        checkpoints = {path: _CHECKPOINT.fullmatch(path.name) for path in self.checkpoints_folder.glob("*")}
        points = {path: _POINTS.fullmatch(path.name) for path in self.points_folder.glob("*.npz")}
        starts = {path: _START.fullmatch(path.name) for path in self._starts_folder.glob("*")}
        used = in_use()
        found = [path for path, name in checkpoints.items() if name and name[1] not in used.jobs]
        found = [path for path in found if path.name not in used.checkpoints]
        found += [path for path, name in [*points.items(), *starts.items()] if name and name[1] not in used.points]
        return [path for path in found if _age_s(path) > unchanged_s]


def is_unfinished(path: Path) -> bool:
    """Whether a file is still being written, or in a folder that is."""
    return path.name.startswith(atomic.PREFIX) or path.parent.name.startswith(atomic.PREFIX)


def job_of(path: Path) -> str | None:
    """The id of the job, or the import, that a checkpoint or a file belongs to; None if its name has none."""
    found = next(filter(None, (kind.fullmatch(path.name) for kind in (_CHECKPOINT, _POINTS, _START))), None)
    return found and found[1]


_CHECKPOINT = re.compile(r"(?:import-)?(u?[0-9a-f]{24})(?:-[0-9]+(?:-[0-9a-f]+)?)?")
_START = re.compile(r"(u?[0-9a-f]{24})\.safetensors")
_POINTS = re.compile(r"(u?[0-9a-f]{24})(?:-validation)?\.npz")
"""The names of files that belong to a job, whose id they contain, or to an import."""


def _age_s(path: Path) -> float:
    """How long ago a file last changed in any way. A new link to an old file changes its status, not its content."""
    with suppress(OSError):
        return time.time() - max(path.stat().st_mtime, path.stat().st_ctime)
    return 0.0
