"""Stores data sets and opens them. A file is complete before its row exists, and lives as long as its row."""

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from models.datasets import LabelledPoints, numbered, stored_type
from models.limits import MAX_POINTS, MAX_STORED_VALUES
from models.specs import DATASET_NAMES, InvalidInput
from service.datasets.summary import summary
from service.errors import DatasetBroken, DatasetExists, DatasetNotFound, DatasetReserved, DatasetsFull
from service.records import StoredDataset
from service.store import points_file
from service.store.files import DATASET_PREFIX, Files
from service.store.points_file import DamagedData, PointsFile
from service.store.store import Store
from service.tables.table import Table

logger = logging.getLogger(__name__)


class StoredDatasets:
    """The stored data sets of a data folder."""

    def __init__(self, store: Store, files: Files, *, max_bytes: int) -> None:
        """`max_bytes` bounds the files of all data sets together."""
        self._store = store
        self._files = files
        self._max_bytes = max_bytes

    def add(self, dataset: StoredDataset, *, replace: bool) -> tuple[StoredDataset, bool]:
        """Gives a name to a data set that `write` has written. Returns what now has the name, and whether it is new.

        Raises:
            DatasetReserved: the name is that of a generator.
            DatasetExists: the name has other content, and `replace` is not set.
            DatasetsFull: the data sets would take too much of the disk.
        """
        try:
            require_free(dataset.name)
            found, before = self._store.datasets.put(dataset, replace=replace, max_bytes=self._max_bytes)
        except (DatasetReserved, DatasetExists, DatasetsFull):  # after any other error the row may exist
            self._files.remove_points(dataset.file)
            raise
        if found != dataset:
            self._files.remove_points(dataset.file)
        elif before:
            self._files.remove_points(before.file)
        return found, before is None

    def delete(self, name: str) -> None:
        """Deletes a data set. Jobs and versions keep the points that they were trained on.

        Raises:
            DatasetReserved: the name is that of a generator.
            DatasetNotFound: there is none of this name.
        """
        require_free(name)
        self._files.remove_points(self._store.datasets.delete(name).file)

    @contextmanager
    def opened(self, name: str) -> Iterator[tuple[StoredDataset, PointsFile]]:
        """Opens the points of a data set.

        Raises:
            DatasetNotFound: there is none of this name.
            DatasetBroken: its file is missing or damaged.
        """
        dataset = self._store.datasets.get(name)
        try:
            with points_file.opened(self._files.points_file(dataset.file)) as file:
                yield dataset, file
        except (DamagedData, OSError) as error:
            if self._store.datasets.get(name) != dataset:  # raises DatasetNotFound if it was deleted
                raise DatasetNotFound("The data set was replaced meanwhile. Send the request again.") from error
            logger.error("the file of the data set %s cannot be read: %s", name, error)
            raise DatasetBroken from error

    def points(self, name: str) -> tuple[StoredDataset, LabelledPoints]:
        """Reads all points of a data set, to train on them.

        Raises:
            InvalidInput: they are too many for a training.
            DatasetNotFound, DatasetBroken: as `opened`.
        """
        with self.opened(name) as (dataset, file):
            if file.shape[0] > MAX_POINTS:
                raise InvalidInput(
                    "data.dataset",
                    f"has {file.shape[0]:,} points, but a training takes at most {MAX_POINTS:,}: store a sample",
                )
            points = replace(file.all(), feature_names=dataset.feature_names)
            if points.digest != dataset.digest:
                raise DamagedData("The content differs from its digest.")
            return dataset, points


def write(name: str, table: Table, files: Files) -> StoredDataset:
    """Writes the file of a data set. Its row is still missing; see `StoredDatasets.add`.

    Raises:
        InvalidInput: the table has too many values, or its labels or names do not fit.
        OSError: the data folder cannot be written.
    """
    xy_ND = table.xy_ND
    if xy_ND.size > MAX_STORED_VALUES:
        raise InvalidInput(
            table.name, f"must have at most {MAX_STORED_VALUES:,} values: points x features is {xy_ND.size:,}"
        )
    label_N, classes = numbered(xy_ND, table.labels_N(), table.feature_names)
    about = summary(
        xy_ND,
        label_N,
        classes,
        table.feature_names,
        label=table.label_name,
        understood=table.understood,
        warnings=table.warnings,
    )
    file = f"{DATASET_PREFIX}{secrets.token_hex(12)}"
    path = files.points_file(file)
    digest = points_file.write(path, xy_ND, label_N, classes, stored_as=stored_type(xy_ND))
    size_bytes = path.stat().st_size
    return StoredDataset(
        name=name, file=file, digest=digest, size_bytes=size_bytes, summary=about, created_at=time.time()
    )


def require_free(name: str) -> None:
    """Raises `DatasetReserved` if the name is that of a generator."""
    if name in DATASET_NAMES:
        raise DatasetReserved
