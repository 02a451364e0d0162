"""`separatrix` commands in processes of their own, as an operator starts them."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from tests.serving import connected, wait_until

LONG: dict[str, Any] = {
    "model": "long",
    "data": {"dataset": "flower"},
    "network": {"hidden": [64, 64]},
    "training": {"epochs": 1_000_000},
}
"""A training of several minutes."""

DATA_DIR = "SEPARATRIX_DATA_DIR"

END_S = 30.0
"""Longest that a service may take to end once it is told to."""


@contextmanager
def separatrix(*arguments: str, **options: Any) -> Iterator[psutil.Popen]:
    """A command in a process of its own. The process is killed at the end of the block if it still runs."""
    with psutil.Popen([sys.executable, "-m", "service", *arguments], **options) as process:
        try:
            yield process
        finally:
            kill(process)


class Service:
    """`separatrix serve` on a folder. It can be started again after it has ended.

    Attributes:
        process: the one that was started last; the parent of all others.
        client: sends requests to its address.
        address: such as http://127.0.0.1:43210.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        """Starts nothing yet. `options` are those of the command; the tutorial's models need `--seed-models`."""
        self.data_dir = folder / "data"
        given = dict(pairwise(options))
        self.database_url = given.get("--database-url")
        self._log = folder / "log"
        self._workers = int(given.get("--workers", 1))
        self._options = ("--no-seed-models", "--port", "0", "--training-niceness", "0", *options)
        self._environment = os.environ | {DATA_DIR: str(self.data_dir)}  # tells our processes from those of other tests
        self._resources = ExitStack()

    def start(self, *options: str) -> None:
        """Starts it, with more options than the usual ones. Returns when all its serving processes answer."""
        with self._log.open("wb") as output:
            self.process = self._resources.enter_context(
                separatrix("serve", *self._options, *options, stdout=output, stderr=output, env=self._environment)
            )
        wait_until(lambda: self._is_up or self.process.poll() is not None)
        assert self._is_up, f"the service ended with status {self.process.poll()}:\n{self.log}"
        self.address = self.log.partition("running on ")[2].split()[0]
        self.client = self._resources.enter_context(connected(self.address))

    @property
    def _is_up(self) -> bool:
        return "running on" in self.log and self.starts == self._workers

    @property
    def starts(self) -> int:
        """Number of serving processes that have completed their startup since the last start of the service."""
        return self.log.count("startup complete")

    @property
    def log(self) -> str:
        """What it has logged since the last start."""
        return self._log.read_text()

    def tell_to_stop(self) -> None:
        """Sends it SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Waits until it has ended and returns its exit status."""
        status: int = self.process.wait(END_S)
        self._resources.close()
        return status

    def kill(self, *others: psutil.Process) -> None:
        """Kills the process that was started, and `others` with it."""
        for one in (self.process, *others):
            kill(one)
        self._resources.close()

    def end(self) -> None:
        """Kills every process that is left of it."""
        self.kill(*self.family())

    def family(self) -> list[psutil.Process]:
        """All descendants of the process that was started; empty if it has ended."""
        return children_of(self.process, recursive=True)

    def serving_processes(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        if self._workers == 1:
            return [self.process]
        return [one for one in children_of(self.process) if "multiprocessing.spawn" in command_of(one)]

    def training_processes(self) -> list[psutil.Process]:
        """Everything that its fork servers have forked, also if the serving process or the fork server has ended."""
        servers = self.fork_servers()
        return [one for one in psutil.process_iter() if self._is_forking_or_forked(one) and one not in servers]

    def fork_servers(self) -> list[psutil.Process]:
        """The processes that training processes are forked from: one for each serving process."""
        children = [child for serving in self.serving_processes() for child in children_of(serving)]
        return [child for child in children if self._is_forking_or_forked(child)]

    def _is_forking_or_forked(self, process: psutil.Process) -> bool:
        if "forkserver" not in command_of(process):
            return False
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # it has ended, or belongs to another user
            return process.environ().get(DATA_DIR) == str(self.data_dir)
        return False

    def job(self, path: str) -> dict[str, Any]:
        """The job at `path`."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def submit(self, **body: Any) -> str:
        """Submits a training, by default `LONG`, and returns the path of its job."""
        answer = self.client.post("/train", json=LONG | body)
        assert answer.status_code == 202, answer.text
        return answer.headers["location"]


def kill(process: psutil.Process) -> None:
    """Kills a process, unless it has ended already."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def command_of(process: psutil.Process) -> str:
    """The command line of a process; empty if it has ended."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.as_dict(["cmdline"], ad_value=[])["cmdline"] or [])
    return ""


def children_of(process: psutil.Process, *, recursive: bool = False) -> list[psutil.Process]:
    """The children of a process, with their descendants if `recursive`; empty if it has ended."""
    try:
        return process.children(recursive=recursive)
    except psutil.NoSuchProcess:
        return []


def has_ended(process: psutil.Process) -> bool:
    """Whether a process has ended. Its parent may not have noticed yet."""
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


@contextmanager
def service(folder: Path, *options: str) -> Iterator[Service]:
    """A service that has started. All its processes are killed at the end of the block."""
    one = Service(folder, *options)
    try:
        one.start()
        yield one
    finally:
        one.end()
