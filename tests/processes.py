"""A service as an operator runs it: `separatrix serve`, in processes of its own."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.serving import DEADLINE_S, wait_until

LONG: dict[str, Any] = {
    "model": "long",
    "data": {"dataset": "flower"},
    "network": {"hidden": [64, 64]},
    "training": {"epochs": 1_000_000},
}
"""A training of some minutes."""

DATA_DIR = "SEPARATRIX_DATA_DIR"


class Service:
    """`separatrix serve` on a folder, for a start or several.

    Attributes:
        process: the one that was started.
        client: of its address.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        """Nothing runs yet. There are no starters, unless one of the options is `--seed-models`."""
        self.data_dir = folder / "data"
        given = dict(pairwise(options))
        self.database_url = given.get("--database-url")
        self._log = folder / "log"
        self._workers = int(given.get("--workers", 1))
        self._options = ("--no-seed-models", "--port", "0", *options)
        self._environment = os.environ | {DATA_DIR: str(self.data_dir)}  # whose processes are whose can be seen by it

    def start(self) -> None:
        """Returns when all its serving processes answer."""
        with self._log.open("wb") as output:
            command = [sys.executable, "-m", "service", "serve", *self._options]
            self.process = psutil.Popen(command, stderr=output, env=self._environment)
        wait_until(
            lambda: (
                ("running on" in self.log and self.log.count("startup complete") == self._workers)
                or self.process.poll() is not None
            )
        )
        self.address = self.log.partition("running on ")[2].split()[0]
        self.client = httpx.Client(base_url=self.address, timeout=DEADLINE_S)

    @property
    def log(self) -> str:
        """What it has said since it was last started."""
        return self._log.read_text()

    def tell_to_stop(self) -> None:
        """Sends it SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Its exit status, once it has ended, which takes less than ten seconds."""
        status: int = self.process.wait(10)
        self.client.close()
        return status

    def kill(self, *others: psutil.Process) -> None:
        """Kills the process that was started, and others with it."""
        for one in (self.process, *others):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait()
        self.client.close()

    def end(self) -> None:
        """Kills whatever there is of it."""
        self.kill(*self.family())

    def family(self) -> list[psutil.Process]:
        """All that descend from the process that was started; none if it has gone."""
        return children_of(self.process, recursive=True)

    def serving_processes(self) -> list[psutil.Process]:
        """Those that answer requests."""
        if self._workers == 1:
            return [self.process]
        return [one for one in children_of(self.process) if "multiprocessing.spawn" in command_of(one)]

    def training_processes(self) -> list[psutil.Process]:
        """What the fork servers of all serving processes have forked, be they themselves still there or not."""
        servers = self.fork_servers()
        return [one for one in psutil.process_iter() if self._is_forking_or_forked(one) and one not in servers]

    def fork_servers(self) -> list[psutil.Process]:
        """The processes that training processes are forked from, one for each serving process."""
        children = [child for serving in self.serving_processes() for child in children_of(serving)]
        return [child for child in children if self._is_forking_or_forked(child)]

    def _is_forking_or_forked(self, process: psutil.Process) -> bool:
        if "forkserver" not in command_of(process):
            return False
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # it is another user's
            return process.environ().get(DATA_DIR) == str(self.data_dir)
        return False

    def job(self, path: str) -> dict[str, Any]:
        """A job, by its path."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def submit(self, **body: Any) -> str:
        """The path of a new job."""
        answer = self.client.post("/train", json=LONG | body)
        assert answer.status_code == 202, answer.text
        return answer.headers["location"]


def command_of(process: psutil.Process) -> str:
    """Its command line; empty if it has gone."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.as_dict(["cmdline"], ad_value=[])["cmdline"] or [])
    return ""


def children_of(process: psutil.Process, *, recursive: bool = False) -> list[psutil.Process]:
    """Its children, theirs too if asked for; none if it has gone."""
    try:
        return process.children(recursive=recursive)
    except psutil.NoSuchProcess:
        return []


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more, though its parent may not have noticed yet."""
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


@contextmanager
def service(folder: Path, *options: str) -> Iterator[Service]:
    """A service that has been started, and is gone afterwards."""
    one = Service(folder, *options)
    one.start()
    try:
        yield one
    finally:
        one.end()
