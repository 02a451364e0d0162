"""Tasks for the tests of `TorchTasks`. Each runs in a process of its own."""

import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np

from models.specs import InvalidInput


def has_torch(text: str) -> bytes:
    return f"{text} {'torch' in sys.modules}".encode()


def refuse() -> bytes:
    raise InvalidInput("points.3", "must be better")


def fail() -> bytes:
    raise ZeroDivisionError


def die() -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def fill_memory() -> bytes:
    return np.ones(2**30, np.uint8).tobytes()


def write_pid_and_wait(path: str) -> bytes:
    written = Path(f"{path}.new")
    written.write_text(str(os.getpid()))
    written.rename(path)
    threading.Event().wait()
    raise AssertionError
