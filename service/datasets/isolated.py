"""Reads large files in a process of its own, which bounds the memory and keeps the server responsive.

`python -m service.datasets.isolated TASK` reads the file on its standard input. `TASK` is a `Task` as JSON; so is the
result on its standard output.
"""

import json
import os
import resource
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import anyio

from models.specs import InvalidInput
from service.datasets import stored
from service.datasets.formats import FORMATS
from service.errors import UnsupportedMediaType
from service.records import StoredDataset
from service.store.files import Files
from service.tables.options import TableOptions

MAX_MEMORY_BYTES = 2 * 2**30
"""Most memory that reading a file may take, on Linux. Files that the process maps do not count."""

NICENESS = 10


@dataclass(frozen=True, kw_only=True)
class Task:
    """A file to be stored.

    Attributes:
        name: of the data set.
        title: how messages name the file.
        format: one of `FORMATS`.
        options: a `TableOptions` as JSON.
        data_dir: the data folder.
    """

    name: str
    title: str
    format: str
    options: dict[str, Any]
    data_dir: str


def run(task: Task, file: IO[bytes]) -> StoredDataset:
    """Reads a file and writes it to the data folder, without a row.

    Raises:
        InvalidInput: the file cannot be read as a data set, or needs too much memory.
        UnsupportedMediaType: pyarrow is needed and not installed.
        OSError: the data folder cannot be written.
    """
    files = Files(Path(task.data_dir))
    files.points_folder.mkdir(exist_ok=True)
    try:
        table = FORMATS[task.format].read(file, task.title, TableOptions(**task.options), files.points_folder)
        return stored.write(task.name, table, files)
    except MemoryError:
        raise _too_large(task.title) from None


async def run_apart(task: Task, file: IO[bytes]) -> StoredDataset:
    """The same in a process of its own. If the caller is cancelled, the process ends. Raises as `run`."""
    command = [sys.executable, "-m", "service.datasets.isolated", json.dumps(asdict(task))]
    done = await anyio.run_process(command, stdin=file, stderr=None, check=False)
    if done.returncode == -signal.SIGKILL:  # by the kernel, whose memory is exhausted
        raise _too_large(task.title)
    if done.returncode:
        raise RuntimeError(f"the process that reads a data set ended with status {done.returncode}")
    match json.loads(done.stdout):
        case {"stored": dataset}:
            return StoredDataset(**dataset)
        case {"unsupported": message}:
            raise UnsupportedMediaType(message)
        case {"number": number, "error": text}:
            raise OSError(number, text)
        case {"field": field, "reason": reason}:
            raise InvalidInput(field, reason)
    raise RuntimeError("the process that reads a data set has printed no result")


def _too_large(title: str) -> InvalidInput:
    return InvalidInput(
        title,
        "needs too much memory to be read: write it in smaller batches or row groups, or split it",
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
