"""Reads a large file in a separate process, which bounds the memory and keeps the server responsive."""

import json
import signal
import sys
from dataclasses import asdict
from typing import IO

import anyio

from models.specs import InvalidInput
from service.datasets.reading import Task, too_large
from service.errors import UnsupportedMediaType
from service.records import StoredDataset

CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE})
"""Signals that end a process if a library does not notice that a file is damaged."""


async def run(task: Task, file: IO[bytes]) -> StoredDataset:
    """Does and raises what `service.datasets.reading.run` does. If the caller is cancelled, the process ends."""
    command = [sys.executable, "-m", "service.datasets.reading", json.dumps(asdict(task))]
    done = await anyio.run_process(command, stdin=file, stderr=None, check=False)
    if done.returncode == -signal.SIGKILL:  # by the kernel, whose memory is exhausted
        raise too_large(task.title)
    if -done.returncode in CRASHES:
        raise InvalidInput(task.title, "is damaged: the library that reads it has crashed. Write the file again")
    if done.returncode:
        raise RuntimeError(f"the process that reads a dataset ended with status {done.returncode}")
    match json.loads(done.stdout):
        case {"stored": dataset}:
            return StoredDataset(**dataset)
        case {"unsupported": message}:
            raise UnsupportedMediaType(message)
        case {"field": field, "reason": reason}:
            raise InvalidInput(field, reason)
        case {"number": number, "error": text}:
            raise OSError(number, text)
    raise RuntimeError("the process that reads a dataset has printed no result")
