"""A service as an operator runs it, to be ill-treated: processes of its own, which tests kill."""

import os
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
    """`separatrix serve` on a folder, for a start or several."""

    def __init__(self, folder: Path, *options: str) -> None:
        """Nothing runs yet."""
        self.data_dir = folder / "data"
        self.log = folder / "log"
        given = dict(pairwise(options))
        self.database_url = given.get("--database-url")
        self._options = ("--no-starters", "--port", "0", *options)
        self._environment = os.environ | {DATA_DIR: str(self.data_dir)}  # whose processes are whose can be seen by it

    def start(self) -> None:
        """Returns when it answers."""
        with self.log.open("wb") as output:
            command = [sys.executable, "-m", "service", "serve", *self._options]
            self.process = psutil.Popen(command, stderr=output, env=self._environment)
        wait_until(lambda: self._says("running on", "startup complete") or self.process.poll() is not None)
        address = self.log.read_text().partition("running on ")[2].split()[0]
        self.client = httpx.Client(base_url=address, timeout=DEADLINE_S)

    def _says(self, *words: str) -> bool:
        said = self.log.read_text()
        return all(word in said for word in words)

    def kill(self, *others: psutil.Process) -> None:
        """Kills the process that was started, and others with it."""
        for one in (self.process, *others):
            one.kill()
        self.process.wait()
        self.client.close()

    def end(self) -> None:
        """Kills whatever there is of it."""
        family = self.process.children(recursive=True) if self.process.is_running() else []
        self.kill(*family)

    def serving_processes(self) -> list[psutil.Process]:
        """Those that answer requests, if there are several of them."""
        return [one for one in children_of(self.process) if "multiprocessing.spawn" in command_of(one)]

    def training_processes(self) -> list[psutil.Process]:
        """What the fork servers of all serving processes have forked, be they themselves still there or not."""
        servers = self.fork_servers()
        return [one for one in psutil.process_iter() if self._is_forking_or_forked(one) and one not in servers]

    def fork_servers(self) -> list[psutil.Process]:
        """The processes that training processes are forked from, one for each serving process."""
        serving = [self.process, *children_of(self.process)]
        return [one for parent in serving for one in children_of(parent) if self._is_forking_or_forked(one)]

    def _is_forking_or_forked(self, process: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # it is another user's
            command = " ".join(process.cmdline())
            return "forkserver" in command and process.environ().get(DATA_DIR) == str(self.data_dir)
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


def children_of(process: psutil.Process) -> list[psutil.Process]:
    """Its children; none if it has gone."""
    try:
        return process.children()
    except psutil.NoSuchProcess:
        return []


@contextmanager
def service(folder: Path, *options: str) -> Iterator[Service]:
    """A service that has been started, and is gone afterwards."""
    one = Service(folder, *options)
    one.start()
    try:
        yield one
    finally:
        one.end()
