"""The rows of stored datasets. Every method is one transaction."""

from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from service.errors import DatasetExists, DatasetNotFound, DatasetsFull
from service.records import StoredDataset
from service.store.database import Database
from service.store.tables import datasets


class Datasets:
    """The stored datasets by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self, dataset: StoredDataset, *, replace: bool, max_bytes: int
    ) -> tuple[StoredDataset, StoredDataset | None]:
        """Stores a dataset under its name. Equal content under that name stays as it is.

        Args:
            dataset: the new row.
            replace: whether to replace other content under that name.
            max_bytes: maximum total size of the files of all datasets, in bytes.

        Returns:
            The dataset that now has the name, and the one that had it before, if any. Both are the same if the content
            is equal.

        Raises:
            DatasetExists: the name has other content, which must not be replaced.
            DatasetsFull: there is no room for the file.
        """
        row = vars(dataset)
        with self._database.writing(serial=True) as connection:
            found = connection.execute(select(datasets).where(datasets.c.name == dataset.name)).one_or_none()
            before = _dataset(found) if found else None
            if before and _content(before) == _content(dataset):
                return before, before
            if before and not replace:
                raise DatasetExists
            others = select(func.coalesce(func.sum(datasets.c.size_bytes), 0)).where(datasets.c.name != dataset.name)
            if int(connection.scalar(others) or 0) + dataset.size_bytes > max_bytes:
                raise DatasetsFull
            if before:
                connection.execute(update(datasets).where(datasets.c.name == dataset.name).values(row))
            else:
                connection.execute(insert(datasets), row)
            return dataset, before

    def get(self, name: str) -> StoredDataset:
        """Returns one dataset.

        Raises:
            DatasetNotFound: there is none of this name.
        """
        with self._database.reading() as connection:
            row = connection.execute(select(datasets).where(datasets.c.name == name)).one_or_none()
        if row is None:
            raise DatasetNotFound.named(name)
        return _dataset(row)

    def page(self, *, limit: int, after: str = "") -> tuple[list[StoredDataset], bool]:
        """Returns the datasets whose names follow `after`, by name, and whether more follow."""
        # sorted here: the order of names in SQL depends on the collation of the database
        with self._database.reading() as connection:
            names = sorted(name for name in connection.scalars(select(datasets.c.name)) if name > after)
            rows = connection.execute(select(datasets).where(datasets.c.name.in_(names[:limit]))).all()
        return sorted(map(_dataset, rows), key=lambda one: one.name), len(names) > limit

    def delete(self, name: str) -> StoredDataset:
        """Deletes a dataset and returns it.

        Raises:
            DatasetNotFound: there is none of this name.
        """
        with self._database.writing(serial=True) as connection:
            row = connection.execute(delete(datasets).where(datasets.c.name == name).returning(datasets)).one_or_none()
        if row is None:
            raise DatasetNotFound.named(name)
        return _dataset(row)

    def files(self) -> set[str]:
        """Returns the names of the files of all datasets."""
        with self._database.reading() as connection:
            return set(connection.scalars(select(datasets.c.file)))


def _dataset(row: Row[tuple[object, ...]]) -> StoredDataset:
    return StoredDataset(**row._mapping)


def _content(dataset: StoredDataset) -> tuple[Any, ...]:
    return dataset.digest, dataset.feature_names, dataset.categories
