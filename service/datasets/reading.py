"""Reads a file and writes it to the data folder as points: in this process, or as a program.

`python -m service.datasets.reading TASK` reads the file on its standard input. `TASK` is a `Task` as JSON; the result
on its standard output is JSON too. The program imports little, so that it starts fast.
"""

import json
import os
import resource
import secrets
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from models.datasets import numbered, stored_type
from models.limits import MAX_STORED_VALUES
from models.specs import InvalidInput
from service.datasets.formats import FORMATS
from service.datasets.summary import summary
from service.errors import UnsupportedMediaType
from service.records import StoredDataset
from service.store import points_file
from service.store.points_file import DATASET_PREFIX
from service.tables.options import TableOptions
from service.tables.table import Table

MAX_MEMORY_BYTES = 2 * 2**30
"""Maximum memory that the program takes, on Linux. Files that it maps do not count."""

NICENESS = 10
"""Niceness of the program: predictions go first."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A file to be stored.

    Attributes:
        name: of the dataset.
        title: how messages name the file.
        format: one of `FORMATS`.
        options: a `TableOptions` as JSON.
        folder: the folder of all files of points.
    """

    name: str
    title: str
    format: str
    options: dict[str, Any]
    folder: str


def run(task: Task, file: IO[bytes]) -> StoredDataset:
    """Reads a file and writes it to the data folder, without a row.

    Raises:
        InvalidInput: the file cannot be read as a dataset, or needs too much memory.
        UnsupportedMediaType: pyarrow is needed and not installed.
        OSError: the data folder cannot be written.
    """
    folder = Path(task.folder)
    try:
        table = FORMATS[task.format].read(file, task.title, TableOptions(**task.options), folder)
        return _write(task.name, table, folder)
    except MemoryError:
        raise too_large(task.title) from None


def too_large(title: str) -> InvalidInput:
    """The error for a file that needs too much memory."""
    return InvalidInput(
        title, "needs too much memory to be read: write it in smaller batches or row groups, or split it"
    )


def _write(name: str, table: Table, folder: Path) -> StoredDataset:
    """Writes the file of a dataset. Its row is still missing; see `service.datasets.stored`.

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
        table.categories,
        label=table.label_name,
        understood=table.understood,
        warnings=table.warnings,
    )
    file = f"{DATASET_PREFIX}{secrets.token_hex(12)}"
    path = folder / f"{file}.npz"
    digest = points_file.write(path, xy_ND, label_N, classes, stored_as=stored_type(xy_ND))
    size_bytes = path.stat().st_size
    return StoredDataset(
        name=name, file=file, digest=digest, size_bytes=size_bytes, summary=about, created_at=time.time()
    )


def _main(text: str) -> None:
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    result: dict[str, Any]
    try:
        with os.fdopen(0, "rb", closefd=False) as file:
            file.seek(0)
            result = {"stored": asdict(run(Task(**json.loads(text)), file))}
    except InvalidInput as error:
        result = {"field": error.field, "reason": error.reason}
    except UnsupportedMediaType as error:
        result = {"unsupported": str(error)}
    except OSError as error:
        result = {"number": error.errno, "error": error.strerror}
    print(json.dumps(result))


if __name__ == "__main__":
    _main(sys.argv[1])
