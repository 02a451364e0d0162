"""Stores datasets and opens them. A file is complete before its row exists, and lives as long as its row."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from models.datasets import LabelledPoints
from models.limits import MAX_POINTS
from models.specs import DATASET_NAMES, InvalidInput
from service.errors import DatasetBroken, DatasetExists, DatasetNotFound, DatasetReserved, DatasetsFull
from service.records import StoredDataset
from service.store import points_file
from service.store.files import Files
from service.store.points_file import DamagedData, PointsFile
from service.store.store import Store

logger = logging.getLogger(__name__)


class StoredDatasets:
    """The stored datasets of a data folder."""

    def __init__(self, store: Store, files: Files, *, max_bytes: int) -> None:
        """`max_bytes` bounds the files of all datasets together."""
        self._store = store
        self._files = files
        self._max_bytes = max_bytes

    def add(self, dataset: StoredDataset, *, replace: bool) -> tuple[StoredDataset, bool]:
        """Adds the row of a dataset whose file is written; see `service.datasets.reading`.

        Returns what now has the name, and whether the name is new.

        Raises:
            DatasetReserved: the name belongs to a generator.
            DatasetExists: the name has other content, and `replace` is not set.
            DatasetsFull: the datasets would take too much of the disk.
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
        """Deletes a dataset. Jobs and versions keep the points that they were trained on.

        Raises:
            DatasetReserved: the name belongs to a generator.
            DatasetNotFound: there is none of this name.
        """
        require_free(name)
        self._files.remove_points(self._store.datasets.delete(name).file)

    @contextmanager
    def opened(self, name: str) -> Iterator[tuple[StoredDataset, PointsFile]]:
        """Opens the points of a dataset.

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
                raise DatasetNotFound("The dataset was replaced during the request. Send the request again.") from error
            logger.error("the file of the dataset %s cannot be read: %s", name, error)
            raise DatasetBroken from error

    def points(self, name: str, *, field: str) -> tuple[StoredDataset, LabelledPoints]:
        """Reads all points of a dataset, to train on them. `field` is the name's field in the request.

        Raises:
            InvalidInput: they are too many for a training.
            DatasetNotFound, DatasetBroken: as `opened`.
        """
        with self.opened(name) as (dataset, file):
            if file.shape[0] > MAX_POINTS:
                raise InvalidInput(
                    field,
                    f"has {file.shape[0]:,} points, but a training takes at most {MAX_POINTS:,}: store a sample",
                )
            points = replace(file.all(), feature_names=dataset.feature_names, categories=dataset.categories)
            if points.digest != dataset.digest:
                raise DamagedData("The content differs from its digest.")
            return dataset, points


def require_free(name: str) -> None:
    """Raises `DatasetReserved` if the name belongs to a generator."""
    if name in DATASET_NAMES:
        raise DatasetReserved
